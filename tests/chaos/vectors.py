"""Every served vector again: by the product's own job, and by the oracle, at the logged positions."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tests.chaos.oracle import Applied, Expected, tile
from tests.chaos.particular import Compared
from tests.chaos.predicting import MODEL, model_of
from tests.chaos.traffic import PARTITIONS, WINDOWS
from tidemill_common import topics
from tidemill_common.kafka import TopicPartition, administering
from tidemill_common.kafka.ranges import stretch
from tidemill_common.prediction_rows import SCHEMA

if TYPE_CHECKING:
    from tests.chaos.run import Running

Floats = npt.NDArray[np.float64]
ENTITIES: Final = ("user", "shop")
WHAT: Final = ("count", "sum_amount", "max_amount")
CENTS: Final = 100
"""In an amount."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One logged vector: of whom, as of when, at which positions of each entity's feature log."""

    keys: Mapping[str, str]
    at_us: int
    positions: Mapping[str, Sequence[int]]
    values: Mapping[str, float]

    def found(self, entity: str) -> list[float]:
        """Return counts, sums and maxima, by window."""
        return [self.values[f"{entity}s__{what}_{name}"] for what in WHAT for _, _, name in WINDOWS]


async def compared(running: Running, expected: Expected) -> Compared:
    """Let the features server recompute all logged vectors, and do it once more by the oracle."""
    job = await running.client.verify_vectors(MODEL)
    vectors = await _logged(running)
    differing = [
        f"{one.keys[entity]} at {one.at_us}: {one.found(entity)}, not {row.tolist()}"
        for entity in ENTITIES
        for one, row in zip(vectors, recomputed(expected, entity, vectors), strict=True)
        if not same(one.found(entity), row)
    ]
    return Compared(
        job.vectors, job.values, job.mismatches, list(job.examples), len(vectors), differing
    )


async def _logged(running: Running) -> list[Vector]:
    """Read all sampled rows of the prediction log."""
    topic, broker = topics.predictions(MODEL).name, running.cast.stage.broker
    async with administering(broker) as admin:
        ends = await admin.end_offsets(await admin.partitions(topic))
    found = [SCHEMA.empty_table()]
    for tp, end in ends.items():
        async for records in stretch(broker, TopicPartition(topic, tp.partition), 0, end):
            found += [pa.ipc.open_stream(one.value or b"").read_all() for one in records]
    table = pa.concat_tables(found)
    table = table.filter(table["_sampled"])
    prefix = f"{running.spec.name}_"
    names = [one.name.removeprefix(prefix) for one in model_of(running.registry).inputs.numeric]
    logs = {f"{prefix}{entity}s": entity for entity in ENTITIES}
    return [
        Vector(
            json.loads(request),
            at_us,
            {logs[log.split(".")[1]]: where for log, where in json.loads(positions).items()},
            dict(zip(names, values, strict=True)),
        )
        for request, at_us, positions, values in zip(
            table["_request"].to_pylist(),
            table["_time"].cast(pa.int64()).to_pylist(),
            table["_positions"].to_pylist(),
            table["_vector"].to_pylist(),
            strict=True,
        )
    ]


def recomputed(expected: Expected, entity: str, vectors: Sequence[Vector]) -> Floats:
    """Return the values of one entity for every vector: what lies below its positions counts."""
    events: dict[str, list[Applied]] = defaultdict(list)
    for event in expected.applied:
        key = event.user if entity == "user" else event.shop
        if key is not None:
            events[key].append(event)
    members: dict[str, list[int]] = defaultdict(list)
    for place, vector in enumerate(vectors):
        members[vector.keys[entity]].append(place)
    found = np.zeros((len(vectors), len(WHAT) * len(WINDOWS)))
    for key, places in members.items():
        found[places] = _of_one(events[key], entity, [vectors[place] for place in places])
    return found


def _of_one(events: Sequence[Applied], entity: str, vectors: Sequence[Vector]) -> Floats:
    """Recompute vectors of one entity from all its events."""
    columns: Any = np.array(
        [(one.time_us, one.cents, one.partition, one.offset) for one in events], dtype=np.int64
    ).reshape(len(events), 4)
    time_us, cents, partition, offset = columns.T
    at_us = np.array([one.at_us for one in vectors], dtype=np.int64)
    positions = np.array([one.positions[entity] for one in vectors]).reshape(-1, PARTITIONS)
    known = offset < positions[:, partition]
    counts, sums, highest = [], [], []
    for length, hop, _ in WINDOWS:
        head, tiles = tile(at_us, hop)[:, None], tile(time_us, hop)
        inside = known & (tiles > head - length // hop) & (tiles <= head)
        counts.append(inside.sum(axis=1).astype(np.float64))
        sums.append((inside @ cents).astype(np.float64))
        least = np.where(inside, cents.astype(np.float64), -np.inf).max(axis=1, initial=-np.inf)
        highest.append(np.where(np.isinf(least), np.nan, least))
    return np.column_stack([*counts, *sums, *highest])


def same(found: Sequence[float], wanted: Floats) -> bool:
    """Tell whether served values are these; nothing is 0 events, and 0 in sum, and no maximum."""
    half = len(WINDOWS)
    served = np.array(found, dtype=np.float64)
    served[half:] = np.round(served[half:] * CENTS)
    served[: 2 * half] = np.nan_to_num(served[: 2 * half], nan=0.0)
    return bool(np.array_equal(served, wanted, equal_nan=True))
