"""Monitoring on a real broker and database: labels count once, and a fault is named.

A fortnight of synthetic flights is published through ingestion; one airline's delays are in seconds
from the ninth day on. Every tenth event is sent twice, and monitoring is killed on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.integration.driver import addresses, eventually
from tidemill import Event
from tidemill.client import Client, connect
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.monitoring.v1 import monitoring_service_pb2 as pb
from tidemill.project import load
from tidemill_common import events
from tidemill_common.kafka import Broker, Record, TopicPartition
from tidemill_common.kafka.reading import read_range
from tidemill_local.library import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2] / "examples" / "flights" / "tidemill.yaml"
MODEL = "late_arrival"
START = datetime(2024, 3, 4, tzinfo=UTC)
DAYS, A_DAY, FAULT_DAY = 12, 240, 9
CARRIERS = ("UA", "DL", "B6", "AA")
KILLS = (3, 6, 10)
FIELD = "flight_arrived.arr_delay"
PARTITIONS = 2


@dataclass(frozen=True, slots=True)
class Flight:
    """One flight, and how late it was by its own airline's account."""

    number: int
    leaves: datetime
    carrier: str
    delay: float

    @property
    def key(self) -> str:
        return f"f{self.number}"

    @property
    def arrives(self) -> datetime:
        return self.leaves + timedelta(hours=2)

    @property
    def is_wrong(self) -> bool:
        return self.carrier == "UA" and self.arrives >= START + timedelta(days=FAULT_DAY)

    @property
    def told_delay(self) -> float:
        return self.delay * 60 if self.is_wrong else self.delay

    def places(self) -> dict[str, str]:
        return {"carrier": self.carrier, "origin": "EWR", "dest": "BOS", "route": "EWR-BOS"}

    def scheduled(self) -> Event:
        at = self.leaves - timedelta(hours=3)
        data = {
            "event_id": f"s-{self.key}",
            "flight_id": self.key,
            "announced_at": at,
            "predict_at": self.leaves - timedelta(hours=1),
            "distance": 187.0,
            "hour": self.leaves.hour,
            "weekday": self.leaves.isoweekday(),
            **self.places(),
        }
        return Event("flight_scheduled", data, source="test", available=at)

    def arrived(self) -> Event:
        data = {
            "event_id": f"a-{self.key}",
            "flight_id": self.key,
            "arrived_at": self.arrives,
            "arr_delay": self.told_delay,
            **self.places(),
        }
        return Event("flight_arrived", data, source="test", available=self.arrives)


def flights() -> list[Flight]:
    generator = np.random.default_rng(5)
    found = []
    for number in range(DAYS * A_DAY):
        leaves = START + timedelta(minutes=number * 24 * 60 / A_DAY)
        delay = generator.normal(-5, 12) + (generator.random() < 0.3) * generator.exponential(40)
        carrier = CARRIERS[int(generator.integers(len(CARRIERS)))]
        found.append(Flight(number, leaves, carrier, float(round(delay))))
    return found


def publish(client: Client, batch: list[Event]) -> None:
    """Publish until everything is accepted."""
    waiting = list(batch)

    def accepted() -> bool:
        outcomes = [result.outcome for result in client.publish(waiting).results]
        pairs = zip(waiting, outcomes, strict=True)
        waiting[:] = [event for event, o in pairs if o != ingestion_pb.OUTCOME_ACCEPTED]
        return not waiting

    eventually(accepted, "events accepted")


def records(stack: LocalStack, topic: str, partitions: int = PARTITIONS) -> list[Record]:
    """Everything in a topic; a busy broker is asked again."""
    broker = Broker(stack.environment["TIDEMILL_KAFKA"])

    async def read() -> list[Record]:
        found = []
        for partition in range(partitions):
            found += await read_range(broker, TopicPartition(topic, partition), None, 100_000)
        return found

    return eventually(lambda: (asyncio.run(read()),), f"records of {topic}", 100)[0]


def labels(stack: LocalStack) -> pl.DataFrame:
    batches = [events.decode(r.value or b"") for r in records(stack, f"labels.{MODEL}")]
    if not batches:
        return pl.DataFrame({"_spine_id": []}, schema={"_spine_id": pl.String})
    return pl.concat([pl.DataFrame(pl.from_arrow(batch)) for batch in batches])


