"""The rules speak of metrics that exist, with labels that they have."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidemill_common.metrics import CATALOGUE

RULES = Path(__file__).resolve().parent.parent / "rules.yaml"
SUFFIXES = ("_count", "_sum", "_bucket")
METRIC = re.compile(r"\b((?:tidemill|rpc|messaging)_\w+)(?:\{([^}]*)\})?")


def the_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def labels_of(name: str) -> set[str] | None:
    known = {metric.name: set(metric.labels) for metric in CATALOGUE}
    if name in known:
        return known[name]
    stem = next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)
    return known[stem] | {"le"} if stem in known else None


@pytest.mark.parametrize("rule", the_rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_reads_metrics_and_labels_of_the_catalogue(rule: dict[str, Any]) -> None:
    for name, selector in METRIC.findall(rule["expr"]):
        if name == "rpc_method" or name.startswith("rpc_response"):
            continue
        labels = labels_of(name)
        assert labels is not None, f"no metric {name}"
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
        assert used <= labels, f"{name} has no label {used - labels}"


def test_every_alert_says_who_acts_and_what_to_do() -> None:
    for rule in the_rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["runbook_url"].startswith("docs/runbooks/")
