"""The command line by its real door: what a user types, what is printed, the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from tidemill.cli.app import app, code_of, main, text_of
from tidemill.errors import (
    Conflict,
    Exhausted,
    Invalid,
    Misconfigured,
    NotFound,
    TidemillError,
    Violation,
)

SERVICES = ("REGISTRY", "INGESTION", "FEATURES", "TRAINING", "SERVING", "MONITORING")


@dataclass(frozen=True, slots=True)
class Done:
    """What one command did."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Run `tidemill …` in an empty folder that knows no stack."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("STACK", *SERVICES):
        monkeypatch.delenv(f"TIDEMILL_{name}", raising=False)

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["tidemill", *words])
        try:
            main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        assert "Traceback" not in out + err
        return Done(code, out, err)

    return run


def leaves(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name)


ROOT = get_command(app)
assert isinstance(ROOT, TyperGroup)
COMMANDS = sorted(leaves(ROOT))

NEEDS_A_STACK = {
    ("apply",): ("tidemill.yaml",),
    ("publish",): ("s", "events.jsonl"),
    ("features", "get"): ("v", "user=u1"),
    ("features", "describe"): ("v",),
    ("features", "history"): ("v", "user=u1"),
    ("features", "plot"): ("v", "user=u1", "count_1h", "-o", "it.png"),
    ("features", "diff"): ("v",),
    ("features", "switch"): (),
    ("features", "explain"): ("v", "user=u1", "count_1h"),
    ("dlq", "list"): ("s",),
    ("dlq", "show"): ("s", "1"),
    ("dlq", "replay"): ("s",),
    ("predict",): ("m", "a=1"),
    ("runs", "list"): (),
    ("runs", "show"): ("r",),
    ("runs", "submit"): ("m", "--reason", "x"),
    ("runs", "cancel"): ("r",),
    ("runs", "decisions"): (),
    ("models", "list"): ("m",),
    ("models", "show"): ("m", "1"),
    ("promote",): ("m", "1", "--reason", "x"),
    ("rollback",): ("m", "--reason", "x"),
    ("audit", "verify"): (),
    ("audit", "list"): (),
    ("erase",): ("user=u1",),
    ("erasures", "list"): (),
    ("erasures", "show"): ("user=u1",),
    ("alerts", "list"): (),
    ("alerts", "show"): ("a",),
    ("alerts", "ack"): ("a",),
    ("alerts", "report"): ("a",),
}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_that_fits_80_columns(cli: Cli, command: tuple[str, ...]) -> None:
    done = cli(*command, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: tidemill {' '.join(command)}")
    assert max(map(len, done.out.splitlines())) <= 80
    described = done.out.splitlines()[2].strip()
    assert described.endswith((".", ";")) or " " in described


@pytest.mark.parametrize("command", sorted(NEEDS_A_STACK), ids=" ".join)
def test_without_a_stack_a_command_says_so_and_exits_with_3(
    cli: Cli, command: tuple[str, ...]
) -> None:
    cli("init", "shop")
    Path("tidemill.yaml").write_bytes(Path("shop/tidemill.yaml").read_bytes())
    Path("events.jsonl").write_text("{}\n")
    done = cli(*command, *NEEDS_A_STACK[command])
    assert done.code == 3
    assert "tidemill up" in done.err


def test_every_command_that_needs_a_stack_is_tried_without_one() -> None:
    alone = {("up",), ("down",), ("status",), ("init",), ("check",)}
    assert set(COMMANDS) - alone == set(NEEDS_A_STACK)


def test_a_service_that_is_away_is_named_and_exits_with_3(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_TRAINING", "127.0.0.1:1")
    done = cli("runs", "list")
    assert done.code == 3
    assert "error: training does not answer" in done.err
    assert "hint:" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("bogus",), "No such command 'bogus'"),
        (("runs", "bogus"), "No such command 'bogus'"),
        (("publish", "s"), "Missing argument 'file'"),
        (("models", "show", "m", "x"), "integer"),
        (("runs", "list", "--limit", "many"), "integer"),
        (("promote", "m", "1"), "--reason"),
        (("runs", "submit", "m", "--reason", "x", "--set", "epochs=many"), "is a number"),
        (("status", "--bogus"), "--bogus"),
        (("features", "plot", "v", "user=u1", "count_1h"), "--out"),
        (("features", "history", "v", "user=u1", "--limit", "0"), "--limit"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_exits_with_2(
    cli: Cli, words: tuple[str, ...], told: str
) -> None:
    done = cli(*words)
    assert done.code == 2
    assert told in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("publish", "s", "none.jsonl"), "no file none.jsonl"),
        (("publish", "s", "."), "no file ."),
        (("check", "none.yaml"), "no project file none.yaml"),
        (("apply", "none.yaml"), "no project file none.yaml"),
        (("features", "get", "v", "user"), "'user' is not name=value"),
        (("features", "get", "v", "user=u", "--at", "noon"), "'noon' is not an ISO 8601 time"),
        (("features", "get", "v", "user=u", "--token", "x"), "the token is not one"),
        (("predict", "m", "=1"), "'=1' is not name=value"),
        (("init", "/proc/none"), "/proc/none"),
    ],
)
def test_a_wrong_input_says_what_is_wrong_and_exits_with_1(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    for name in SERVICES:
        monkeypatch.setenv(f"TIDEMILL_{name}", "127.0.0.1:1")
    done = cli(*words)
    assert done.code == 1
    assert told in done.err
    assert done.out == ""


def test_init_makes_a_folder_that_check_finds_good(cli: Cli) -> None:
    assert cli("init", "shop").code == 0
    assert {"tidemill.yaml", "README.md", "orders.jsonl"} <= {
        p.name for p in Path("shop").iterdir()
    }
    checked = cli("check", "shop/tidemill.yaml")
    assert (checked.code, checked.out) == (0, "shop/tidemill.yaml is good\n")


def test_init_leaves_a_folder_that_has_something_in_it(cli: Cli) -> None:
    cli("init", "shop")
    Path("shop/tidemill.yaml").write_text("mine")
    done = cli("init", "shop")
    assert done.code == 1
    assert "not empty" in done.err
    assert Path("shop/tidemill.yaml").read_text() == "mine"


def test_check_names_every_mistake_with_its_line(cli: Cli) -> None:
    cli("init", "shop")
    path = Path("shop/tidemill.yaml")
    path.write_text(path.read_text().replace("key: [customer]", "key: [nobody]", 1) + "bogus: 1\n")
    done = cli("check", str(path))
    assert done.code == 1
    assert "nobody" in done.err
    assert "bogus" in done.err
    assert done.err.count("shop/tidemill.yaml:") >= 2
    found = cli("check", str(path), "--json")
    assert found.code == 1
    assert len(json.loads(found.out)["problems"]) >= 2


PYTHON_PROJECT = """
from tidemill.project import Project, Stream, string

project = Project("shop", streams=[Stream("visits", key=["user"], fields=[string("user")])])
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1", "the module has no `project`"),
        ("import nothing_like_it", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("assert False, 'no'", "no"),
        ("raise RuntimeError('no')", "no"),
        ("import sys; sys.exit(4)", "4"),
    ],
)
def test_a_broken_python_file_is_told_by_its_line(cli: Cli, text: str, told: str) -> None:
    Path("project.py").write_text(f"\n{text}\n")
    done = cli("check", "project.py")
    assert done.code == 1
    assert told in done.err
    assert "project.py:" in done.err


def test_a_file_that_is_no_text_is_told(cli: Cli) -> None:
    Path("tidemill.yaml").write_bytes(b"\xff\xfe\x00")
    done = cli("check")
    assert done.code == 1
    assert "UTF-8" in done.err


@pytest.mark.parametrize("text", ["{", "[]", '{"state": "ready"}'])
def test_a_broken_stack_file_is_told(cli: Cli, text: str) -> None:
    Path(".tidemill").mkdir()
    Path(".tidemill/stack.json").write_text(text)
    for command in (("status",), ("runs", "list")):
        done = cli(*command)
        assert done.code == 2
        assert "stack.json" in done.err


def test_the_status_of_a_stopped_stack_says_how_to_start_it(cli: Cli) -> None:
    Path(".tidemill").mkdir()
    stack = {"state": "stopped", "processes": [], "environment": {}}
    Path(".tidemill/stack.json").write_text(json.dumps(stack))
    done = cli("status")
    assert done.code == 3
    assert "is stopped" in done.err
    assert "tidemill up" in done.err


@pytest.mark.slow
def test_status_shows_what_is_down_and_still_asks_the_others(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = {"name": "kafka", "state": "ready", "pid": 7, "message": ""}
    broken = {"name": "serving", "state": "failed", "pid": None, "message": "see serving.log"}
    stack = {"state": "degraded", "processes": [process, broken], "environment": {}}
    Path(".tidemill").mkdir()
    Path(".tidemill/stack.json").write_text(json.dumps(stack))
    for name in SERVICES:
        monkeypatch.setenv(f"TIDEMILL_{name}", "127.0.0.1:1")
    done = cli("status")
    assert done.code == 3
    assert "degraded, 1 of 2 processes" in done.out
    assert "see serving.log" in done.out
    assert "features does not answer" in done.out
    assert "monitoring does not answer" in done.out
    answers = json.loads(cli("status", "--json").out)
    asked = {"project", "views", "next", "bridges", "models", "runs", "alerts"}
    assert set(answers) == {"stack", *asked}


def test_the_exit_code_tells_whether_to_try_again() -> None:
    assert [code_of(e) for e in (Conflict(), Exhausted())] == [3, 3]
    assert [code_of(e) for e in (Invalid("x"), NotFound())] == [1, 1]
    assert code_of(Misconfigured()) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("explain", "v", "count_1h"), "'count_1h' names no entity"),
        (("explain", "v", "user=u1", "--at", "noon"), "'noon' is not an ISO 8601 time"),
        (("plot", "v", "user=u1", "-o", "it.png"), "which feature?"),
        (("plot", "v", "user=u1", "count_1h", "-o", "it.svg"), "it.svg is no PNG file"),
        (("history", "v", "u1"), "'u1' is not name=value"),
        (("history", "v", "user=u1", "--every", "soon"), "'soon' is not a duration"),
        (("history", "v", "user=u1", "--every", "0s"), "'0s' is no distance"),
    ],
)
def test_a_question_that_means_nothing_is_refused_before_anybody_is_asked(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], told: str
) -> None:
    monkeypatch.setenv("TIDEMILL_FEATURES", "127.0.0.1:1")
    done = cli("features", *words)
    assert done.code == 1
    assert told in done.err


def test_no_command_waits_for_libraries_that_only_some_commands_need() -> None:
    heavy = "{'matplotlib', 'numpy', 'polars', 'pyarrow'}"
    code = f"import sys, tidemill.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


KEY, TYPE = Violation("streams.ride.key", "fixed for life"), Violation("fare", "is a float64")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFound("no model"), "error: no model\n"),
        (Invalid(violations=[KEY]), "error: streams.ride.key: fixed for life\n"),
        (
            Invalid(violations=[KEY, TYPE], hint="see there"),
            "error:\n  streams.ride.key: fixed for life\n  fare: is a float64\nhint: see there\n",
        ),
        (Invalid("no", violations=[KEY]), "error: no\n  streams.ride.key: fixed for life\n"),
        (
            Invalid("no", violations=[KEY, TYPE]),
            "error: no\n  streams.ride.key: fixed for life\n  fare: is a float64\n",
        ),
    ],
)
def test_an_error_names_every_rule_that_is_broken(error: TidemillError, text: str) -> None:
    assert text_of(error) == text
