"""An erased entity leaves state and log; every other entity's values stay bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.definitions.v1 import project_pb2
from tidemill_common.erased_entity import entity_of
from tidemill_common.erasures import Erased, ErasedKey
from tidemill_common.kafka import Record
from tidemill_features.archive import Piece, rows_of
from tidemill_features.decoding import decode
from tidemill_features.definitions import StreamWork
from tidemill_features.erasing import KEYS_AT_ONCE, decide, held
from tidemill_features.flushing import Flush, PartitionState
from tidemill_tiles.codec import Kind, decode_header
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.definitions import view_version
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.owner import Owner
from tidemill_tiles.reads import Status, read
from tidemill_tiles.replica import Replica
from tidemill_tiles.verdict import PartitionVerdict, Verdict

MakeRecord = Callable[..., Record]
SECRET = b"k" * 32
AT_S = 1_100.0


def a_verdict(work: StreamWork) -> PartitionVerdict:
    return PartitionVerdict(IdWindow(work.spec.dedupe_us), work.spec.lateness_us)


def a_state(work: StreamWork) -> PartitionState:
    owners = {view.key: Owner(view.plan, "00000001") for view in work.views}
    return PartitionState(work, 0, owners, a_verdict(work), 0)


def erased(project: project_pb2.Project, *users: str, clean: bool = False) -> Erased:
    entities = [entity_of(project, {"user": user}) for user in users]
    return Erased(
        SECRET,
        [ErasedKey(one.fields, one.digest(SECRET), state_clean=clean) for one in entities],
    )


def rows(begin: int, users: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"_id": f"e{begin + n}", "user": user, "country": "NL", "amount": 1.5 + n}
        for n, user in enumerate(users)
    ]


def erase(state: PartitionState, wanted: Erased) -> dict[str, int]:
    """Do what the partition does: refuse, look, erase; return how many by the view's name."""
    return by_name(state.erase(state.refuse(wanted).run()))


def by_name(counts: dict[str, int]) -> dict[str, int]:
    return {key.partition(".")[0]: count for key, count in counts.items()}


