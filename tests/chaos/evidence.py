"""What is there when a run is over: the raw topic, the replicas, late rows, dead letters, logs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.checkers import Letter, View
from tests.chaos.faults import WORKERS
from tests.chaos.forgetting import DEDUPE_S, NAMES
from tests.chaos.operating import ORIGIN
from tests.chaos.oracle import Expected, Values, decide, values_at
from tests.chaos.particular import Compared
from tests.chaos.registering import REGISTRY
from tests.chaos.scraping import told as told_by
from tests.chaos.traffic import COLD, DEDUPE_US, HOT, SECOND_US, SHOPS, WINDOWS
from tests.chaos.vectors import compared
from tidemill_common import events, topics
from tidemill_common.kafka import Admin, Record, TopicPartition, administering, dead_letters
from tidemill_common.kafka.ranges import stretch

if TYPE_CHECKING:
    from tests.chaos.run import Running

ASKED_AT_ONCE: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ENTITIES: Final = {
    "user": [f"u{number}" for number in range(HOT + COLD)],
    "shop": [f"s{number}" for number in range(SHOPS)],
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found, beside what the oracle makes of the raw topic."""

    expected: Expected
    replicas: Mapping[str, Mapping[str, tuple[View, View]]]
    late: Sequence[Letter]
    dead: Sequence[Letter]
    texts: Mapping[str, bytes]
    told: Mapping[str, float]
    files: Sequence[str]
    """What ingestion, workers and server keep in the folders that are theirs."""
    vectors: Compared | None = None
    """Of a run that serves predictions."""


async def collect(running: Running) -> Evidence:
    """Read everything there is, by the harness's own client."""
    scenario, erased = running.cast.scenario, running.kept is not None
    workers = [running.cast.metrics[role] for role in WORKERS]
    expected = Expected(erased=frozenset(NAMES if erased else ()))
    dedupe_us = DEDUPE_S * SECOND_US if erased else DEDUPE_US
    schema = events.event_schema(running.spec.columns)
    broker = running.cast.stage.broker
    async with administering(broker) as admin:
        for tp in running.partitions:
            records = await _all(running, admin, tp)
            await asyncio.to_thread(decide, records, schema, expected, dedupe_us)
        name = running.spec.topic.name
        late = await _all(running, admin, TopicPartition(topics.late(name).name, 0))
        dead = await _all(running, admin, TopicPartition(topics.dead_letters(name).name, 0))
    letters = [one for one in map(dead_letters.from_record, dead) if one.stage != ORIGIN.stage]
    told = [dead_letters.from_record(record) for record in late]
    texts = await asyncio.to_thread(_logs, running)
    for name, some in (("late", told), ("dead letters", letters)):
        texts[f"headers of {name}"] = b"\n".join(
            value for one in some for _, value in one.record.headers
        )
    return Evidence(
        expected,
        await _replicas(running, expected),
        _of_others(expected, told),
        _of_others(expected, letters),
        texts,
        await asyncio.to_thread(told_by, workers) if scenario.counted else {},
        await asyncio.to_thread(_files, running),
        await compared(running, expected) if scenario.served else None,
    )


def _files(running: Running) -> list[str]:
    """Return the files in the folders of the processes that are to keep none.

    The registry keeps its audit's anchors on purpose apart from the database; it has a test of a
    torn line.
    """
    folder = running.cast.stage.stack.data / running.cast.run
    places = [folder / role for role in running.cast.roles if role != REGISTRY]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return [str(path.relative_to(folder)) for path in files]


async def _all(running: Running, admin: Admin, tp: TopicPartition) -> list[Record]:
    end = (await admin.end_offsets([tp]))[tp]
    if running.kept is not None:
        return await running.kept.up_to(tp, end)
    broker = running.cast.stage.broker
    return [record async for some in stretch(broker, tp, 0, end) for record in some]


def _of_others(expected: Expected, told: Sequence[dead_letters.DeadLetter]) -> list[Letter]:
    """Return the letters without those that are about the erased, from before they asked."""
    return [one for one in map(as_letter, told) if one.place not in expected.left_out]


def as_letter(told: dead_letters.DeadLetter) -> Letter:
    place = (told.partition, told.offset, told.row)
    value = told.record.value or b""
    if told.row is None:
        return Letter(place, value)
    (event_id,) = events.decode(value).column("_id").to_pylist()
    return Letter(place, event_id.encode())


async def _replicas(
    running: Running, expected: Expected
) -> dict[str, dict[str, tuple[View, View]]]:
    """Read every entity of every view from both replicas, at the newest time that counted."""
    at_us = expected.newest_us
    found: dict[str, dict[str, tuple[View, View]]] = {"follower": {}, "server": {}}
    for name, spec in running.views.items():
        (entity,) = spec.entity
        keys = ENTITIES[entity]
        wanted = await asyncio.to_thread(values_at, expected, entity, at_us)
        wanted = {key: values for key, values in wanted.items() if not _empty(values)}
        read = running.replica.read(name, [(key,) for key in keys], at_us)
        rows = read.values.tolist()
        found["follower"][name] = (as_view(keys, read.features, rows), wanted)
        rows = []
        for start in range(0, len(keys), ASKED_AT_ONCE):
            some = keys[start : start + ASKED_AT_ONCE]
            rows += await _asked(running, name, entity, some, at_us)
        found["server"][name] = (as_view(keys, read.features, rows), wanted)
    return found


async def _asked(
    running: Running, view: str, entity: str, keys: Sequence[str], at_us: int
) -> list[list[float]]:
    at = _EPOCH + timedelta(microseconds=at_us)
    reply = await running.client.get_features(
        view, [{entity: key} for key in keys], at=at, timeout=30.0
    )
    return [list(one.values) for one in reply.entities]


def as_view(keys: Sequence[str], features: Sequence[str], rows: Sequence[Sequence[float]]) -> View:
    """Return what was read as the oracle says it; entities without an event are left out."""
    names = {name: place for place, name in enumerate(features)}
    found: dict[str, tuple[Values, ...]] = {}
    for key, row in zip(keys, rows, strict=True):
        values = tuple(_values(row, names, window) for _, _, window in WINDOWS)
        if not _empty(values):
            found[key] = values
    return found


def _values(row: Sequence[float], names: Mapping[str, int], window: str) -> Values:
    count, total, highest = (
        row[names[f"{what}_{window}"]] for what in ("count", "sum_amount", "max_amount")
    )
    return _number(count), _cents(total) or 0.0, _cents(highest)


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _cents(value: float) -> float | None:
    return None if math.isnan(value) else float(round(value * 100))


def _empty(values: tuple[Values, ...]) -> bool:
    return not any(count for count, _, _ in values)


def _logs(running: Running) -> dict[str, bytes]:
    stack: Any = running.cast.stage.stack
    names = [running.cast.process(role) for role in running.cast.roles]
    paths = {name: stack.log(name) for name in names}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}
