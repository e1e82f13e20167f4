"""A view over several streams says the same of a set of events in every way of asking for it.

Values read from the logs of all streams, training sets and recomputed vectors are compared bit for
bit with one another, and with a loop over all events.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2
from tidemill.project import loads, normalise
from tidemill_common import events
from tidemill_common.events import TIMESTAMP
from tidemill_common.feature_views import ViewSpec, view_spec
from tidemill_common.kafka import Record
from tidemill_features import archive
from tidemill_features.backfill import archived
from tidemill_features.definitions import StreamWork, Work, work_of
from tidemill_features.flushing import PartitionState
from tidemill_features.testing import WrittenArchive
from tidemill_features.trainingset import Means, Wanted, build
from tidemill_features.verify import Verified, verify
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.definitions import PAIRS, Aggregation
from tidemill_tiles.keys import (
    event_id_hashes,
    hash_keys,
    key_column,
    partitions_of,
    stream_salt,
)
from tidemill_tiles.owner import Owner
from tidemill_tiles.reads import Reading, Status, read
from tidemill_tiles.replica import Replica
from tidemill_tiles.testing.oracle import Oracle, OracleEvent
from tidemill_tiles.verdict import PartitionVerdict

SECOND: Final = 1_000_000
START: Final = 1_700_000_000
END_MS: Final = (START + 86_400) * 1_000
PROJECT: Final = """
project: shop
streams:
  web:
    key: [session]
    replay: true
    partitions: 3
    lateness: 30m
    dedupe: 10m
    fields:
      session: {type: string, required: true}
      user: {type: string}
      total: {type: float64, resolution: 0.01}
      page: {type: string}
  till:
    key: [till]
    replay: true
    partitions: 2
    lateness: 1h
    dedupe: 10m
    fields:
      till: {type: int64, required: true}
      customer: {type: string}
      cents: {type: int64}
      kind: {type: string}
  refunds:
    key: [customer]
    replay: true
    partitions: 1
    lateness: 2h
    dedupe: 10m
    fields:
      customer: {type: string, required: true}
      amount: {type: float64, resolution: 0.01}
  asks:
    key: [user]
    replay: true
    lateness: 30d
    fields:
      user: {type: string, required: true}
      wanted: {type: float64}
views:
  spending:
    entity: [user]
    sources:
      - stream: web
        columns: {amount: total, place: page}
      - stream: till
        columns: {user: customer, amount: cents / 100.0, place: "'till ' || CAST(till AS VARCHAR)"}
        filter: kind = 'sale'
      - stream: refunds
        columns: {user: customer, amount: -amount, place: "'refund'"}
    filter: amount <> 0.13
    columns:
      large: {type: bool, expression: ABS(amount) > 2}
    aggregations:
      - {function: count, windows: [10m, 1h, lifetime]}
      - {function: count, filter: large, name: large, windows: [1h]}
      - {function: ratio, of: [large, count], windows: [1h], name: large_share}
      - {function: sum, field: amount, windows: [10m, 1h]}
      - {function: std, field: amount, windows: [1h]}
      - {function: min, field: amount, windows: [1h]}
      - {function: max, field: amount, windows: [1h]}
      - {function: first, field: amount, windows: [10m, 1h]}
      - {function: last, field: amount, windows: [10m, 1h]}
      - {function: last_k, field: amount, k: 3, windows: [1h]}
      - {function: ewma, field: amount, half_life: 5m, windows: [1h]}
      - {function: time_since_last, windows: [1h]}
      - {function: time_since_last, field: amount, windows: [lifetime]}
      - {function: distinct, field: place, windows: [1h]}
      - {function: top_k, field: amount, k: 2, gives: [value, share], windows: [1h]}
      - {function: quantile, field: amount, quantiles: [0, 0.5, 1], windows: [1h]}
      - {function: histogram, field: amount, edges: [-1.5, 1.5], windows: [1h]}
  pages:
    stream: web
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
models:
  rich:
    spine: {stream: asks, key: [user]}
    inputs:
      - {view: spending}
      - {view: pages}
    label: {stream: asks, expression: wanted, task: regression}
