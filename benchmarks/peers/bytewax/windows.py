"""Windowed aggregates in Bytewax: `sliding` (three windows) or `panes` (five minutes)."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators.windowing import (
    EventClock,
    SlidingWindower,
    TumblingWindower,
    WindowMetadata,
    fold_window,
)
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import run_main

sys.path.insert(0, str(Path(__file__).parents[1]))

from program import EMPTY, HOP_S, WINDOWS_MINUTES, Stats, add, options, say, six

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
SNAPSHOT = timedelta(seconds=10)
HOP = timedelta(seconds=HOP_S)
Event = tuple[int, float]
Keyed = tuple[str, tuple[int, WindowMetadata]]


class Flow:
    """The dataflow from topic to topic."""

    def __init__(self, given: dict[str, str]) -> None:
        self.end = datetime.fromtimestamp(int(given["end-ms"]) / 1_000, UTC)
        self.flow = Dataflow("windows")
        source = KafkaSource([given["bootstrap"]], [given["topic"]], tail=False)
        events = op.map("parse", op.input("events", self.flow, source), self.parse)
        lengths = (HOP_S // 60,) if given["mode"] == "panes" else WINDOWS_MINUTES
        rows = [self.window(events, minutes) for minutes in lengths]
        sink = KafkaSink([given["bootstrap"]], given["output"], {"compression.type": "snappy"})
        op.output("out", op.merge("rows", *rows), sink)
        self.begun = False

    def parse(self, message: Any) -> tuple[str, Event]:
        """Read one event's JSON."""
        if not self.begun:
            self.begun = True
            say("begun")
        event = orjson.loads(message.value)
        return event["key"], (event["at"], event["value"])

    def window(self, events: Stream[Any], minutes: int) -> Stream[Any]:
        """Fold over windows of so many minutes that slide by five; give each when it closes."""
        length = timedelta(minutes=minutes)
        made = fold_window(
            f"w{minutes}",
            events,
            EventClock(at, wait_for_system_duration=timedelta(0)),
            TumblingWindower(length=length, align_to=ORIGIN)
            if length == HOP
            else SlidingWindower(length=length, offset=HOP, align_to=ORIGIN),
            lambda: EMPTY,
            fold,
            merge,
        )
        closed = op.join(
            f"closed{minutes}", paired(f"d{minutes}", made.down), paired(f"m{minutes}", made.meta)
        )

        def row(item: tuple[str, tuple[Stats, WindowMetadata]]) -> list[KafkaSinkMessage[Any, Any]]:
            key, (stats, meta) = item
            if meta.close_time > self.end:
                return []  # the end of the topic closes windows that a stream would still hold open
            start = int(meta.open_time.timestamp() * 1_000)
            value = {
                "key": key.split(" ")[0],
                "minutes": minutes,
                "start": start,
                "values": six(stats),
            }
            return [KafkaSinkMessage(key.encode(), orjson.dumps(value))]

        return op.flat_map(f"row{minutes}", closed, row)


def paired(name: str, windows: Stream[Any]) -> Stream[Any]:
    """Key a window's part by key and window."""
    return op.map(name, windows, lambda one: (f"{one[0]} {one[1][0]}", one[1][1]))


def at(event: Event) -> datetime:
    """Return when an event happened."""
    return datetime.fromtimestamp(event[0] / 1_000, UTC)


def fold(stats: Stats, event: Event) -> Stats:
    """Count one event."""
    return add(stats, event[1])


def merge(one: Stats, other: Stats) -> Stats:
    """Merge two windows: only session windows ask for it."""
    raise AssertionError(f"not a session window: {one} {other}")


def main() -> None:
    """Read the topic to its end."""
    given = options()
    state = Path(given["state"])
    state.mkdir(parents=True)
    init_db_dir(state, 1)
    run_main(
        Flow(given).flow,
        epoch_interval=SNAPSHOT,
        recovery_config=RecoveryConfig(str(state), backup_interval=timedelta(0)),
    )
    say("done")


main()
