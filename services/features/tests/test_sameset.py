"""One training set: whatever partitions, batches, files and pieces its events came through.

Values are compared with a loop over all events for every row, and with ASOF joins of DuckDB.
"""

from __future__ import annotations

import math
import random
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2
from tidemill.project import loads, normalise
from tidemill_common.events import TIMESTAMP
from tidemill_common.feature_views import ViewSpec, view_specs
from tidemill_features.definitions import work_of
from tidemill_features.rowhash import row_hash
from tidemill_features.rowsfile import RowsFile
from tidemill_features.testing import WrittenArchive
from tidemill_features.trainingset import Means, Wanted, build
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.keys import event_id_hashes
from tidemill_tiles.testing.oracle import Oracle, OracleEvent

SECOND: Final = 1_000_000
START: Final = 1_700_000_000
MAX_DELAY: Final = 3_600
PROJECT: Final = """
project: shop
streams:
  visits:
    key: [user]
    replay: true
    lateness: 30d
    dedupe: 1h
    partitions: {partitions}
    fields:
      user: {{type: string, required: true}}
      page: {{type: string}}
      wanted_at: {{type: timestamp}}
      amount: {{type: float64, resolution: 0.01}}
  orders:
    key: [user]
    replay: true
    lateness: 30d
    partitions: {partitions}
    fields:
      user: {{type: string, required: true}}
      paid: {{type: float64}}
views:
  users:
    stream: visits
    entity: [user]
    ttl: 10m
    aggregations:
      - {{function: count, windows: [10m, 1h]}}
      - {{function: std, field: amount, windows: [1h]}}
      - {{function: last, field: amount, windows: [1h]}}
  places:
    stream: visits
    entity: [user, page]
    aggregations:
      - {{function: count, windows: [1h]}}
      - {{function: max, field: amount, windows: [10m]}}
  ever:
    stream: visits
    entity: [user]
    aggregations:
      - {{function: count, windows: [lifetime]}}
      - {{function: sum, field: amount, windows: [lifetime]}}
models:
  buys:
    spine: {{stream: visits, time: wanted_at, key: [user]}}
    inputs:
      - {{view: users}}
      - {{view: places}}
      - {{view: ever}}
      - {{field: amount}}
    label: {{stream: orders, expression: paid, max_delay: 1h, task: regression}}
    trainer: {{name: tabular, seed: 1}}
"""


@dataclass(frozen=True)
class Visit:
    """An event, in seconds after the start."""

    number: int
    user: str
    page: str | None
    at: int
    known: int
    wanted: int | None
    amount: int  # hundredths


@dataclass(frozen=True)
class Order:
    """A label event."""

    number: int
    user: str
    at: int
    paid: float | None


@dataclass(frozen=True)
class Way:
    """A way by which the events come into the set."""

    partitions: int = 1
    commits: int = 1
    record: int = 500
    chunk: int = 1_000
    batch: int = 1_000
    shards: int = 1
    compacted: bool = False


@dataclass(frozen=True)
class Set:
    """A set as it is stored."""

    table: pa.Table
    digest: bytes
    row_hash: str


@lru_cache
def a_project(partitions: int) -> project_pb2.Project:
    loaded = loads(PROJECT.format(partitions=partitions))
    assert not loaded.problems
    return normalise(loaded.project)


def columns(rows: list[dict[str, Any]], kinds: dict[str, pa.DataType]) -> pa.Table:
    kinds = {
        "_id": pa.string(), "_source": pa.string(), "_replay_of": pa.string(),
        "_time": TIMESTAMP, "_available": TIMESTAMP, **kinds,
    }  # fmt: skip
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
    )


def micros(seconds: int) -> int:
    return (START + seconds) * SECOND


def visits_table(visits: list[Visit]) -> pa.Table:
    rows = [
        {
            "_id": f"v{one.number}", "_source": "test", "_time": micros(one.at),
            "_available": micros(one.known), "user": one.user, "page": one.page,
            "wanted_at": None if one.wanted is None else micros(one.wanted),
            "amount": one.amount / 100,
        }
        for one in visits
    ]  # fmt: skip
    kinds = {"user": pa.string(), "page": pa.string(), "wanted_at": TIMESTAMP}
    return columns(rows, {**kinds, "amount": pa.float64()})


def orders_table(orders: list[Order]) -> pa.Table:
    rows = [
        {
            "_id": f"o{one.number}", "_source": "test", "_time": micros(one.at),
            "_available": micros(one.at), "user": one.user, "paid": one.paid,
        }
        for one in orders
    ]  # fmt: skip
    return columns(rows, {"user": pa.string(), "paid": pa.float64()})