@dataclass(frozen=True, slots=True)
class Run:
    """What was published, and where to look."""

    stack: LocalStack
    client: Client
    flights: list[Flight]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Publish the whole fortnight, day by day, killing monitoring three times."""
    services = ["registry", "ingestion", "monitoring"]
    folder = tmp_path_factory.mktemp("monitoring")
    with (
        LocalStack(folder, services=services, parts=["postgres", "kafka"]) as stack,
        connect(addresses(stack), author="test") as client,
    ):
        project = load(PROJECT)
        for stream in project.streams:
            stream.partitions = PARTITIONS
        eventually(lambda: client.apply(project), "apply")
        every = flights()
        for day in range(DAYS):
            today = every[day * A_DAY : (day + 1) * A_DAY]
            batch = [event for f in today for event in (f.scheduled(), f.arrived())]
            batch.sort(key=lambda event: event.available or START)
            publish(client, [*batch, *batch[::10]])
            if day in KILLS:
                stack.kill("monitoring")
        yield Run(stack, client, every)


def test_labels_count_once_despite_duplicates_and_kills(run: Run) -> None:
    def all_known() -> bool:
        return labels(run.stack)["_spine_id"].n_unique() >= len(run.flights)

    eventually(all_known, "every label", 120)
    found = labels(run.stack)
    assert found["_spine_id"].n_unique() == len(run.flights)
    # A repeat is the same row: whoever counts by _spine_id counts once.
    assert found.unique().height == len(run.flights)
    told = {row["_spine_key"]: row["_label"] for row in found.iter_rows(named=True)}
    assert told == {f.key: float(f.told_delay >= 15) for f in run.flights}


def data_alert(run: Run) -> pb.Alert | None:
    found = [a for a in run.client.alerts(MODEL) if a.kind == pb.ALERT_KIND_DATA]
    firing = [a for a in found if a.state == pb.ALERT_STATE_FIRING]
    return next(iter(firing), None)


def test_a_wrong_unit_is_named_with_its_segment_and_its_first_record(run: Run) -> None:
    alert = eventually(lambda: data_alert(run), "a data alert", 120)
    wrong = [f for f in run.flights if f.is_wrong and f.delay]
    cause = alert.causes[0]
    assert alert.subject == FIELD
    assert (cause.shape, dict(cause.segment)) == ("scale", {"carrier": "UA"})
    assert "60" in cause.text
    assert alert.bad_from.ToDatetime(UTC) == wrong[0].arrives
    assert alert.opened_stream_time.ToDatetime(UTC) - wrong[0].arrives < timedelta(hours=12)
    first = alert.first_bad
    raw = next(
        r
        for r in records(run.stack, first.topic)
        if (r.partition, r.offset) == (first.partition, first.offset)
    )
    row = events.decode(raw.value or b"").slice(first.row, 1).to_pylist()[0]
    assert row["flight_id"] == wrong[0].key
    assert row["arr_delay"] == wrong[0].told_delay


def test_only_the_fault_raises_a_data_alert(run: Run) -> None:
    eventually(lambda: data_alert(run), "a data alert", 120)
    found = [a for a in run.client.alerts(MODEL) if a.kind == pb.ALERT_KIND_DATA]
    assert {a.subject for a in found} == {FIELD}


def test_an_alert_is_an_event_with_a_trace_and_can_be_acknowledged(run: Run) -> None:
    alert = eventually(lambda: data_alert(run), "a data alert", 120)
    found = [pb.AlertChanged.FromString(r.value or b"") for r in records(run.stack, "alerts", 1)]
    ours = [change for change in found if change.alert.alert_id == alert.alert_id]
    assert ours[-1].alert.state == pb.ALERT_STATE_FIRING
    assert len(ours[-1].alert.traceparent) == len("00-") + 32 + 1 + 16 + len("-01")
    assert run.client.acknowledge(alert.alert_id).acknowledged_by == "test"


def test_a_report_is_built_for_the_alert(run: Run) -> None:
    alert = eventually(lambda: data_alert(run), "a data alert", 120)
    path = eventually(lambda: run.client.report(alert_id=alert.alert_id), "a report", 200)
    page = run.stack.data / "run" / "monitoring" / "reports" / path
    assert "arr_delay" in page.read_text(errors="replace")