"""
STREAMS: Final = ("web", "till", "refunds")
LATENESS: Final = {"web": 1_800, "till": 3_600, "refunds": 7_200}


@dataclass(frozen=True)
class Order:
    """An event of any of the streams, in seconds after the start."""

    stream: str
    number: int
    user: str | None
    at: int
    known: int
    cents: int | None
    sale: bool = True

    @property
    def id(self) -> str:
        """Return its id: two streams have events of one id."""
        return f"e{self.number}"

    @property
    def key(self) -> bytes:
        """Return the key that chooses its partition."""
        keys = {"web": f"s{self.number % 5}", "till": str(self.number % 4)}
        return keys.get(self.stream, self.user or "nobody").encode()

    @property
    def counts(self) -> bool:
        """Say whether it is a row of the view, as the project says."""
        return (self.sale or self.stream != "till") and self.amount not in {None, 0.13}

    @property
    def amount(self) -> float | None:
        """Return its amount, as the project says."""
        if self.cents is None:
            return None
        return -self.cents / 100 if self.stream == "refunds" else self.cents / 100

    def row(self) -> dict[str, Any]:
        """Return its fields."""
        amount = None if self.cents is None else self.cents / 100
        shared = {
            "_id": self.id, "_source": "test",
            "_time": micros(self.at), "_available": micros(self.known),
        }  # fmt: skip
        own: dict[str, Any] = {"customer": self.user or "nobody", "amount": amount}
        if self.stream == "web":
            own = {"session": self.key.decode(), "user": self.user, "total": amount, "page": "p"}
        if self.stream == "till":
            kind = "sale" if self.sale else "void"
            own = {
                "till": self.number % 4, "customer": self.user, "cents": self.cents, "kind": kind,
            }  # fmt: skip
        return shared | own

    def oracle(self) -> OracleEvent:
        """Return it as the oracle takes it."""
        places = {"web": "p", "till": f"till {self.number % 4}", "refunds": "refund"}
        amount = self.amount or 0.0
        values = {"amount": self.amount, "place": places[self.stream]}
        tie = tie_of(self.id) ^ stream_salt(self.stream)
        passes = {"large": abs(amount) > 2}
        return OracleEvent(micros(min(self.at, self.known)), tie, values, passes)


@dataclass(frozen=True)
class Ask:
    """A moment at which a user's values are wanted."""

    user: str
    at: int


def micros(seconds: int) -> int:
    return (START + seconds) * SECOND


@lru_cache(None)
def tie_of(name: str) -> int:
    hashes = event_id_hashes(pa.array(["test"]), pa.array([name]), pa.nulls(1, pa.string()))
    return int(hashes[0])


@lru_cache(None)
def a_project() -> project_pb2.Project:
    loaded = loads(PROJECT)
    assert loaded.problems == []
    return normalise(loaded.project)


@lru_cache(None)
def the_work() -> Work:
    return work_of(a_project(), "1")


@lru_cache(None)
def the_view(name: str = "spending") -> ViewSpec:
    return view_spec(a_project(), name)


@dataclass
class Log:
    """One partition of a stream: its owner, and what follows the logs of its views."""

    work: StreamWork
    partition: int
    state: PartitionState = field(init=False)
    followers: dict[str, Replica] = field(init=False)

    def __post_init__(self) -> None:
        owners = {view.key: Owner(view.plan, "1") for view in self.work.views}
        verdict = PartitionVerdict(IdWindow(self.work.spec.dedupe_us), self.work.spec.lateness_us)
        self.state = PartitionState(self.work, self.partition, owners, verdict, 0)
        self.followers = {view.name: Replica(view.plan) for view in self.work.views}
        self.flush([])

    def flush(self, rows: Sequence[dict[str, Any]]) -> None:
        schema, offset = self.work.schema, self.state.position
        values = [events.encode(pa.RecordBatch.from_pylist([row], schema=schema)) for row in rows]
        records = [
            Record(self.work.topic, self.partition, offset + place, END_MS, None, value, ())
            for place, value in enumerate(values)
        ]
        for view, record in self.state.flush(records).log:
            self.followers[view.name].apply(record)


class Live:
    """Every stream as its workers have it, and a replica of all logs."""

    def __init__(self) -> None:
        self.logs = {
            name: [Log(work, number) for number in range(work.spec.partitions)]
            for name, work in the_work().streams.items()
            if name in STREAMS
        }

    def publish(self, order: Order) -> None:
        partitions = self.logs[order.stream]
        self.logs[order.stream][place_of(order, len(partitions))].flush([order.row()])

    def read(self, name: str, user: str, at_us: int, chance: random.Random) -> Reading:
        """Read a view from the tables of all partitions of all its streams, in any order."""
        view = the_view(name)
        tables = [log.followers[name].table for one in view.streams for log in self.logs[one]]
        chance.shuffle(tables)
        return read(view.plan, tables, hash_keys([canonical_key([user])]), at_us)

    def positions(self) -> dict[str, list[int]]:
        """Return the positions of the logs, as a prediction carries them."""
        return {
            view.log(stream).name: [log.state.position for log in self.logs[stream]]
            for view in (the_view("spending"), the_view("pages"))
            for stream in view.streams
        }


def place_of(order: Order, partitions: int) -> int:
    keys = key_column([pa.array([order.key.decode()])])
    return int(partitions_of(keys, partitions)[0])


