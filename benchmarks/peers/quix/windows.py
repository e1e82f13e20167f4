"""Windowed aggregates in Quix Streams: `hopping` (three windows) or `panes` (five minutes)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.dataframe import StreamingDataFrame
from quixstreams.dataframe.windows import Count, Last, Max, Mean, Min, Sum

sys.path.insert(0, str(Path(__file__).parents[1]))

from program import HOP_S, WINDOWS_MINUTES, options, say

MINUTE_MS = 60_000
NAMES = ("count", "sum", "mean", "min", "max", "last")


def main() -> None:
    """Read every record, commit, end."""
    given = options()
    records, seen = int(given["records"]), 0

    def processed(_: str, __: int, ___: int) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            say("begun")
        if seen == records:
            application.stop()

    application = Application(
        broker_address=given["bootstrap"],
        consumer_group=given["group"],
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=given["state"],
        producer_extra_config={"compression.type": "snappy"},
        on_message_processed=processed,
        loglevel="WARNING",
    )
    source = application.topic(
        given["topic"],
        key_deserializer="string",
        value_deserializer="json",
        timestamp_extractor=lambda value, *_: value["at"],
    )
    target = application.topic(given["output"], key_serializer="string", value_serializer="json")
    events = application.dataframe(source)
    if given["mode"] == "panes":
        window(events, HOP_S // 60).to_topic(target)
    else:
        for minutes in WINDOWS_MINUTES:
            window(events, minutes).to_topic(target)
    application.run()
    say("done")


def window(events: StreamingDataFrame, minutes: int) -> StreamingDataFrame:
    """Aggregate over windows of so many minutes that step by five; give each when it closes."""
    length, hop = minutes * MINUTE_MS, HOP_S * 1_000
    made = (
        events.tumbling_window(length)
        if length == hop
        else events.hopping_window(length, hop, name=f"w{minutes}")
    )
    aggregated = made.agg(
        count=Count(),
        sum=Sum("value"),
        mean=Mean("value"),
        min=Min("value"),
        max=Max("value"),
        last=Last("value"),
    )

    def row(value: dict[str, Any], key: str, _: int, __: object) -> dict[str, Any]:
        values = [value[name] for name in NAMES]
        return {"key": key, "minutes": minutes, "start": value["start"], "values": values}

    return aggregated.final(closing_strategy="partition").apply(row, metadata=True)


main()
