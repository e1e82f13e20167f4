"""What a publisher is told."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Exhausted, Invalid, TidemillError, Unavailable
from tidemill_common.clock import from_us
from tidemill_common.testing.clock import FrozenClock
from tidemill_ingestion.batching import Placement
from tidemill_ingestion.handlers import Outcome, Streams, publish, publish_columns
from tidemill_ingestion.limits import SourceLimit
from tidemill_ingestion.schema import compile_stream
from tidemill_ingestion.testing import NOW_US, a_stream, an_event
from tidemill_ingestion.validation import Batch


class Log:
    """Places rows one after another, or fails as told."""

    def __init__(self, error: TidemillError | None = None, unknown: int = 0) -> None:
        self.batches: list[Batch] = []
        self._error = error
        self._unknown = unknown

    async def append(self, batch: Batch) -> Placement:
        if self._error is not None:
            raise self._error
        self.batches.append(batch)
        size = len(batch.partitions)
        offset = np.full(size, 40, dtype=np.int64)
        offset[: self._unknown] = -1
        return Placement(batch.partitions, offset, np.arange(size, dtype=np.int32))


class Registry:
    """Says that the streams are those of the current project, or fails as told."""

    def __init__(self, error: TidemillError | None = None) -> None:
        self._error = error

    async def confirm(self, known: Callable[[], str]) -> None:
        if self._error is not None:
            raise self._error


STREAMS = Streams(Registry(), schemas={"clicks": compile_stream(a_stream())})


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(from_us(NOW_US))


def an_id_column(rows: int) -> pa.Table:
    return pa.table({"_id": [f"e{n}" for n in range(rows)], "user": ["a"] * rows})


async def test_every_event_gets_its_own_reply_in_order(clock: FrozenClock) -> None:
    raw = [
        ("clicks", an_event(1)),
        ("nothing", an_event(2)),
        ("clicks", an_event(3, data=b"{}")),
        ("clicks", an_event(4)),
    ]
    published = await publish(raw, STREAMS, Log(), SourceLimit(0), clock)
    outcomes = [result.outcome for result in published.results]
    assert outcomes == [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
        Outcome.REJECTED,
        Outcome.ACCEPTED,
    ]
    assert "streams: clicks" in published.results[1].reason
    assert published.results[2].field == "user"


async def test_the_token_waits_for_the_record_after_the_newest_event(clock: FrozenClock) -> None:
    published = await publish([("clicks", an_event(1))], STREAMS, Log(), SourceLimit(0), clock)
    assert list(published.token.values()) == [41]


async def test_a_broker_that_is_away_makes_events_unavailable_and_rejects_none(
    clock: FrozenClock,
) -> None:
    log = Log(Unavailable("the broker does not answer"))
    raw = [("clicks", an_event(1)), ("clicks", an_event(2, data=b"{}"))]
    published = await publish(raw, STREAMS, log, SourceLimit(0), clock)
    assert [r.outcome for r in published.results] == [Outcome.UNAVAILABLE, Outcome.REJECTED]
    assert not published.token


async def test_an_unknown_stream_is_not_rejected_before_the_current_project_is_known(
    clock: FrozenClock,
) -> None:
    away = Unavailable("generation g2 of the project is being taken up")
    behind = Streams(Registry(away), schemas=STREAMS.schemas)
    raw = [("visits", an_event(1)), ("clicks", an_event(2))]
    published = await publish(raw, behind, Log(), SourceLimit(0), clock)
    assert [r.outcome for r in published.results] == [Outcome.UNAVAILABLE, Outcome.ACCEPTED]
    assert published.results[0].reason == away.message
    with pytest.raises(Unavailable, match="being taken up"):
        await publish_columns(
            "visits", "shop", an_id_column(3), behind, Log(), SourceLimit(0), clock
        )


async def test_an_event_without_an_acknowledgement_is_unknown_not_rejected(
    clock: FrozenClock,
) -> None:
    raw = [("clicks", an_event(1)), ("clicks", an_event(2))]
    published = await publish(raw, STREAMS, Log(unknown=1), SourceLimit(0), clock)
    assert [r.outcome for r in published.results] == [Outcome.UNKNOWN, Outcome.ACCEPTED]


async def test_a_source_over_its_rate_is_told_when_to_come_back(clock: FrozenClock) -> None:
    limit, log = SourceLimit(2.0), Log()
    raw = [("clicks", an_event(1)), ("clicks", an_event(2))]
    await publish(raw, STREAMS, log, limit, clock)
    with pytest.raises(Exhausted) as caught:
        await publish(raw, STREAMS, log, limit, clock)
    assert caught.value.retry_after == pytest.approx(1.0)
    clock.advance(1.0)
    await publish(raw, STREAMS, log, limit, clock)
    assert len(log.batches) == 2


async def test_columns_without_an_envelope_get_one(clock: FrozenClock) -> None:
    log = Log()
    published = await publish_columns(
        "clicks", "shop", an_id_column(3), STREAMS, log, SourceLimit(0), clock
    )
    assert [r.outcome for r in published.results] == [Outcome.ACCEPTED] * 3
    assert log.batches[0].rows.column("_source").to_pylist() == ["shop"] * 3


async def test_columns_that_do_not_fit_are_all_named(clock: FrozenClock) -> None:
    table = (
        an_id_column(2)
        .append_column("price", pa.array(["a", "b"]))
        .append_column("prise", pa.array([1, 2]))
    )
    with pytest.raises(Invalid) as caught:
        await publish_columns("clicks", "shop", table, STREAMS, Log(), SourceLimit(0), clock)
    assert {violation.field for violation in caught.value.violations} == {"price", "prise"}


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (pa.array([NOW_US], pa.timestamp("us")), "have no time zone"),
        (pa.array([NOW_US]), "a int64 is no timestamp"),
        (pa.array([20_000], pa.date32()), "is no timestamp"),
    ],
)
async def test_times_that_would_be_a_guess_are_refused_once(
    times: pa.Array, said: str, clock: FrozenClock
) -> None:
    stream = a_stream(event_time_field="at")
    stream.fields.add(name="at", type=project_pb2.FIELD_TYPE_TIMESTAMP, required=True)
    streams = Streams(Registry(), schemas={"clicks": compile_stream(stream)})
    table = an_id_column(1).append_column("at", times)
    with pytest.raises(Invalid) as caught:
        await publish_columns("clicks", "shop", table, streams, Log(), SourceLimit(0), clock)
    (violation,) = caught.value.violations
    assert violation.field == "at"
    assert said in violation.description


async def test_times_in_any_zone_and_unit_are_the_same_instant(clock: FrozenClock) -> None:
    log, at = Log(), pa.array([NOW_US // 1000], pa.timestamp("ms", "Europe/Amsterdam"))
    table = an_id_column(1).append_column("_time", at)
    await publish_columns("clicks", "shop", table, STREAMS, log, SourceLimit(0), clock)
    found = log.batches[0].rows.column("_time").cast(pa.int64()).to_pylist()
    assert found == [NOW_US // 1000 * 1000]


async def test_a_null_in_a_required_column_refuses_its_row_only(clock: FrozenClock) -> None:
    table = pa.table({"_id": ["a", "b"], "user": ["u", None]})
    published = await publish_columns(
        "clicks", "shop", table, STREAMS, Log(), SourceLimit(0), clock
    )
    assert [r.outcome for r in published.results] == [Outcome.ACCEPTED, Outcome.REJECTED]
