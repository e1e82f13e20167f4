"""What raw records must come to, one event at a time: no code of the feature engine is used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.chaos.traffic import DEDUPE_US, LATENESS_US, SECOND_US, WINDOWS
from tidemill_common.kafka import Record

SKEW_US: Final = 300 * SECOND_US
HELD: Final = 2**48
"""Hundredths that a feature can hold."""
Place = tuple[int, int, int | None]
"""Partition, offset and row; no row: the record as a whole."""
Values = tuple[float, float, float | None]
"""Count, sum in hundredths and maximum in hundredths."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An event that counts."""

    id: str
    time_us: int
    user: str
    shop: str | None
    cents: int
    partition: int
    offset: int


@dataclass(slots=True)
class Expected:
    """What all raw records together must have come to."""

    applied: list[Applied] = field(default_factory=list)
    late: set[Place] = field(default_factory=set)
    dead: dict[Place, bytes] = field(default_factory=dict)
    ids: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    newest_us: int = 0
    """The newest time of any row that counts for it: no later read finds less."""
    erased: frozenset[str] = frozenset()
    """Users whose rows come to nothing, though they keep their place among ids and times."""
    left_out: set[Place] = field(default_factory=set)
    """Where those rows are."""


def decide(
    records: Sequence[Record], schema: pa.Schema, expected: Expected, dedupe_us: int = DEDUPE_US
) -> None:
    """Give every row of one whole partition its fate, by the rules of the design."""
    seen: dict[tuple[str, str | None], int] = {}
    watermark, clock = -(2**63), 0
    for record in records:
        rows = _rows(record.value, schema)
        clock = max(clock, record.timestamp_ms * 1_000)
        if rows is None:
            expected.dead[record.partition, record.offset, None] = record.value or b""
            continue
        for number, row in enumerate(rows):
            place = (record.partition, record.offset, number)
            expected.ids[row["_id"]] += 1
            amount, erased = row["amount"], row["user"] in expected.erased
            if erased:
                expected.left_out.add(place)
            if amount is not None and not abs(amount * 100) < HELD:
                if not erased:
                    expected.dead[place] = row["_id"].encode()
                continue
            key = (row["_id"], row["_replay_of"])
            duplicate = key in seen and clock - seen[key] <= dedupe_us
            seen[key] = clock
            time_us = min(row["_time"], row["_available"])
            late = time_us < watermark - LATENESS_US
            watermark = max(watermark, min(time_us, record.timestamp_ms * 1_000 + SKEW_US))
            expected.newest_us = max(expected.newest_us, watermark)
            if erased:
                continue
            if late:
                expected.late.add(place)
            elif duplicate:
                expected.duplicates += 1
            else:
                cents = round((amount or 0.0) * 100)
                source = (record.partition, record.offset)
                expected.applied.append(
                    Applied(row["_id"], time_us, row["user"], row["shop"], cents, *source)
                )
                expected.newest_us = max(expected.newest_us, row["_available"])


def _rows(value: bytes | None, schema: pa.Schema) -> list[dict[str, Any]] | None:
    """Return the rows of a record, times as integers; None if it is no batch of the stream.

    Columns go by their names: what is not there is missing, which a required one may not be.
    """
    try:
        with pa.ipc.open_stream(value or b"") as stream:
            batches = list(stream)
    except (pa.ArrowException, OSError, ValueError):
        return None
    if len(batches) != 1:
        return None
    batch = batches[0]
    types = {column.name: column.type for column in batch.schema}
    for column in schema:
        if column.name not in types and not column.nullable:
            return None
        if types.get(column.name, column.type) != column.type:
            return None
    times = [i for i, one in enumerate(batch.schema) if pa.types.is_timestamp(one.type)]
    for index in times:
        name = batch.schema.field(index).name
        batch = batch.set_column(index, name, batch.column(index).cast(pa.int64()))
    missing = dict.fromkeys(schema.names)
    return [missing | row for row in batch.to_pylist()]


def values_at(expected: Expected, entity: str, at_us: int) -> dict[str, tuple[Values, ...]]:
    """Return what every entity's windows hold at a time: the tiles (k h, (k + 1) h] they cover."""
    found: dict[str, list[list[int]]] = defaultdict(lambda: [[] for _ in WINDOWS])
    for event in expected.applied:
        key = event.user if entity == "user" else event.shop
        if key is None:
            continue
        windows = found[key]
        for place, (length, hop, _) in enumerate(WINDOWS):
            head = tile(at_us, hop)
            if head - length // hop < tile(event.time_us, hop) <= head:
                windows[place].append(event.cents)
    return {key: tuple(_summary(windows)) for key, windows in found.items()}


def _summary(windows: list[list[int]]) -> Iterator[Values]:
    for cents in windows:
        yield float(len(cents)), float(sum(cents)), float(max(cents)) if cents else None


Times = TypeVar("Times", int, npt.NDArray[np.int64])


def tile(time_us: Times, hop_us: int) -> Times:
    """Return the number k of the tile (k h, (k + 1) h] that holds a time."""
    return -(-time_us // hop_us) - 1
