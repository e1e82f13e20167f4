"""A small project with one stream and one view, and records of its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.project import loads, normalise
from tidemill_common import events
from tidemill_common.kafka import Record
from tidemill_features.definitions import StreamWork, Work, work_of

PROJECT = """
project: shop
streams:
  visits:
    key: [user]
    replay: true
    lateness: 1h
    dedupe: 10m
    partitions: 2
    fields:
      user: {type: string, required: true}
      country: {type: string}
      home: {type: string}
      wanted_at: {type: timestamp}
      amount: {type: float64, resolution: 0.01}
  orders:
    key: [user]
    replay: true
    lateness: 1h
    partitions: 2
    fields:
      user: {type: string, required: true}
      paid: {type: float64}
views:
  users:
    stream: visits
    entity: [user]
    aggregations:
      - {function: count, windows: [10m, 1h]}
      - {function: sum, field: amount, windows: [1h]}
  countries:
    stream: visits
    entity: [country]
    aggregations:
      - {function: mean, field: amount, windows: [1h]}
on_demand:
  share:
    type: float64
    expression: users__count_10m / users__count_1h
models:
  buys:
    spine: {stream: visits, time: wanted_at, key: [user]}
    inputs:
      - {view: users}
      - {view: countries}
      - {view: countries, entity: {country: home}, alias: home}
      - {on_demand: share}
      - {field: amount}
      - {field: country, categorical: {max_vocabulary: 8}}
    label:
      stream: orders
      expression: CAST(paid > 10 AS DOUBLE)
      max_delay: 1h
      task: binary
    trainer: {name: tabular, seed: 1}
"""

MakeRecord = Callable[..., Record]


@pytest.fixture(scope="session")
def project() -> project_pb2.Project:
    """The project, normalised."""
    loaded = loads(PROJECT)
    assert not loaded.problems
    return normalise(loaded.project)


@pytest.fixture(scope="session")
def work(project: project_pb2.Project) -> Work:
    """What a worker makes of it."""
    return work_of(project, "00000001-test")


@pytest.fixture(scope="session")
def visits(work: Work) -> StreamWork:
    """Its stream of visits."""
    return work.streams["visits"]


@pytest.fixture
def make_record(visits: StreamWork) -> MakeRecord:
    """Return a builder of records: rows are dictionaries, times are seconds."""

    def make(offset: int, rows: Sequence[dict[str, Any]], appended_s: float = 1_000.0) -> Record:
        value = encoded(visits.schema, rows)
        return Record(visits.topic, 0, offset, round(appended_s * 1_000), None, value, ())

    return make


def encoded(schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as one record's value; `at` is the event time, `known` the available time."""
    return events.encode(pa.RecordBatch.from_pylist([_row(row) for row in rows], schema=schema))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    at = row.get("at", 1_000.0)
    known = row.get("known", at)
    wanted = row.get("wanted", at)
    rest = {name: value for name, value in row.items() if name not in {"at", "known", "wanted"}}
    return {
        "_id": "e1",
        "_source": "test",
        "_time": round(at * 1e6),
        "_available": round(known * 1e6),
        "wanted_at": round(wanted * 1e6),
        "user": "u1",
        "amount": 1.0,
        **rest,
    }