def served(orders: Sequence[Order], asks: Sequence[Ask], seed: int) -> list[dict[str, Any]]:
    """Publish everything as it becomes known, and log the vectors that are read meanwhile."""
    live, chance, waiting, found = Live(), random.Random(seed), list(orders), []
    for number, ask in enumerate(asks):
        while waiting and waiting[0].known <= ask.at:
            live.publish(waiting.pop(0))
        at_us = micros(ask.at)
        values = [
            live.read(name, ask.user, at_us, chance).values[0] for name in ("spending", "pages")
        ]
        found.append(
            {
                "_prediction_id": f"a{number}",
                "_time": at_us,
                "_vector": np.concatenate(values).tolist(),
                "_request": json.dumps({"user": ask.user}),
                "_positions": json.dumps(live.positions()),
            }
        )
    return found


class Archives:
    """All streams as the archive has them."""

    def __init__(self, folder: Path, orders: Sequence[Order], asks: Sequence[Ask]) -> None:
        self.folder, self.root = folder, folder / "archive"
        rows = {name: [one.row() for one in orders if one.stream == name] for name in STREAMS}
        rows["asks"] = [
            {
                "_id": f"a{number}", "_source": "test", "_time": micros(ask.at),
                "_available": micros(ask.at), "user": ask.user, "wanted": 1.0,
            }
            for number, ask in enumerate(asks)
        ]  # fmt: skip
        self.streams = {}
        for name, found in rows.items():
            work = the_work().streams[name]
            self.streams[name] = WrittenArchive(self.root, work, rows_a_record=1)
            if found:
                table = pa.Table.from_pylist(found, schema=work.schema)
                self.streams[name].add(table, END_MS * 1_000)

    def read(self, stream: str, _: Sequence[str], __: Sequence[int]) -> pa.Table:
        """Return every row of a stream, as the audit reads it."""
        one = self.streams[stream]
        return archive.read(str(self.root), stream, one.version, one.cut)

    def training_set(self, chunk_rows: int, batch_rows: int) -> pa.Table:
        """Build the set of all asks."""
        tables: list[pa.Table] = []
        build(
            Wanted(a_project(), "rich", unlabelled=True),
            lambda name: self.streams[name].scan(self.folder, batch_rows=batch_rows),
            Means(self.folder, chunk_rows=chunk_rows),
            tables.append,
            lambda *_: None,
        )
        return pa.concat_tables(tables)


def applied(orders: Sequence[Order]) -> list[Order]:
    """Return what counts: each stream's partitions decide about their own events."""
    seen: set[tuple[str, int, str]] = set()
    newest: dict[tuple[str, int], int] = {}
    kept = []
    for one in orders:
        partitions = the_work().streams[one.stream].spec.partitions
        log = (one.stream, place_of(one, partitions))
        time = min(one.at, one.known)
        late = time < newest.get(log, time) - LATENESS[one.stream]
        newest[log] = max(newest.get(log, time), time)
        duplicate = (*log, one.id) in seen
        seen.add((*log, one.id))
        if not late and not duplicate:
            kept.append(one)
    return kept


def expected(orders: Sequence[Order], ask: Ask) -> tuple[Oracle, list[tuple[float, Status]]]:
    """Return what a loop over all events says of the view over all streams."""
    definition = the_view().definition
    oracle = Oracle(definition)
    for one in applied(orders):
        user = one.user or ("nobody" if one.stream == "refunds" else None)
        if one.known <= ask.at and user is not None and one.counts:
            oracle.add(canonical_key([user]), one.oracle())
    return oracle, oracle.read(canonical_key([ask.user]), micros(ask.at))


def is_near(oracle: Oracle, one: Aggregation, ask: Ask, got: float, wanted: float) -> bool:
    if math.isnan(wanted) or math.isnan(got):
        return math.isnan(wanted) and math.isnan(got)
    if one.function in PAIRS:
        return got == wanted
    return abs(got - wanted) <= oracle.bound(one, canonical_key([ask.user]), micros(ask.at))


def bits(values: Any) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(values, dtype=np.float64).view(np.int64)


def logged(rows: Sequence[dict[str, Any]]) -> pa.Table:
    table = pa.Table.from_pylist(list(rows))
    place = table.schema.get_field_index("_time")
    return table.set_column(place, "_time", table["_time"].cast(TIMESTAMP))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Order], list[Ask]]:
    """Draw events of all streams: equal times and ids, late ones, repeated ones, lonely streams."""
    users = st.sampled_from(["ann", "bob", "çem", None])
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(STREAMS),
                users,
                st.integers(0, 600).map(lambda tens: 10 * tens),
                st.sampled_from([0, 0, 0, 10, 600, 2_400, 5_000, -600]),
                st.sampled_from([13, 100, 250, -250, 999, None]),
                st.sampled_from([True, True, False]),
            ),
            min_size=1,
            max_size=40,
        )
    )
    counts = dict.fromkeys(STREAMS, 0)
    orders = []
    for stream, user, at, late, cents, sale in drawn:
        orders.append(Order(stream, counts[stream], user, at, max(at + late, 0), cents, sale))
        counts[stream] += 1
    again = draw(st.lists(st.sampled_from(orders), max_size=4))
    orders += [replace(one, known=one.known + 30) for one in again]
    times = st.integers(0, 900).map(lambda tens: 10 * tens)
    asks = draw(st.lists(st.tuples(st.sampled_from(["ann", "bob", "çem"]), times), min_size=1))
    asked = sorted((Ask(user, at) for user, at in asks), key=lambda one: one.at)
    return sorted(orders, key=lambda one: one.known), asked


