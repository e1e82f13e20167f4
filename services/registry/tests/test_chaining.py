"""The head of the audit outside of the database."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.errors import Corrupt
from tidemill_registry.audit import Head
from tidemill_registry.chaining import Anchors


def test_anchors_are_read_back_and_a_torn_last_line_counts_as_not_written(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "data" / "anchors.jsonl")
    assert anchors.read() == {}
    anchors.write(Head(3, "c"), "2013-01-01T00:00:00+00:00")
    anchors.write(Head(9, "f"), "2013-01-01T00:01:00+00:00")
    with anchors.path.open("a") as file:
        file.write('{"sequence": 1')
    assert anchors.read() == {3: "c", 9: "f"}


def test_an_anchor_that_was_damaged_in_the_middle_is_told(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path / "anchors.jsonl")
    anchors.path.write_text('{"seq\n{"sequence": 1, "hash": "a"}\n')
    with pytest.raises(Corrupt, match="line 1"):
        anchors.read()
