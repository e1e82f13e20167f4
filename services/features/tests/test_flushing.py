"""What a flush decides and writes, and that a state that follows the log is the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tidemill_common import events
from tidemill_common.kafka import Record
from tidemill_features.definitions import StreamWork
from tidemill_features.flushing import Counts, Flush, Gap, PartitionState
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.owner import Owner
from tidemill_tiles.reads import read
from tidemill_tiles.replica import Replica
from tidemill_tiles.verdict import PartitionVerdict

MakeRecord = Callable[..., Record]


def a_state(work: StreamWork) -> PartitionState:
    owners = {view.key: Owner(view.plan, "00000001") for view in work.views}
    verdict = PartitionVerdict(IdWindow(work.spec.dedupe_us), work.spec.lateness_us)
    return PartitionState(work, 0, owners, verdict, 0)


class Followers:
    """Replicas of every view that read what was flushed."""

    def __init__(self, work: StreamWork) -> None:
        self.replicas = {view.name: Replica(view.plan) for view in work.views}

    def read(self, flush: Flush) -> None:
        for view, record in flush.log:
            self.replicas[view.name].apply(record)

    def values(self, view: str, keys: Sequence[str], at_s: float) -> npt.NDArray[np.float64]:
        replica = self.replicas[view]
        hashes = hash_keys([key.encode() for key in keys])
        return read(replica.plan, [replica.table], hashes, round(at_s * 1e6)).values


def test_every_row_gets_exactly_one_fate(visits: StreamWork, make_record: MakeRecord) -> None:
    state = a_state(visits)
    rows: list[dict[str, Any]] = [
        {"_id": "a", "at": 9_000.0},
        {"_id": "a", "at": 9_000.0},
        {"_id": "late", "at": 9_000.0 - 3_601.0},
        {"_id": "dead", "amount": float("nan")},
        {"_id": "b", "at": 8_000.0},
    ]
    flush = state.flush([make_record(0, rows, appended_s=9_000.0)])
    assert flush.counts == Counts(applied=2, duplicate=1, late=1, dead=1)
    (late,) = flush.late
    assert (late.record.offset, late.row) == (0, 2)
    assert events.decode(late.value, visits.schema)["_id"].to_pylist() == ["late"]


def test_a_reader_of_the_log_sees_the_owners_values_and_position(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    state, followers = a_state(visits), Followers(visits)
    rows = [{"_id": str(n), "user": f"u{n % 3}", "country": "NL", "amount": n} for n in range(9)]
    followers.read(state.flush([make_record(0, rows)]))
    assert followers.values("users", ["u0", "u1"], 1_000.0).tolist() == [[3, 3, 9], [3, 3, 12]]
    assert followers.values("countries", ["NL"], 1_000.0).tolist() == [[4.0]]
    assert {one.position for one in followers.replicas.values()} == {1}


def test_an_idle_flush_writes_to_every_view_and_moves_nothing_but_its_time(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    state, followers = a_state(visits), Followers(visits)
    followers.read(state.flush([make_record(0, [{}])]))
    idle = state.flush([])
    assert {view.name for view, _ in idle.log} == {"users", "countries"}
    followers.read(idle)
    assert idle.position == 1
    assert followers.values("users", ["u1"], 1_000.0).tolist() == [[1, 1, 1]]


def test_redelivered_records_change_nothing(visits: StreamWork, make_record: MakeRecord) -> None:
    state, followers = a_state(visits), Followers(visits)
    record = make_record(0, [{"amount": 2.0}])
    followers.read(state.flush([record]))
    again = state.flush([record])
    followers.read(again)
    assert again.counts == Counts()
    assert followers.values("users", ["u1"], 1_000.0).tolist() == [[1, 1, 2]]


def test_a_missing_offset_is_an_error_and_never_skipped(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    state = a_state(visits)
    state.flush([make_record(0, [{}])])
    with pytest.raises(Gap, match="2, not 1"):
        state.flush([make_record(2, [{}])])


@pytest.mark.parametrize("seed", range(5))
def test_the_state_does_not_depend_on_how_records_are_cut_into_flushes(
    visits: StreamWork, make_record: MakeRecord, seed: int
) -> None:
    chance = random.Random(seed)
    records = [
        make_record(
            offset,
            [
                {
                    "_id": str(chance.randrange(60)),
                    "user": f"u{chance.randrange(4)}",
                    "amount": chance.randrange(1_000) / 100,
                    "at": 1_000.0 + chance.randrange(4_000),
                }
                for _ in range(chance.randrange(1, 6))
            ],
            appended_s=1_000.0 + offset,
        )
        for offset in range(20)
    ]
    whole, pieces = Followers(visits), Followers(visits)
    whole.read(a_state(visits).flush(records))
    state, rest = a_state(visits), records
    while rest:
        size = chance.randrange(1, 5)
        pieces.read(state.flush(rest[:size]))
        rest = rest[size:]
    users = [f"u{n}" for n in range(4)]
    for at in (2_000.0, 3_000.0, 5_000.0):
        one, other = (each.values("users", users, at) for each in (whole, pieces))
        np.testing.assert_array_equal(one, other)


def test_after_a_crash_a_new_owner_goes_on_from_the_log_alone(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    records = [make_record(n, [{"_id": str(n), "amount": n}]) for n in range(6)]
    lived = Followers(visits)
    lived.read(a_state(visits).flush(records))
    crashed = Followers(visits)
    crashed.read(a_state(visits).flush(records[:3]))
    owners = {view.key: crashed.replicas[view.name].promote("00000002") for view in visits.views}
    ids = IdWindow(visits.spec.dedupe_us)
    a_rebuild = a_state(visits)
    a_rebuild.verdict.ids = ids
    a_rebuild.flush(records[:3])  # the raw topic gives the ids back
    verdict = PartitionVerdict(
        ids, visits.spec.lateness_us, next(iter(owners.values())).watermark_us
    )
    state = PartitionState(visits, 0, owners, verdict, 3)
    after = Followers(visits)
    after.read(a_state(visits).flush(records[:3]))
    after.read(state.flush(records))
    np.testing.assert_array_equal(
        after.values("users", ["u1"], 1_000.0), lived.values("users", ["u1"], 1_000.0)
    )


def test_a_flush_that_is_one_record_for_each_log_needs_no_transaction(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    state = a_state(visits)
    assert not state.flush([make_record(0, [{"_id": "a", "at": 9_000.0}])]).separable  # genesis
    assert state.flush([make_record(1, [{"_id": "b", "at": 9_001.0}])]).separable
    assert state.flush([]).separable


def test_late_and_dead_rows_and_snapshots_bind_a_flush_together(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    state = a_state(visits)
    state.flush([make_record(0, [{"_id": "a", "at": 9_000.0}], appended_s=9_000.0)])
    late = [{"_id": "late", "at": 9_000.0 - 3_601.0}]
    assert not state.flush([make_record(1, late, appended_s=9_000.0)]).separable
    dead = [{"_id": "dead", "amount": float("nan")}]
    assert not state.flush([make_record(2, dead, appended_s=9_000.0)]).separable
    state.owners[visits.views[0].key].begin_snapshot()
    assert not state.flush([make_record(3, [{"_id": "c", "at": 9_001.0}])]).separable


def test_what_is_held_takes_the_same_records_and_gives_its_own_verdicts(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    patient = replace(visits.spec, lateness_us=2 * visits.spec.lateness_us)
    views = tuple(replace(view, version=f"x{view.version[1:]}") for view in visits.views)
    plain, state = a_state(visits), a_state(visits)
    state.held = a_state(StreamWork(patient, views))
    first = [{"_id": "a", "at": 9_000.0}, {"_id": "bad", "amount": float("nan"), "at": 9_000.0}]
    second = [{"_id": "late", "at": 9_000.0 - 3_601.0}, {"_id": "a", "at": 9_000.0}]
    records = [make_record(n, rows, appended_s=9_000.0) for n, rows in enumerate((first, second))]
    alone, both = plain.flush(records), state.flush(records)
    assert (both.late, both.counts) == (alone.late, alone.counts)
    assert [one.value for one in both.dead] == [one.value for one in alone.dead]
    assert both.position == alone.position == state.held.position
    assert both.log[: len(alone.log)] == alone.log
    users = [view for view in (*visits.views, *views) if view.name == "users"]
    tiles = [state.all_owners[view.key].table.tiles for view in users]
    assert tiles[1] > tiles[0]  # the row that is late for one is not for the other
    assert {view.key for view, _ in both.log} == state.all_owners.keys()


def test_what_is_held_binds_no_flush_together(visits: StreamWork, make_record: MakeRecord) -> None:
    views = tuple(replace(view, version=f"x{view.version[1:]}") for view in visits.views)
    state = a_state(visits)
    state.held = a_state(StreamWork(visits.spec, views))
    assert not state.flush([make_record(0, [{"_id": "a", "at": 9_000.0}])]).separable  # genesis
    flush = state.flush([make_record(1, [{"_id": "b", "at": 9_001.0}])])
    assert flush.separable
    assert len(flush.log) == 2 * len(visits.views)


def test_hashes_of_entities_stand_in_the_order_of_their_keys(
    visits: StreamWork, make_record: MakeRecord
) -> None:
    state = a_state(visits)
    state.flush([make_record(0, [{"_id": str(n), "user": f"u{n}"} for n in range(7)])])
    for owner in state.owners.values():
        keys = list(owner.table.keys_now())
        assert keys == [owner.table.keys_now().key(row) for row in range(len(keys))]
        np.testing.assert_array_equal(owner.table.hashes_now(), hash_keys(keys))