class Follower:
    """Replicas of every view, and the bytes that they were told."""

    def __init__(self, work: StreamWork) -> None:
        self.replicas = {view.name: Replica(view.plan) for view in work.views}
        self.told: dict[str, list[bytes]] = {view.name: [] for view in work.views}

    def follow(self, flush: Flush) -> None:
        for view, record in flush.log:
            self.replicas[view.name].apply(record)
            self.told[view.name].append(record)

    def values(
        self, view: str, keys: Sequence[str]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        replica = self.replicas[view]
        hashes = hash_keys([key.encode() for key in keys])
        at = np.full(len(keys), round(AT_S * 1e6))
        found = read(replica.plan, [replica.table], hashes, at)
        return found.values, found.status


def test_followers_lose_the_erased_entity_at_once_and_nothing_else(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project
) -> None:
    state, follower = a_state(visits), Follower(visits)
    follower.follow(state.flush([make_record(0, rows(0, ["ada", "bob", "ada", "eve"]))]))
    others, _ = follower.values("users", ["bob", "eve"])
    countries, _ = follower.values("countries", ["NL"])
    assert erase(state, erased(project, "ada")) == {"users": 1}
    follower.follow(state.flush([]))
    _, status = follower.values("users", ["ada"])
    assert (status == Status.NOT_FOUND).all()
    assert follower.values("users", ["bob", "eve"])[0].tobytes() == others.tobytes()
    assert follower.values("countries", ["NL"])[0].tobytes() == countries.tobytes()


def test_rows_of_an_erased_entity_are_applied_nowhere_and_change_nobody_elses_fate(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project
) -> None:
    later: list[dict[str, Any]] = [
        {"_id": "a1", "user": "ada", "at": 9_000.0},
        {"_id": "a2", "user": "ada", "at": 100.0},
        {"_id": "dead", "user": "ada", "amount": float("nan")},
        {"_id": "b1", "user": "bob", "at": 9_000.0},
        {"_id": "b1", "user": "bob", "at": 9_000.0},
        {"_id": "late", "user": "bob", "at": 9_000.0 - 3_601.0},
    ]
    state = a_state(visits)
    erase(state, erased(project, "ada"))
    flush = state.flush([make_record(0, later, appended_s=9_000.0)])
    assert flush.counts.erased == 2
    assert (flush.counts.applied, flush.counts.duplicate, flush.counts.late) == (1, 1, 1)
    assert flush.dead == ()
    assert [b"ada" in one.value for one in flush.late] == [False]
    assert not any(b"ada" in record for _, record in flush.log)


def test_two_snapshots_after_the_erasure_the_log_does_not_name_the_entity(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project
) -> None:
    state, follower = a_state(visits), Follower(visits)
    follower.follow(state.flush([make_record(0, rows(0, ["ada", "bob"]))]))
    assert any(b"ada" in record for record in follower.told["users"])
    erase(state, erased(project, "ada"))
    next(o for key, o in state.owners.items() if key.startswith("users.")).begin_snapshot()
    follower.follow(state.flush([]))
    kinds = [decode_header(record).kind for record in follower.told["users"]]
    begin = kinds.index(Kind.SNAPSHOT_BEGIN)
    assert Kind.GONE in kinds[:begin]
    assert not any(b"ada" in record for record in follower.told["users"][begin:])
    assert any(b"bob" in record for record in follower.told["users"][begin:])


def test_an_entity_is_looked_for_once_and_one_whose_state_is_clean_never(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project
) -> None:
    state = a_state(visits)
    state.flush([make_record(0, rows(0, ["ada", "bob", "eve"]))])
    assert erase(state, erased(project, "ada")) == {"users": 1}
    assert erase(state, erased(project, "ada", "eve")) == {"users": 1}
    assert erase(state, erased(project, "bob", clean=True)) == {}


def test_rows_that_come_while_the_state_is_searched_bring_no_entity_back(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project
) -> None:
    state, follower = a_state(visits), Follower(visits)
    follower.follow(state.flush([make_record(0, rows(0, ["ada", "bob"]))]))
    search = state.refuse(erased(project, "ada"))
    more = [f"u{number}" for number in range(500)]
    follower.follow(state.flush([make_record(1, rows(10, ["ada", *more]))]))
    assert by_name(state.erase(search.run())) == {"users": 1}
    follower.follow(state.flush([]))
    keys = follower.replicas["users"].table.entity_keys()
    assert sorted(keys) == sorted([b"bob", *(one.encode() for one in more)])


def test_the_archive_takes_no_row_of_an_erased_entity(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project
) -> None:
    events = decode(visits.spec, visits.schema, [make_record(0, rows(0, ["ada", "bob", "ada"]))])
    found = decide(a_verdict(visits), events, erased(project, "ada"))
    assert found.tolist() == [Verdict.ERASED, Verdict.APPLIED, Verdict.ERASED]
    assert rows_of(Piece(0, 1, 0, events, found))["user"].to_pylist() == ["bob"]


def test_an_erased_entity_leaves_what_is_held_beside_the_served_views_too(
    visits: StreamWork, make_record: MakeRecord, project: project_pb2.Project
) -> None:
    state = a_state(visits)
    users = next(view for view in visits.views if view.name == "users")
    changed = replace(users.definition, filter="amount > 0")
    held = replace(users, version=view_version(changed), definition=changed)
    state.held = a_state(StreamWork(visits.spec, (held,)))
    state.flush([make_record(0, rows(0, ["ada", "bob"]))])
    found = state.erase(state.refuse(erased(project, "ada")).run())
    assert found == {users.key: 1, held.key: 1}
    state.flush([make_record(1, rows(2, ["ada", "bob"]))])
    for view in (users, held):
        assert set(state.all_owners[view.key].table.entity_keys()) == {b"bob"}


def test_every_key_of_a_view_is_looked_at_and_given_in_its_order(
    visits: StreamWork, project: project_pb2.Project
) -> None:
    view = next(view for view in visits.views if view.entity == ("user",))
    keys = [f"u{number}".encode() for number in range(2 * KEYS_AT_ONCE + 1)]
    hers = ["u0", f"u{KEYS_AT_ONCE - 1}", f"u{KEYS_AT_ONCE}", f"u{2 * KEYS_AT_ONCE}"]
    wanted = erased(project, *reversed(hers), "nobody")
    assert held(view, iter(keys), wanted) == [one.encode() for one in hers]
