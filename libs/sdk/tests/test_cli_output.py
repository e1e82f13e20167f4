from __future__ import annotations

import math

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tidemill.cli.output import number, print_fields, print_table, to_dict, when
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb

ROWS = [("1", "short", "a text that is much longer than what is left of the line"), ("2", "b", "")]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_a_table_that_fits_has_one_line_per_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    print_table(["n", "word", "text"], ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "n  word   text"
    assert lines[2] == "2  b"
    assert len(lines) == 3


def test_what_does_not_fit_goes_below_its_row(
    narrow: None, capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(["n", "word", "text"], ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["n  word", "1  short", "    a text that is much longer than what"]
    assert max(map(len, lines)) <= 40


def test_as_many_columns_as_needed_go_below(
    narrow: None, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ("0123456789" * 3, "2026-01-01 00:00:00", "-", "why")
    print_table(["id", "created", "version", "reason"], [row])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["id", row[0], "    created 2026-01-01 00:00:00", "    why"]


def test_a_pipe_gets_whole_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(["n", "word", "text"], [("1", "w", "long " * 100)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_no_rows_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["n"], [])
    assert capsys.readouterr().out == "none\n"


def test_names_and_values_stand_in_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_fields({"a": 1, "longer": 2})
    assert capsys.readouterr().out == "a       1\nlonger  2\n"


def test_numbers_and_times_that_are_not_there_are_a_dash() -> None:
    assert (number(math.nan), when(Timestamp())) == ("-", "-")
    assert (number(0.12345678), number(3.0)) == ("0.123457", "3")
    assert when(Timestamp(seconds=86_400)) == "1970-01-02 00:00:00"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1_234_567.0, "1234567"),
        (1_795_726_486_000_000.0, "1795726486000000"),
        (-12_345_678.91, "-12345678.91"),
        (123_456.789, "123456.79"),
        (99_999.25, "99999.2"),
        (2.3148148e-06, "2.31481e-06"),
        (1e300, "1e+300"),
    ],
)
def test_large_numbers_keep_the_digits_that_count(value: float, shown: str) -> None:
    assert number(value) == shown


def test_what_came_with_events_can_neither_break_a_line_nor_command_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(["event", "message"], [("\x1b[2Jé", "no\n\tnumber")])
    assert capsys.readouterr().out.splitlines()[1:] == ["\\x1b[2Jé  no\\n\\tnumber"]


def test_json_has_every_field_and_numbers_are_numbers() -> None:
    letter = pb.DeadLetter(topic="t", offset=7, headers={"a": "1"}, value=b"x")
    found = to_dict(pb.ListDeadLettersResponse(dead_letters=[letter], total=3))
    assert found["total"] == 3
    [shown] = found["dead_letters"]
    assert (shown["offset"], shown["partition"], shown["replayed"]) == (7, 0, False)
    assert shown["headers"] == {"a": "1"}
    assert shown["value"] == "eA=="