SAME_MOMENT: Final = (
    [Order(stream, 7, "ann", 600, 600, cents) for stream, cents in
     (("web", 250), ("till", 250), ("refunds", -250))],
    [Ask("ann", 600), Ask("ann", 1_200), Ask("bob", 1_200)],
)  # fmt: skip
"""Events with one id, time and value: they are three all the same."""


@given(histories(), st.integers(0, 5))
@example(SAME_MOMENT, 0)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # an archive takes too long to shrink
)
def test_what_is_served_trained_on_and_recomputed_is_what_a_loop_over_all_events_says(
    history: tuple[list[Order], list[Ask]], seed: int
) -> None:
    orders, asks = history
    vectors = served(orders, asks, seed)
    features = the_view().definition.aggregations
    for ask, vector in zip(asks, vectors, strict=True):
        oracle, wanted = expected(orders, ask)
        for one, got, (value, state) in zip(features, vector["_vector"], wanted, strict=False):
            known = value if state is Status.PRESENT else math.nan
            assert is_near(oracle, one, ask, got, known), (ask, one, got, known)
    with tempfile.TemporaryDirectory() as name:
        archives = Archives(Path(name), orders, asks)
        rows = archives.training_set(chunk_rows=3, batch_rows=2)
        by_id = {row["_spine_id"]: row for row in rows.to_pylist()}
        columns = [f"spending__{one.name}" for one in features] + ["pages__count_1h"]
        for number, vector in enumerate(vectors):
            row = by_id[f"a{number}"]
            np.testing.assert_array_equal(
                bits([row[column] for column in columns]), bits(vector["_vector"])
            )
        checked = verify(a_project(), "rich", logged(vectors), archives.read)
    assert (checked.vectors, checked.mismatches, checked.examples) == (len(asks), 0, [])


def test_a_view_that_is_built_from_the_archives_of_its_streams_says_what_the_live_one_says() -> (
    None
):
    chance = random.Random(5)
    orders = [
        Order(chance.choice(STREAMS), number, chance.choice(["ann", "bob"]), at, at, cents)
        for number in range(120)
        for at, cents in [(chance.randrange(9_000), chance.randrange(-999, 999))]
    ]
    orders.sort(key=lambda one: one.known)
    live, view = Live(), the_view()
    for one in orders:
        live.publish(one)
    owners = []
    with tempfile.TemporaryDirectory() as name:
        archives = Archives(Path(name), orders, [Ask("ann", 0)])
        for stream in view.streams:
            for number in range(view.partitions_of(stream)):
                owner, work = Owner(view.plan, "1"), the_work().streams[stream]
                found = asyncio.run(archived(str(archives.root), work, view, number))
                for log in found.replay(owner, found.position, rows=7) if found else ():
                    assert log
                owners.append(owner)
    at_us = micros(9_000)
    for user in ("ann", "bob"):
        hashes = hash_keys([canonical_key([user])])
        built = read(view.plan, [owner.table for owner in owners], hashes, at_us)
        served = live.read("spending", user, at_us, chance)
        np.testing.assert_array_equal(bits(built.values), bits(served.values))
        assert built.values[0, 2] > 0


def test_events_of_one_id_time_and_value_in_two_streams_are_two() -> None:
    orders, asks = SAME_MOMENT
    vector = served(orders, asks, 1)[1]["_vector"]
    found = dict(zip(the_view().features, vector, strict=False))
    assert found["count_1h"] == 3
    assert [found[f"last_k_amount_{place}_1h"] for place in (1, 2, 3)] == [2.5, 2.5, 2.5]


def test_a_vector_that_lacks_one_of_the_streams_is_not_compared() -> None:
    orders, asks = SAME_MOMENT
    vectors = served(orders, asks, 1)
    positions = json.loads(vectors[0]["_positions"])
    del positions[the_view().log("till").name]
    vectors[0]["_positions"] = json.dumps(positions)
    with tempfile.TemporaryDirectory() as name:
        found: Verified = verify(
            a_project(), "rich", logged(vectors), Archives(Path(name), orders, asks).read
        )
    assert (found.vectors, found.skipped, found.mismatches) == (2, 1, 0)
