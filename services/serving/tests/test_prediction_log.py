"""Promises of the prediction log: it never waits, and counts exactly."""

from __future__ import annotations

import asyncio
from typing import Any

from tidemill.errors import TooLarge, Unavailable
from tidemill_common import events
from tidemill_common.prediction_rows import SCHEMA
from tidemill_common.topics import MAX_RECORD_BYTES
from tidemill_serving.canary import Canary, Counted
from tidemill_serving.prediction_log import Entry, PredictionLog, to_record
from tidemill_serving.rollout import Counts
from tidemill_serving.routing import Variant


class Broker:
    """Keeps records; each is acknowledged, refused or left waiting, as told."""

    def __init__(self, answer: str = "ack") -> None:
        self.answer = answer
        self.records: list[tuple[str, int | None, bytes]] = []
        self.futures: list[asyncio.Future[Any]] = []

    def enqueue(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: object = (),
    ) -> asyncio.Future[Any]:
        assert value is not None
        if len(value) > MAX_RECORD_BYTES:
            raise TooLarge(f"{len(value)} bytes")
        self.records.append((topic, partition, value))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        if self.answer == "ack":
            future.set_result(None)
        elif self.answer == "refuse":
            future.set_exception(Unavailable("closed"))
        return future

    def rows(self) -> list[dict[str, Any]]:
        return [
            row for _, _, value in self.records for row in events.decode(value, SCHEMA).to_pylist()
        ]


def an_entry(
    number: int = 0,
    *,
    variant: Variant = Variant.CHAMPION,
    version: int = 1,
    status: str = "OK",
    latency_us: int = 900,
    logged: int = 1_000,
) -> Entry:
    good = status == "OK"
    return Entry(
        f"p{number}", "r", 10, logged, f"k{number}", version, "d" * 64, str(variant), 0.8, status,
        0.5 if good else None, [0.5] if good else None, latency_us, sampled=False,
    )  # fmt: skip


async def written(log: PredictionLog) -> None:
    """Run the drainer until it has ended."""
    stop = asyncio.Event()
    stop.set()
    await log.run(stop)


async def test_every_row_is_written_once_and_counted() -> None:
    broker = Broker()
    log = PredictionLog(broker)
    log.add("m", [an_entry(n) for n in range(1_200)])
    await written(log)
    counts = log.counts("m")
    assert sorted(row["_prediction_id"] for row in broker.rows()) == sorted(
        f"p{n}" for n in range(1_200)
    )
    assert (counts.served, counts.enqueued, counts.acked, counts.queued) == (1_200, 1_200, 1_200, 0)


async def test_rows_of_one_key_go_to_one_partition() -> None:
    broker = Broker()
    log = PredictionLog(broker)
    log.add("m", [an_entry(n % 7) for n in range(70)])
    await written(log)
    places: dict[str, set[int | None]] = {}
    for _, partition, value in broker.records:
        for row in events.decode(value).to_pylist():
            places.setdefault(row["_spine_key"], set()).add(partition)
    assert all(len(found) == 1 for found in places.values())


async def test_what_does_not_fit_is_dropped_and_counted_shadow_rows_first() -> None:
    log = PredictionLog(Broker(), limit=10)
    log.add("m", [an_entry(n) for n in range(5)])
    log.add("m", [an_entry(variant=Variant.SHADOW)])
    log.add("m", [an_entry(n) for n in range(7)])
    counts = log.counts("m")
    assert (counts.served, counts.enqueued, counts.dropped) == (13, 10, 3)
    assert counts.served == counts.enqueued + counts.dropped


async def test_what_the_broker_refuses_is_counted_as_failed() -> None:
    log = PredictionLog(Broker("refuse"))
    log.add("m", [an_entry()])
    await written(log)
    await asyncio.sleep(0)
    assert (log.counts("m").failed, log.counts("m").queued) == (1, 0)


async def test_what_the_broker_has_not_answered_is_queued() -> None:
    broker = Broker("wait")
    log = PredictionLog(broker)
    log.add("m", [an_entry()])
    stop = asyncio.Event()
    running = asyncio.create_task(log.run(stop))
    while not broker.futures:
        await asyncio.sleep(0.01)
    assert (log.counts("m").enqueued, log.counts("m").queued) == (1, 1)
    broker.futures[0].set_result(None)
    stop.set()
    await running
    assert log.counts("m").queued == 0


async def test_a_row_too_large_for_a_batch_is_sent_in_smaller_ones() -> None:
    broker = Broker()
    log = PredictionLog(broker)
    large = [
        Entry(
            f"p{n}", "r", 1, 1, "k", 1, "d", "champion", 1.0, "OK", 0.5, [0.5], 1, sampled=True,
            vector=[float(n)] * 20_000, request="{}", positions="{}",
        )
        for n in range(20)
    ]  # fmt: skip
    log.add("m", large)
    await written(log)
    assert len(broker.records) > 1
    assert [row["_vector"][0] for row in broker.rows()] == [float(n) for n in range(20)]


def a_canary() -> Canary:
    return Canary("m", 4, champion=1, challenger=2, since_us=1_000, slo_us=1_000)


def test_a_canary_counts_its_two_versions_since_its_table() -> None:
    rows = [
        an_entry(),
        an_entry(latency_us=2_000),
        an_entry(logged=999),
        an_entry(version=2, variant=Variant.CHALLENGER, status="UNAVAILABLE"),
        an_entry(version=2, variant=Variant.CHALLENGER),
        an_entry(version=2, variant=Variant.SHADOW),
        an_entry(version=3, variant=Variant.CHALLENGER),
    ]
    counted = Counted()
    counted.take(a_canary(), 0, 0, events.decode(to_record(rows)))
    assert counted.champion == Counts(requests=2, errors=0, slow=1)
    assert counted.challenger == Counts(requests=2, errors=1, slow=0)


def test_a_record_that_comes_again_is_counted_once_and_the_state_survives_json() -> None:
    batch = events.decode(to_record([an_entry()]))
    counted = Counted()
    for offset in (0, 0, 1):
        counted.take(a_canary(), 1, offset, batch)
    again = Counted.from_json(*counted.to_json())
    again.take(a_canary(), 1, 1, batch)
    assert again == counted
    assert again.champion.requests == 2