def a_set(visits: list[Visit], orders: list[Order], way: Way, **more: Any) -> Set:
    """Archive the events in that way, and build the set of all of them."""
    project = a_project(way.partitions)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archives = {}
        for stream, table in (("visits", visits_table(visits)), ("orders", orders_table(orders))):
            work = work_of(project, "g").streams[stream]
            archive = archives[stream] = WrittenArchive(
                folder / "archive", work, rows_a_record=way.record
            )
            size = -(-len(table) // way.commits)
            for start in range(0, len(table), max(size, 1)):
                archive.add(table.slice(start, size), micros(start))
            if way.compacted:
                archive.compact()
        means = Means(folder, chunk_rows=way.chunk, shards=way.shards)
        with RowsFile(folder / "rows.parquet") as rows:
            build(
                Wanted(project, "buys", unlabelled=True, **more),
                lambda stream: archives[stream].scan(folder, batch_rows=way.batch),
                means,
                rows.write,
                lambda *_: None,
            )
            rows.finish()
            row_hash = rows.row_hash()
            rows.whole()
        table = pa.parquet.read_table(folder / "rows.parquet")
        return Set(table, (folder / "rows.parquet").read_bytes(), row_hash)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Visit], list[Order]]:
    """Draw events with equal, late, future and missing times, repeated ids, lonely labels."""
    seconds = st.integers(0, 400).map(lambda tens: 10 * tens)
    users, pages = st.sampled_from(["u1", "u2", "ü3"]), st.sampled_from(["a", "b", None])
    drawn = draw(
        st.lists(
            st.tuples(
                users,
                pages,
                seconds,
                st.sampled_from([0, 0, 0, 10, 600, 1_800, -600]),
                st.sampled_from([0, 0, 10, 600, 3_600, None]),
                st.integers(-500, 500),
            ),
            min_size=1,
            max_size=40,
        )
    )
    visits = []
    for number, (user, page, at, late, ask, amount) in enumerate(drawn):
        known = max(at + late, 0)
        visits.append(
            Visit(number, user, page, at, known, None if ask is None else known + ask, amount)
        )
    visits += draw(st.lists(st.sampled_from(visits), max_size=4))  # sent again
    paid = st.sampled_from([0.0, 1.5, 20.0, None])
    orders = draw(st.lists(st.tuples(users, seconds, paid), max_size=20))
    return visits, [Order(n, user, at + 600, money) for n, (user, at, money) in enumerate(orders)]


def some_history(seed: int, count: int = 400) -> tuple[list[Visit], list[Order]]:
    """Return a longer history in which many times are equal."""
    chance = random.Random(seed)
    visits, orders = [], []
    for number in range(count):
        at = 10 * chance.randrange(1_500)
        known = at + chance.choice([0, 0, 0, 10, 900])
        wanted = chance.choice([known, known + 60, known + 600])
        user, page = f"u{chance.randrange(9)}", chance.choice(["a", "b", None])
        visits.append(Visit(number, user, page, at, known, wanted, chance.randrange(-900, 900)))
        orders.append(Order(number, user, at + 10 * chance.randrange(400), chance.random()))
    chance.shuffle(visits)
    return visits, orders


WAYS: Final = [
    Way(partitions=2),
    Way(partitions=4, commits=5, record=3),
    Way(commits=7, record=1, chunk=1, batch=1),
    Way(partitions=2, commits=3, chunk=17, batch=5, shards=3),
    Way(partitions=4, commits=40, record=2, compacted=True),
    Way(commits=40, chunk=64, compacted=True),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_it_is_the_same_to_the_byte_by_whatever_way_its_events_came(way: Way) -> None:
    visits, orders = some_history(1)
    wanted, found = a_set(visits, orders, Way()), a_set(visits, orders, way)
    assert found.row_hash == wanted.row_hash
    assert found.digest == wanted.digest


def test_the_hash_of_a_set_that_was_built_before_is_still_its_hash() -> None:
    found = a_set(*some_history(1), Way())
    assert found.row_hash == "21d77c5a65a1ddc74898177ce5b94ee1c36bca1161ce285422a6d8dba8cf5b20"


@given(histories(), st.sampled_from(WAYS))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a set takes too long to shrink one
)
def test_its_rows_are_what_a_loop_over_all_events_says(
    history: tuple[list[Visit], list[Order]], way: Way
) -> None:
    visits, orders = history
    rows = [one for one in dict.fromkeys(visits) if one.wanted is not None]
    if not rows:
        return
    table = a_set(visits, orders, way).table
    assert sorted(table["_spine_id"].to_pylist()) == sorted(f"v{one.number}" for one in rows)
    by_id = {f"v{one.number}": one for one in rows}
    views = view_specs(a_project(1))
    times = []
    for row in table.to_pylist():
        one = by_id[row["_spine_id"]]
        times.append((one.wanted, one.known))
        assert row["_label"] == first_label(orders, one)
        for name, entity in (
            ("users", ("user",)),
            ("places", ("user", "page")),
            ("ever", ("user",)),
        ):
            for feature, expected in values_of(views[name], entity, visits, one).items():
                found = row[f"{name}__{feature}"]
                assert same(found, expected), (row["_spine_id"], name, feature, found, expected)
    assert times == sorted(times)


