from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill import addresses
from tidemill.errors import Misconfigured, Unavailable


def a_stack(folder: Path, **environment: str) -> Path:
    path = folder / ".tidemill" / "stack.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"environment": environment}))
    return path


def test_the_nearest_stack_file_above_is_read(tmp_path: Path) -> None:
    a_stack(tmp_path, TIDEMILL_REGISTRY="127.0.0.1:1")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert addresses.find(below, {}).of("registry") == "127.0.0.1:1"


def test_the_environment_goes_before_the_stack_file(tmp_path: Path) -> None:
    a_stack(tmp_path, TIDEMILL_REGISTRY="127.0.0.1:1", TIDEMILL_SERVING="127.0.0.1:2")
    found = addresses.find(tmp_path, {"TIDEMILL_REGISTRY": "127.0.0.1:9"})
    assert (found.of("registry"), found.of("serving")) == ("127.0.0.1:9", "127.0.0.1:2")


def test_a_stated_stack_file_goes_before_the_nearest(tmp_path: Path) -> None:
    a_stack(tmp_path, TIDEMILL_REGISTRY="127.0.0.1:1")
    other = a_stack(tmp_path / "other", TIDEMILL_REGISTRY="127.0.0.1:2")
    found = addresses.find(tmp_path, {"TIDEMILL_STACK": str(other)})
    assert found.of("registry") == "127.0.0.1:2"


def test_without_a_stack_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no address of serving") as raised:
        addresses.find(tmp_path, {}).of("serving")
    assert "tidemill up" in raised.value.hint


def test_a_stated_stack_file_that_is_not_there_is_a_stack_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no stack file"):
        addresses.find(tmp_path, {"TIDEMILL_STACK": str(tmp_path / "none.json")})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"environment": 3}', '"x"'])
def test_a_broken_stack_file_is_named(tmp_path: Path, text: str) -> None:
    path = a_stack(tmp_path)
    path.write_text(text)
    with pytest.raises(Misconfigured, match=r"stack\.json is not a stack file"):
        addresses.find(tmp_path, {})


def test_metrics_are_where_the_environment_or_the_stack_file_says(tmp_path: Path) -> None:
    path = a_stack(tmp_path)
    assert addresses.metrics(tmp_path, {}) == ()
    processes = [{"metrics": "127.0.0.1:7"}, {"metrics": ""}, {"name": "of an older stack"}]
    path.write_text(json.dumps({"environment": {}, "processes": processes}))
    assert addresses.metrics(tmp_path, {}) == ("127.0.0.1:7",)
    stated = {"TIDEMILL_METRICS": "a:1, b:2,"}
    assert addresses.metrics(tmp_path, stated) == ("a:1", "b:2")


def test_without_a_stack_file_or_with_a_broken_one_no_metrics_are_known(tmp_path: Path) -> None:
    assert addresses.metrics(tmp_path, {"TIDEMILL_STACK": str(tmp_path / "none.json")}) == ()
    broken = tmp_path / "broken.json"
    broken.write_text("[")
    assert addresses.metrics(tmp_path, {"TIDEMILL_STACK": str(broken)}) == ()
