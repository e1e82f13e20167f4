"""Windowed aggregates in faust tables: `hopping` (three tables) or `panes` (five minutes)."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

# The folder of this file has the library's own name: it must not come first on the path.
sys.path[0] = str(Path(__file__).parents[1])

import faust
import orjson
from program import EMPTY, HOP_S, WINDOWS_MINUTES, add, options, say, six

DAY_S = 86_400
LAST_S = 0.1  # faust names a window by its start and the last tenth of a second in it
given = options()
end_s, records = int(given["end-ms"]) // 1_000, int(given["records"])
hopping = given["mode"] == "hopping"
app = faust.App(
    given["group"],
    broker=f"kafka://{given['bootstrap']}",
    datadir=given["state"],
    store="memory://",
    processing_guarantee="at_least_once",
    topic_partitions=2,
    topic_replication_factor=1,
    web_enabled=False,
    producer_compression_type="snappy",
    table_cleanup_interval=DAY_S,
    # a changelog of one event's windows may be longer than the client's queue
    stream_buffer_maxsize=1_000,
)
source = app.topic(given["topic"], key_type=bytes, value_type=bytes, value_serializer="raw")
windows = {minutes: minutes * 60 for minutes in WINDOWS_MINUTES} if hopping else {5: HOP_S}


def table(seconds: int) -> Any:
    """Make a table of windows of so many seconds that hop by five minutes."""
    made = app.Table(f"w{seconds}", default=lambda: EMPTY, partitions=2, key_type=str)
    return (
        made.hopping(seconds, HOP_S, expires=DAY_S * 400)
        if hopping
        else made.tumbling(seconds, expires=DAY_S * 400)
    )


tables = {minutes: table(seconds) for minutes, seconds in windows.items()}


@app.agent(source)
async def aggregate(stream: Any) -> None:
    """Add each event to every window it is in."""
    seen = 0
    async for event in stream.events():
        if not seen:
            say("begun")
        seen += 1
        one = orjson.loads(event.value)
        for windowed in tables.values():
            apply = windowed.table._apply_window_op  # noqa: SLF001 (the one way to give a time)
            apply(add, one["key"], one["value"], one["at"] / 1_000)
        if seen == records:
            asyncio.get_running_loop().create_task(finish())


async def finish() -> None:
    """Commit, say so, write what the tables hold, end."""
    await app.producer.flush()
    await app.consumer.commit()
    say("done")
    keys = [f"k{number}" for number in range(int(given["keys"]))]
    rows = (row(key, minutes) for minutes in WINDOWS_MINUTES for key in keys)
    write = Path(given["results"]).write_text
    await asyncio.to_thread(write, "".join(rows))
    os._exit(0)  # a graceful stop waits for rebalances that cannot come


def row(key: str, minutes: int) -> str:
    """Return a key's window at the end, merged from panes where there are only panes."""
    if hopping:
        stats = held(minutes, key, end_s - minutes * 60, minutes * 60)
    else:
        stats = EMPTY
        for start in range(end_s - minutes * 60, end_s, HOP_S):
            pane = held(5, key, start, HOP_S)
            if pane[0]:
                low, high = min(stats[2], pane[2]), max(stats[3], pane[3])
                stats = (stats[0] + pane[0], stats[1] + pane[1], low, high, pane[4])
    return f"{key},{minutes},{','.join(map(repr, six(stats)))}\n" if stats[0] else ""


def held(minutes: int, key: str, start: int, seconds: int) -> Any:
    """Return what one window of a table holds."""
    return tables[minutes].table.data.get((key, (start, start + seconds - LAST_S)), EMPTY)


app.finalize()
worker = faust.Worker(app, loglevel="WARNING", loop=asyncio.new_event_loop())
worker.execute_from_commandline()