def same(found: float, expected: float) -> bool:
    """Compare; only a standard deviation is rounded otherwise by the oracle."""
    if math.isnan(found) or math.isnan(expected):
        return math.isnan(found) and math.isnan(expected)
    return math.isclose(found, expected, rel_tol=1e-12)


def first_label(orders: list[Order], row: Visit) -> float | None:
    """Return the label of a row: the first in time, and of several at one time by the id."""
    moment = row.wanted or 0
    fitting = [
        one
        for one in orders
        if one.user == row.user and one.paid is not None and moment < one.at <= moment + MAX_DELAY
    ]
    return min(
        fitting, key=lambda one: (one.at, tie_of(f"o{one.number}")), default=Order(0, "", 0, None)
    ).paid


@lru_cache(None)
def tie_of(name: str) -> int:
    """Return the hash of an event's id, by which the engine breaks ties."""
    source, ids = pa.array(["test"]), pa.array([name])
    return int(event_id_hashes(source, ids, pa.nulls(1, pa.string())).view(np.int64)[0])


def values_of(
    view: ViewSpec, entity: tuple[str, ...], visits: list[Visit], row: Visit
) -> dict[str, float]:
    """Return the features of a row's entity, from all events that were known before its moment."""
    key = [getattr(row, name) for name in entity]
    if None in key:
        return dict.fromkeys(view.features, math.nan)
    oracle, moment = Oracle(view.definition), row.wanted or 0
    for one in dict.fromkeys(visits):
        if one.known >= moment or None in (parts := [getattr(one, name) for name in entity]):
            continue
        tie = tie_of(f"v{one.number}") % 2**64
        event = OracleEvent(micros(min(one.at, one.known)), tie, {"amount": one.amount / 100})
        oracle.add(canonical_key(parts), event)
    found = oracle.read(canonical_key(key), micros(moment))
    return {
        name: value if state in (0, 1) else math.nan
        for name, (value, state) in zip(view.features, found, strict=True)
    }


ASOF_FEATURES: Final = """
with known as (
    select "user", _available as available,
           max(count(*)) over () as unused,
           sum(count(*)) over (partition by "user" order by _available) as visits,
           sum(sum(cents)) over (partition by "user" order by _available) as cents
    from visits group by "user", _available
)
select spine.id, known.visits, known.cents
from spine asof left join known
  on spine."user" = known."user" and spine.wanted > known.available
order by spine.id
"""
ASOF_LABELS: Final = """
select spine.id, case when labels.time <= spine.wanted + interval 1 hour then labels.paid end as paid
from spine asof left join (
    select "user", _time as time, paid from orders where paid is not null
) labels
  on spine."user" = labels."user" and spine.wanted < labels.time
order by spine.id
"""


@pytest.mark.parametrize("seed", range(3))
def test_its_rows_are_what_asof_joins_of_duckdb_say(seed: int) -> None:
    visits, orders = some_history(seed)
    orders = list({(one.user, one.at): one for one in orders}.values())  # no two at one time
    found = a_set(visits, orders, Way(partitions=2, commits=3)).table.sort_by("_spine_id")
    with duckdb.connect() as database:
        database.register("visits_raw", visits_table(visits))
        database.register("orders", orders_table(orders))
        database.execute(
            "create view visits as select *, round(amount * 100)::bigint as cents from visits_raw"
        )
        database.execute(
            'create view spine as select _id as id, "user", wanted_at as wanted from visits'
        )
        features = database.execute(ASOF_FEATURES).fetchall()
        labels = database.execute(ASOF_LABELS).fetchall()
    assert len(found) == len(features) == len(labels) == len(visits)
    for row, (name, count, cents), (_, paid) in zip(
        found.to_pylist(), features, labels, strict=True
    ):
        assert row["_spine_id"] == name
        if count is None:
            assert math.isnan(row["ever__count_lifetime"])
        else:
            assert row["ever__count_lifetime"] == count
            assert round(row["ever__sum_amount_lifetime"] * 100) == cents
        assert row["_label"] == paid


def test_only_the_newest_rows_are_kept_when_so_many_are_asked_for() -> None:
    visits, orders = some_history(5, 60)
    whole = a_set(visits, orders, Way()).table
    for rows in (1, 17, 60, 99):
        some = a_set(visits, orders, Way(chunk=8), max_rows=rows).table
        assert row_hash(some) == row_hash(whole.slice(max(0, 60 - rows)))
