"""Raw records become columns; what cannot be processed is set apart with its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tidemill_common import events
from tidemill_common.events import Column
from tidemill_common.kafka import Record
from tidemill_features.decoding import decode
from tidemill_features.definitions import StreamWork

MakeRecord = Callable[..., Record]


def test_rows_keep_their_place_in_the_log(visits: StreamWork, make_record: MakeRecord) -> None:
    records = [
        make_record(4, [{"_id": "a"}, {"_id": "b"}], appended_s=5.0),
        make_record(5, [{"_id": "c"}], appended_s=6.0),
    ]
    found = decode(visits.spec, visits.schema, records)
    assert found.offset.tolist() == [4, 4, 5]
    assert found.row.tolist() == [0, 1, 0]
    assert found.append_us.tolist() == [5_000_000, 5_000_000, 6_000_000]
    assert found.dead == ()


def test_window_time_never_runs_ahead_of_what_was_known(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    record = make_record(0, [{"at": 50.0, "known": 40.0}, {"_id": "b", "at": 30.0, "known": 40.0}])
    found = decode(visits.spec, visits.schema, [record])
    assert found.time_us.tolist() == [40_000_000, 30_000_000]


def test_no_records_are_no_rows(visits: StreamWork) -> None:
    assert len(decode(visits.spec, visits.schema, [])) == 0


@pytest.mark.parametrize("value", [b"", b"garbage", b"\xff\xff\xff\xff\x00\x00\x00\x00"])
def test_a_record_that_is_no_batch_is_dead_as_a_whole_with_its_bytes(
    visits: StreamWork, make_record: MakeRecord, value: bytes
) -> None:
    bad = make_record(1, [])._replace(value=value)
    found = decode(visits.spec, visits.schema, [make_record(0, [{}]), bad, make_record(2, [{}])])
    assert found.offset.tolist() == [0, 2]
    (dead,) = found.dead
    assert (dead.record.offset, dead.row, dead.value) == (1, None, value)


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), 2.0**48])
def test_a_number_that_features_cannot_hold_kills_its_row_only(
    visits: StreamWork, make_record: MakeRecord, amount: float
) -> None:
    rows = [{"_id": "a"}, {"_id": "bad", "amount": amount}, {"_id": "c"}]
    found = decode(visits.spec, visits.schema, [make_record(7, rows)])
    assert found.row.tolist() == [0, 2]
    (dead,) = found.dead
    assert (dead.record.offset, dead.row) == (7, 1)
    assert events.decode(dead.value or b"", visits.schema)["_id"].to_pylist() == ["bad"]


def test_a_missing_number_is_no_mistake(visits: StreamWork, make_record: MakeRecord) -> None:
    found = decode(visits.spec, visits.schema, [make_record(0, [{"amount": None}])])
    assert len(found) == 1


def test_a_replay_of_a_dead_letter_is_another_event(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    record = make_record(0, [{"_id": "a"}, {"_id": "a"}, {"_id": "a", "_replay_of": "x/0/1"}])
    ids = decode(visits.spec, visits.schema, [record]).ids
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]
    assert ids.dtype == np.uint64


def test_a_record_from_before_a_field_was_declared_is_no_dead_letter(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    columns = (*visits.spec.columns, Column("later", "float64"))
    newer = replace(visits, spec=replace(visits.spec, columns=columns))
    found = decode(newer.spec, newer.schema, [make_record(0, [{"_id": "a"}, {"_id": "b"}])])
    assert (len(found), found.dead) == (2, ())
    assert found.table["later"].null_count == 2
    before = decode(visits.spec, visits.schema, [make_record(0, [{"_id": "a"}, {"_id": "b"}])])
    assert found.ids.tolist() == before.ids.tolist()
