"""A runbook speaks of alerts, metrics and commands that exist: at three in the morning nobody guesses."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from tidemill.cli.app import app
from tidemill_common.metrics import CATALOGUE

ROOT = Path(__file__).resolve().parents[3]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
SUFFIXES = ("_count", "_sum", "_bucket")
COMMAND = re.compile(r"`tidemill ([^`]+)`")
METRIC = re.compile(r"\b(?:tidemill|rpc|messaging)_[a-z0-9_]+")
LABELS = {"rpc_response_status_code", "rpc_method"}
LINK = re.compile(r"\]\(([^)]+)\)")


def the_alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("rule", the_alerts(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_a_runbook_that_begins_with_its_name(rule: dict[str, Any]) -> None:
    title = (ROOT / rule["annotations"]["runbook_url"]).read_text().splitlines()[0]
    assert rule["alert"] in re.findall(r"\w+", title)


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_names_metrics_that_exist(runbook: Path) -> None:
    known = {metric.name for metric in CATALOGUE} | LABELS
    for name in METRIC.findall(runbook.read_text()):
        stems = {name, *(name.removesuffix(suffix) for suffix in SUFFIXES)}
        assert stems & known, f"{runbook.name}: no metric {name}"


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_calls_commands_that_exist_with_what_they_need(runbook: Path) -> None:
    for text in COMMAND.findall(runbook.read_text()):
        command: Any = get_command(app)
        words = text.split()
        while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
            assert words[0] in command.commands, f"{runbook.name}: no command tidemill {text}"
            command = command.commands[words.pop(0)]
        if "--help" in words:
            continue
        assert not isinstance(command, TyperGroup), f"{runbook.name}: tidemill {text} is a group"
        given = [word for word in words if word.isupper()]
        required = [one for one in command.params if one.required]
        assert len(given) >= len(required), f"{runbook.name}: tidemill {text} needs more"


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_points_at_files_that_exist(runbook: Path) -> None:
    for target in LINK.findall(runbook.read_text()):
        assert (runbook.parent / target).is_file(), f"{runbook.name}: no {target}"
