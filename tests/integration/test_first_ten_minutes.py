"""A user's first ten minutes: the installed `tidemill`, an empty folder, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import FirstVersion
from tests.integration.driver import MODEL
from tests.integration.shell import Shell

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(420)]

AT = "2026-01-05T10:00:00Z"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in a new project's folder; a stack that is left behind is stopped."""
    Shell(tmp_path).run("init", "shop")
    opened = Shell(tmp_path / "shop")
    yield opened
    if (opened.folder / ".tidemill").exists():
        opened.run("down", seconds=120)


def test_from_an_empty_folder_to_features_and_back(shell: Shell) -> None:
    assert "tidemill.yaml is good" in shell.run("check").out
    away = shell.run("status", code=3)
    assert "tidemill up" in away.out + away.err

    up = shell.run("up", "--detach", seconds=240)
    assert "traces: http://127.0.0.1:" in up.out
    assert "none yet (tidemill apply)" in shell.run("status").out
    assert "no stream" in shell.run("publish", "order_placed", "orders.jsonl", code=1).err

    plan = shell.run("apply", "--plan").out
    assert "added    view customer_orders" in plan
    assert "plan only: generation" in plan
    assert shell.run("apply", "--json").json()["applied"] is True
    assert "already applied" in shell.run("apply").out
    shell.eventually(lambda: publishes(shell), "ingestion takes the project up")

    published = shell.run("publish", "order_placed", "orders.jsonl", "--json").json()
    assert (published["accepted"], published["refused"]) == (3, [])
    assert_features(shell, published["token"])
    assert_mistakes_are_told(shell)
    assert_everything_can_be_listed(shell)

    shell.run("down", seconds=120)
    stopped = shell.run("status", code=3)
    assert "is stopped" in stopped.err
    assert "tidemill up" in shell.run("runs", "list", code=3).err


def publishes(shell: Shell) -> bool:
    """Tell whether views and streams are there; orders have ids, so a repeat counts once."""
    views = shell.run("status", "--json").json()["views"]
    if not views or not all(view.get("ready") for view in views):
        return False
    return shell.attempt("publish", "order_placed", "orders.jsonl").code == 0


def assert_features(shell: Shell, token: str) -> None:
    """Read your writes: the orders count, once each, as of the time asked for."""
    entity = ("customer_orders", "customer=ada", "--at", AT, "--token", token)
    table = shell.run("features", "get", *entity).out
    assert "count_1d        2       present" in table
    assert "mean_amount_1d  129.95  present" in table
    made = shell.run("features", "explain", *entity[:2], "count_1d", "--at", AT).out
    assert "count_1d = 2" in made
    assert "adds up  yes" in made
    # What is published today was not known in January: no read could have answered it then.
    went = shell.run("features", "history", *entity[:2], "--feature", "count_1d", "--until", AT).out
    assert went.splitlines()[-1].endswith("  not_found")
    reply = shell.run("features", "get", *entity, "--json").json()
    named = dict(zip(reply["features"], reply["entities"][0]["values"], strict=True))
    assert (named["count_7d"], named["max_amount_7d"]) == (2.0, 240.0)
    assert "not_found" in shell.run("features", "get", "customer_orders", "customer=nobody").out


def assert_mistakes_are_told(shell: Shell) -> None:
    """Each mistake of a user has its message and its exit code."""
    refused = shell.run("predict", "chargeback", "customer=ada", "amount=30", "country=NL", code=1)
    assert "has no version yet" in refused.err
    assert "there is no model 'nope'" in shell.run("predict", "nope", "a=1", code=1).err
    wrong = shell.run("features", "get", "customer_orders", "user=ada", code=1)
    assert "customer" in wrong.err
    assert "no feature view" in shell.run("features", "get", "nope", "a=1", code=1).err
    assert "no version chargeback/7" in shell.run("models", "show", "chargeback", "7", code=1).err
    shell.run("promote", "chargeback", "7", "--reason", "a try", code=1)
    shell.run("rollback", "chargeback", "--reason", "a try", code=1)
    shell.run("runs", "show", "nope", code=1)
    shell.run("alerts", "report", "nope", code=1)
    assert "no stream" in shell.run("dlq", "list", "nope", code=1).err
    shell.run("dlq", "replay", "order_placed", "7", code=1)
    (shell.folder / "bad.jsonl").write_text('{"order_id": "o-8"}\n{nonsense\n')
    bad = shell.run("publish", "order_placed", "bad.jsonl", code=1)
    assert "bad.jsonl:1: rejected: " in bad.err
    assert "bad.jsonl:2: rejected: not JSON" in bad.err
    project = shell.folder / "tidemill.yaml"
    (shell.folder / "broken.yaml").write_text(
        project.read_text().replace("function: max", "f: max")
    )
    assert "broken.yaml:" in shell.run("apply", "broken.yaml", code=1).err


def assert_everything_can_be_listed(shell: Shell) -> None:
    """Every list answers, in words and in JSON."""
    for words in (("runs", "list"), ("alerts", "list"), ("models", "list", "chargeback")):
        assert shell.run(*words).out
        assert shell.run(*words, "--json").json() == []
    assert shell.run("dlq", "list", "order_placed", "--json").json()["total"] == 0
    assert shell.run("runs", "decisions").out
    assert "intact" in shell.run("audit", "verify").out
    assert shell.run("audit", "verify", "--json").json()["intact"] is True
    assert "project.applied" in shell.run("audit", "list").out
    status = shell.run("status", "--json").json()
    assert status["stack"]["state"] == "ready"
    assert status["project"][0]["project"] == "shop"
    assert {view["view"] for view in status["views"]} == {"customer_orders"}
    shown = shell.run("status").out
    assert "chargeback" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_platform_that_serves_can_be_read_at_80_columns(
    first_version: FirstVersion, tmp_path: Path
) -> None:
    platform, number = first_version.platform, str(first_version.number)
    stack = platform.stack.data / "stack.json"
    shell = Shell(tmp_path, {"TIDEMILL_STACK": str(stack)})
    run_id = platform.client.version(MODEL, first_version.number).lineage.run_id
    reads = [
        ("status",),
        ("runs", "list"),
        ("runs", "show", run_id),
        ("runs", "decisions", MODEL, "--limit", "3"),
        ("models", "list", MODEL),
        ("models", "show", MODEL, number),
        ("audit", "list", "--limit", "5"),
        ("alerts", "list"),
        ("dlq", "list", "visit"),
        ("predict", MODEL, "user=u1", "amount=5", "country=NL"),
        ("features", "get", "user_visits", "user=u1"),
    ]
    for words in reads:
        done = shell.run(*words)
        broad = [line for line in done.out.splitlines() if len(line) > 80 and " " in line.strip()]
        assert broad == [], words
        assert shell.run(*words, "--json").json() is not None
    assert number in shell.run("models", "list", MODEL).out
    gates = shell.run("models", "show", MODEL, number).out
    assert all(name in gates for name in ("inputs", "floor", "champion", "server", "passed"))
    answer = shell.run("predict", MODEL, "user=u1", "amount=5", "country=NL", "--json").json()
    assert 0.0 < answer["score"] < 1.0
    wrong = shell.run("predict", MODEL, "user=u1", "amount=many", "country=NL", code=1)
    assert "amount" in wrong.err
    unknown = shell.run("predict", MODEL, "user=u1", "amount=5", "contry=NL", code=1)
    assert "contry" in unknown.err
