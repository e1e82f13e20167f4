"""The queue of training runs on a real PostgreSQL: one open run, leases by its clock, fences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition, Fenced
from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb2
from tidemill.registry.v1 import events_pb2
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill_common import events
from tidemill_common.clock import from_us
from tidemill_common.kafka import Record
from tidemill_common.postgres import Pool, connected, migrate
from tidemill_common.project_source import Applied
from tidemill_common.settings import Dsn
from tidemill_training.handlers import Policies, generation
from tidemill_training.store.runs import Runs

pytestmark = pytest.mark.stack

LEASE = 0.4
DAY = 86_400_000_000
T0 = 1_356_998_400_000_000
MODEL = "late"


def a_project(*, fire: str = "labelled_rows >= 100", hold: str = "data_alerts > 0") -> Applied:
    project = project_pb2.Project(name="test")
    for name in ("scheduled", "arrived"):
        project.streams.add(name=name)
    view = project.views.add(name="arrivals", stream="arrived", entity=["carrier"])
    mean = view.aggregations.add(function=project_pb2.FUNCTION_MEAN, field="delay")
    mean.windows.add().length.FromSeconds(6 * 3600)
    model = project.models.add(name=MODEL)
    model.spine.stream = "scheduled"
    model.label.stream = "arrived"
    model.inputs.add().feature.view = "arrivals"
    model.retrain.fire, model.retrain.hold = fire, hold
    model.retrain.cooldown.FromSeconds(2 * 86_400)
    return Applied(project, "generation-1", 1)


@pytest.fixture
async def pool(postgres: Dsn, schema: str) -> AsyncIterator[Pool]:
    await migrate(postgres, schema=schema, package="tidemill_training.sql")
    async with connected(postgres, schema=schema) as opened:
        yield opened


@pytest.fixture
def runs(pool: Pool) -> Runs:
    return Runs(pool, LEASE, attempts=2)


@pytest.fixture
def policies(pool: Pool) -> Policies:
    return Policies(pool, generation(a_project()))


def labels(offset: int, rows: int, at_us: int = T0, *, partition: int = 0) -> Record:
    at = pa.array([at_us] * rows, pa.timestamp("us", "UTC"))
    batch = pa.record_batch(
        {
            "_label_available": at,
            "_version": pa.nulls(rows, pa.int64()),
            "_label": pa.array([0.0] * rows),
        }
    )
    now = int(datetime.now(UTC).timestamp() * 1000)
    return Record(f"labels.{MODEL}", partition, offset, now, None, events.encode(batch), ())


def alert(offset: int, state: monitoring_pb2.AlertState, at_us: int, **spans: int) -> Record:
    changed = monitoring_pb2.AlertChanged()
    changed.alert.alert_id = "a1"
    changed.alert.kind = monitoring_pb2.ALERT_KIND_DATA
    changed.alert.subject = "arrived.delay"
    changed.alert.state = state
    changed.alert.changed_stream_time.FromDatetime(from_us(at_us))
    for name, value in spans.items():
        getattr(changed.alert, name).FromDatetime(from_us(value))
    now = int(datetime.now(UTC).timestamp() * 1000)
    return Record("alerts", 0, offset, now, None, changed.SerializeToString(), ())


def registry(offset: int, **facts: int) -> Record:
    event = events_pb2.RegistryEvent(event_id=str(offset))
    event.alias_moved.model, event.alias_moved.alias = MODEL, "champion"
    event.alias_moved.number = facts["champion"]
    return Record("registry.events", 0, offset, 0, None, event.SerializeToString(), ())


def finish(
    run: pb.Run, state: pb.RunState = pb.RUN_STATE_SUCCEEDED, **facts: object
) -> pb.FinishRunRequest:
    return pb.FinishRunRequest(run_id=run.run_id, fence=run.fence, state=state, **facts)  # type: ignore[arg-type]


async def the_run(runs: Runs) -> pb.Run:
    found = await runs.newest(MODEL, 10)
    assert len(found) == 1
    return found[0]


async def leased(runs: Runs) -> pb.Run:
    run = await runs.lease("worker", 0, 1_000_000)
    assert run is not None
    return run


async def test_enough_labels_open_one_run_and_a_redelivered_record_counts_once(
    policies: Policies, runs: Runs
) -> None:
    await policies.handle([labels(0, 60)])
    assert await runs.newest(MODEL, 10) == []
    await policies.handle([labels(0, 60)])
    assert await runs.newest(MODEL, 10) == []
    await policies.handle([labels(1, 60)])
    run = await the_run(runs)
    assert run.state == pb.RUN_STATE_QUEUED
    decision = (await runs.decisions(MODEL, "fire", 10))[0]
    assert decision["run_id"] == run.run_id
    assert run.causes == [decision["decision_id"]]
    assert decision["signals"]["labelled_rows"] == 120


async def test_two_policies_that_see_the_same_at_once_start_one_run(pool: Pool, runs: Runs) -> None:
    both = [Policies(pool, generation(a_project())) for _ in range(2)]
    await asyncio.gather(
        *(policy.handle([labels(0, 200, partition=p)]) for p, policy in enumerate(both))
    )
    await the_run(runs)
    request = pb.SubmitRunRequest(model=MODEL, request_id="r1")
    first, second = await asyncio.gather(*(policy.submit(request) for policy in both))
    assert first.run_id == second.run_id == (await the_run(runs)).run_id


async def test_a_request_with_parameters_is_refused_while_a_run_is_open(
    policies: Policies, runs: Runs
) -> None:
    opened = await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    joined = await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r2"))
    assert joined.run_id == opened.run_id
    assert len(joined.causes) == 2
    special = pb.SubmitRunRequest(model=MODEL, request_id="r3", max_rows=10)
    with pytest.raises(FailedPrecondition, match="is open"):
        await policies.submit(special)


async def test_the_finish_of_a_zombie_is_refused_by_its_fence(
    policies: Policies, runs: Runs
) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    zombie = await leased(runs)
    await asyncio.sleep(LEASE * 1.5)
    assert [run.run_id for run in await runs.expire()] == [zombie.run_id]
    with pytest.raises(Fenced):
        await runs.finish(finish(zombie, version=1))
    second = await leased(runs)
    assert second.run_id == zombie.run_id
    assert second.attempt == 2
    assert second.fence > zombie.fence
    for refused in (
        runs.finish(finish(zombie, version=1)),
        runs.renew(zombie.run_id, zombie.fence, "train", 0.5, {}),
        runs.checkpoint(zombie.run_id, zombie.fence, "0" * 64, 1),
    ):
        with pytest.raises(Fenced):
            await refused
    done = await runs.finish(finish(second, version=2))
    assert (done.state, done.version) == (pb.RUN_STATE_SUCCEEDED, 2)


async def test_finishing_twice_is_one_end(policies: Policies, runs: Runs) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    run = await leased(runs)
    once = await runs.finish(finish(run, version=3))
    assert await runs.finish(finish(run, version=3)) == once


async def test_a_lease_that_is_renewed_does_not_expire(policies: Policies, runs: Runs) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    run = await leased(runs)
    for _ in range(4):
        await asyncio.sleep(LEASE / 2)
        assert not await runs.renew(run.run_id, run.fence, "train", 0.5, {"loss": 1.0})
        assert await runs.expire() == []
    assert (await runs.get(run.run_id)).metrics["loss"] == 1.0


async def test_an_expired_lease_goes_back_until_its_attempts_are_spent(
    policies: Policies, runs: Runs
) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    for attempt in (1, 2):
        assert (await leased(runs)).attempt == attempt
        await asyncio.sleep(LEASE * 1.5)
        assert len(await runs.expire()) == 1
    run = await the_run(runs)
    assert run.state == pb.RUN_STATE_FAILED
    assert "silent" in run.error
    assert await runs.lease("worker", 0, 1_000_000) is None


async def test_a_failure_of_the_data_is_not_repeated_and_one_of_the_machine_is(
    policies: Policies, runs: Runs
) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    run = await leased(runs)
    failed = finish(run, pb.RUN_STATE_FAILED, error="infrastructure: gone", retryable=True)
    assert (await runs.finish(failed)).state == pb.RUN_STATE_QUEUED
    await asyncio.sleep(2.1)
    run = await leased(runs)
    failed = finish(run, pb.RUN_STATE_FAILED, error="data: one class", retryable=False)
    assert (await runs.finish(failed)).state == pb.RUN_STATE_FAILED


async def test_two_workers_never_lease_the_same_run(policies: Policies, runs: Runs) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    taken = await asyncio.gather(*(runs.lease(f"w{i}", 0, 1_000_000) for i in range(6)))
    assert sum(run is not None for run in taken) == 1


async def test_a_worker_hears_that_its_run_was_cancelled(policies: Policies, runs: Runs) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    run = await leased(runs)
    await runs.cancel(run.run_id, "cancelled by hand")
    assert await runs.renew(run.run_id, run.fence, "train", 0.1, {})
    assert (await runs.finish(finish(run))).state == pb.RUN_STATE_CANCELLED


async def test_amounts_count_from_the_cut_of_the_last_finished_run(
    policies: Policies, runs: Runs
) -> None:
    await policies.handle([labels(0, 120)])
    run = await leased(runs)
    await policies.handle([labels(1, 30, T0 + DAY)])
    await runs.finish(finish(run, version=1))
    await policies.handle([labels(2, 40, T0 + 3 * DAY)])
    last = (await runs.decisions(MODEL, "", 10))[0]
    assert last["signals"]["labelled_rows"] == 70
    await policies.handle([labels(3, 40, T0 + 3 * DAY)])
    assert len(await runs.newest(MODEL, 10)) == 2


async def test_nothing_is_trained_while_data_are_bad_and_the_bad_span_is_left_out_afterwards(
    policies: Policies, runs: Runs
) -> None:
    firing, ok = monitoring_pb2.ALERT_STATE_FIRING, monitoring_pb2.ALERT_STATE_OK
    await policies.handle([alert(0, firing, T0 + 2 * DAY, bad_from=T0)])
    await policies.handle([labels(0, 200, T0 + 2 * DAY)])
    assert await runs.newest(MODEL, 10) == []
    assert (await runs.decisions(MODEL, "hold", 10))[0]["signals"]["data_alerts"] == 1
    await policies.handle([alert(1, ok, T0 + 4 * DAY, bad_from=T0, bad_to=T0 + DAY)])
    run = await the_run(runs)
    (rows,) = run.spec.exclusions
    assert getattr(rows, "from").ToMicroseconds() == T0
    assert rows.to.ToMicroseconds() == T0 + DAY + 6 * 3_600_000_000
    (known,) = run.spec.label_exclusions
    assert known.to.ToMicroseconds() == T0 + DAY


async def test_an_open_run_is_cancelled_when_its_data_turn_out_to_be_bad(
    policies: Policies, runs: Runs
) -> None:
    await policies.handle([labels(0, 200, T0 + DAY)])
    run = await leased(runs)
    firing = monitoring_pb2.ALERT_STATE_FIRING
    await policies.handle([alert(0, firing, T0 + 2 * DAY, bad_from=T0)])
    assert (await runs.get(run.run_id)).state == pb.RUN_STATE_CANCELLED


async def test_a_champion_is_learnt_from_the_registry(policies: Policies, pool: Pool) -> None:
    await policies.handle([registry(0, champion=4)])
    state = await pool.fetchval("SELECT state FROM policy_state WHERE model = $1", MODEL)
    assert state["champion"] == 4


async def test_a_run_that_changes_is_announced_with_the_change(
    policies: Policies, runs: Runs, pool: Pool
) -> None:
    await policies.submit(pb.SubmitRunRequest(model=MODEL, request_id="r1"))
    await runs.finish(finish(await leased(runs), version=1))
    rows = await pool.fetch(
        "SELECT value FROM outbox WHERE topic = 'training.requests' ORDER BY id"
    )
    states = [pb.RunAnnounced.FromString(row["value"]).run.state for row in rows]
    assert states == [pb.RUN_STATE_QUEUED, pb.RUN_STATE_RUNNING, pb.RUN_STATE_SUCCEEDED]
