"""The registry on a real database: races have one winner, zombies none, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import AlreadyExists, Conflict, FailedPrecondition, Fenced, Invalid
from tidemill.project import load, model_inputs
from tidemill.registry.v1 import events_pb2
from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill.serving.v1 import serving_service_pb2
from tidemill.serving.v1.serving_service_pb2_grpc import (
    ServingServiceServicer,
    add_ServingServiceServicer_to_server,
)
from tidemill_common import topics
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import SystemClock
from tidemill_common.kafka import Broker, TopicPartition, administering, producing
from tidemill_common.kafka.reading import read_range
from tidemill_common.model_package import File, Golden, Manifest, golden_to_json, manifest_to_json
from tidemill_common.postgres import Pool, connected, migrate, relay
from tidemill_common.preprocessing import Category, Preprocessing, to_json
from tidemill_common.settings import Dsn
from tidemill_registry import handlers, rollouts
from tidemill_registry.apply import apply
from tidemill_registry.chaining import Anchors, chain_audit, verify_audit
from tidemill_registry.gatekeeper import Gatekeeper
from tidemill_registry.handlers import Registry
from tidemill_registry.store import Store, Transaction
from tidemill_registry.versions import Artifact, GateResult, Stage, Verdict, Version

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

MODEL = "late_arrival"
CLIENTS = 8
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
async def pool(postgres: Dsn, schema: str) -> AsyncIterator[Pool]:
    await migrate(postgres, schema=schema, package="tidemill_registry.sql")
    async with connected(postgres, schema=schema, max_size=CLIENTS + 2) as opened:
        yield opened


@pytest.fixture
def registry(pool: Pool, tmp_path: Path) -> Registry:
    return Registry(Store(pool), Artifacts((tmp_path / "blobs").as_uri()), SystemClock())


@pytest.fixture
def anchors(tmp_path: Path) -> Anchors:
    return Anchors(tmp_path / "anchors.jsonl")


def flights(*, server_gate: bool = False, canary: float = 0.2) -> project_pb2.Project:
    project = load("examples/flights/tidemill.yaml")
    model = project.models[0]
    model.rollout.canary = canary
    model.gates[1].metric_floor.bound = 0.6
    model.gates[2].non_inferiority.margin = 0.005
    if not server_gate:
        del model.gates[3:]
    return project


async def applied(registry: Registry, project: project_pb2.Project) -> str:
    done = await apply(registry, project, author="ann", expected="", plan_only=False)
    return done.generation


def evaluation(*, skill: float, champion_skill: float | None, seed: int) -> bytes:
    """Fresh test rows: what really happened, and what both versions said before it did."""
    rng = np.random.default_rng(seed)
    label = (rng.random(2000) < 0.3).astype(np.float64)
    noise = rng.normal(0, 0.12, 2000)
    columns = {
        "label": label,
        "candidate": np.clip(0.3 + skill * (label - 0.3) + noise, 0.01, 0.99),
    }
    if champion_skill is not None:
        scored = 0.3 + champion_skill * (label - 0.3) + noise + rng.normal(0, 0.01, 2000)
        columns["champion"] = np.clip(scored, 0.01, 0.99)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def a_version(
    registry: Registry,
    run: str,
    generation: str = "",
    *,
    skill: float = 0.3,
    champion_skill: float | None = 0.3,
    seed: int = 0,
) -> Version:
    """Put a package into the store, as a worker does, and describe it."""
    inputs = model_inputs(flights(), MODEL)
    preprocessing = Preprocessing(
        MODEL,
        "binary",
        tuple(one.name for one in inputs.numeric),
        tuple(Category(one.name, buckets=8) for one in inputs.categorical),
    )
    golden = Golden(
        np.zeros((1, 1), np.float32), np.zeros((1, 1), np.int64), np.zeros(1, np.float32)
    )
    files = {
        "model.onnx": f"onnx of {run} {seed}".encode(),
        "preprocessing.json": to_json(preprocessing),
        "golden.json": golden_to_json(golden),
        "evaluation.parquet": evaluation(skill=skill, champion_skill=champion_skill, seed=seed),
    }
    put = registry.artifacts.put
    manifest = Manifest(MODEL, {n: File(put(data), len(data)) for n, data in files.items()})
    lineage = pb.Lineage(run_id=run, generation=generation, seed=seed)
    return Version(
        MODEL,
        0,
        put(manifest_to_json(manifest)),
        run,
        tuple(Artifact(n, file.sha256, file.size) for n, file in sorted(manifest.files.items())),
        lineage.SerializeToString(),
        {"auc": 0.7},
        datetime.now(UTC),
        traceparent=TRACE,
    )


async def registered(registry: Registry, run: str, *, fence: int = 1, **kind: float) -> Version:
    version, _ = await handlers.register(registry, a_version(registry, run, **kind), fence)  # type: ignore[arg-type]
    return version


def a_gatekeeper(registry: Registry, serving: str = "") -> Gatekeeper:
    return Gatekeeper(registry, serving, requests=10, timeout_s=5.0, every_s=0.05)


async def versions(registry: Registry) -> list[Version]:
    return await registry.store.run(lambda tx: tx.versions(MODEL, limit=100))


# --- fences and repeats -----------------------------------------------------------------------


async def test_a_zombie_worker_is_refused_by_its_fence(registry: Registry) -> None:
    first, created = await handlers.register(registry, a_version(registry, "run"), 7)
    assert created
    with pytest.raises(Fenced, match="held with fence 7, not 6"):
        await handlers.register(registry, a_version(registry, "run", seed=9), 6)
    again, created = await handlers.register(registry, a_version(registry, "run"), 7)
    successor, created_by_successor = await handlers.register(
        registry, a_version(registry, "run", seed=9), 8
    )
    assert (created, created_by_successor) == (False, False)
    assert first.number == again.number == successor.number
    assert successor.digest == first.digest
    assert len(await versions(registry)) == 1


async def test_a_zombie_that_comes_before_its_successor_has_registered_is_refused_afterwards(
    registry: Registry,
) -> None:
    await registered(registry, "run", fence=3)
    with pytest.raises(Fenced):
        await registered(registry, "run", fence=2)


async def test_eight_repeats_at_once_make_one_version(registry: Registry) -> None:
    version = a_version(registry, "run")
    found = await asyncio.gather(*(handlers.register(registry, version, 1) for _ in range(CLIENTS)))
    assert [created for _, created in found].count(True) == 1
    assert {made.number for made, _ in found} == {1}


async def test_eight_runs_at_once_get_eight_numbers_without_a_gap(registry: Registry) -> None:
    candidates = [a_version(registry, f"run{i}", seed=i) for i in range(CLIENTS)]
    found = await asyncio.gather(*(handlers.register(registry, one, 1) for one in candidates))
    assert sorted(made.number for made, _ in found) == list(range(1, CLIENTS + 1))


async def test_a_package_that_is_not_whole_is_refused_and_nothing_is_kept(
    registry: Registry,
) -> None:
    version = a_version(registry, "run")
    registry.artifacts.delete(version.artifacts[0].sha256)
    with pytest.raises(Invalid) as caught:
        await handlers.register(registry, version, 1)
    assert "is not in the artefact store" in caught.value.violations[0].description
    with pytest.raises(Invalid, match="manifest is missing"):
        await handlers.register(registry, replace(version, digest="0" * 64), 1)
    assert await versions(registry) == []


# --- compare-and-set --------------------------------------------------------------------------


async def test_an_alias_race_of_eight_clients_has_one_winner(registry: Registry) -> None:
    for i in range(CLIENTS):
        await registered(registry, f"run{i}", seed=i)
    for expected in (0, 1):
        moves = [
            handlers.move_alias(registry, MODEL, "staging", i + 1, expected, f"client{i}", "")
            for i in range(CLIENTS)
        ]
        outcomes = await asyncio.gather(*moves, return_exceptions=True)
        assert sum(outcome == expected + 1 for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == CLIENTS - 1


async def test_champion_and_challenger_move_with_the_rollout_only(registry: Registry) -> None:
    await registered(registry, "run")
    with pytest.raises(FailedPrecondition, match="follows the rollout"):
        await handlers.move_alias(registry, MODEL, "champion", 1, 0, "ann", "")


async def test_a_rollout_race_of_eight_controllers_has_one_winner(registry: Registry) -> None:
    generation = await applied(registry, flights())
    for i in range(2):
        version = a_version(registry, f"run{i}", generation, seed=i)
        await handlers.register(registry, version, 1)
        await a_gatekeeper(registry).once()
    row = await registry.store.run(lambda tx: tx.rollout(MODEL))
    assert (row.champion, row.challenger, row.share) == (1, 2, 0.2)
    moves = [
        handlers.move_rollout(
            registry,
            MODEL,
            lambda now: rollouts.promote_challenger(now, "good"),
            action="rollout.promote",
            author=f"controller{i}",
            expected=row.table_version,
        )
        for i in range(CLIENTS)
    ]
    outcomes = await asyncio.gather(*moves, return_exceptions=True)
    assert sum(isinstance(outcome, rollouts.Rollout) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == CLIENTS - 1
    after = await registry.store.run(lambda tx: tx.rollout(MODEL))
    assert (after.champion, after.table_version) == (2, row.table_version + 1)
    champion = await handlers.get_version(registry, MODEL, 0, "champion")
    assert champion.number == 2
    back = await handlers.roll_back(registry, MODEL, "ann", "")
    assert (back.champion, back.previous_champion) == (1, 0)
    assert [one.stage for one in await versions(registry)] == [Stage.ARCHIVED, Stage.VALIDATED]


# --- order ------------------------------------------------------------------------------------


async def test_events_and_audit_follow_the_commits_when_an_older_transaction_is_still_open(
    registry: Registry, kafka: Broker, pool: Pool, anchors: Anchors
) -> None:
    """The first to begin commits last: its rows have the smaller ids and must not be passed by."""
    slow = replace(a_version(registry, "slow"), model="slow_model")
    quick = a_version(registry, "quick")
    began, finish = asyncio.Event(), asyncio.Event()

    async def held(tx: Transaction) -> None:
        await tx.register(slow, 1)
        event = events_pb2.VersionRegistered(version=pb.Version(model="slow_model", number=1))
        await registry.tell(tx, "slow_model", event)
        began.set()
        await finish.wait()

    stop = asyncio.Event()
    async with administering(kafka) as admin, producing(kafka) as producer:
        await admin.ensure([topics.REGISTRY_EVENTS])
        start = await _end(admin)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(relay(pool, producer, stop, every=0.05))
            tasks.create_task(_chaining(registry, anchors, stop))
            holding = tasks.create_task(registry.store.run(held))
            await began.wait()
            await handlers.register(registry, quick, 1)
            await asyncio.sleep(0.5)
            assert await _models(kafka, start) == []
            assert await registry.store.run(lambda tx: tx.audit(0, 10)) == []
            finish.set()
            await holding
            async with asyncio.timeout(15):
                while len(found := await _models(kafka, start)) < 2:
                    await asyncio.sleep(0.05)
            stop.set()
    assert found == ["slow_model", MODEL]
    chained = await registry.store.run(lambda tx: tx.audit(0, 10))
    subjects = [one.entry.subject for one in chained if one.entry is not None]
    assert subjects == ["slow_model/1", f"{MODEL}/1"]
    assert (await verify_audit(registry.store, anchors)).intact


async def _end(admin: object) -> int:
    ends = await admin.end_offsets([_events()])  # type: ignore[attr-defined]
    return int(ends[_events()])


def _events() -> TopicPartition:
    return TopicPartition(topics.REGISTRY_EVENTS.name, 0)


async def _models(kafka: Broker, start: int) -> list[str]:
    records = await read_range(kafka, _events(), start, 100)
    events = [events_pb2.RegistryEvent.FromString(record.value or b"") for record in records]
    return [event.version_registered.version.model for event in events]


async def _chaining(registry: Registry, anchors: Anchors, stop: asyncio.Event) -> None:
    clock = registry.clock
    await chain_audit(registry.store, anchors, clock, stop, every_s=0.05, anchor_s=60.0)


async def test_a_registry_event_carries_on_the_trace_of_the_run(
    registry: Registry, pool: Pool
) -> None:
    await registered(registry, "run")
    row = await pool.fetchrow("SELECT value, headers FROM outbox")
    assert row is not None
    assert events_pb2.RegistryEvent.FromString(row["value"]).traceparent == TRACE
    assert ["traceparent", TRACE] in row["headers"]


# --- audit ------------------------------------------------------------------------------------


@pytest.fixture
async def chained(registry: Registry, anchors: Anchors) -> Registry:
    """Five entries, chained and anchored."""
    for i in range(5):
        await registered(registry, f"run{i}", seed=i)
    stop = asyncio.Event()
    stop.set()
    await _chaining(registry, anchors, stop)
    return registry


async def _tamper(pool: Pool, table: str, statement: str) -> None:
    """Do what only the owner of the database can: switch the guard off first."""
    async with pool.transaction() as connection:
        await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER immutable")
        await connection.execute(statement)


@pytest.mark.parametrize("table", ["audit_entry", "audit_chain", "version", "gate_result"])
async def test_what_is_append_only_refuses_to_change(
    chained: Registry, pool: Pool, table: str
) -> None:
    version = (await versions(chained))[0]
    result = GateResult("floor", Verdict.PASS, value=0.7)
    await handlers.record_gate(chained, version, result, "test")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
        await pool.execute(f"DELETE FROM {table}")  # noqa: S608 - a table's name of ours


@pytest.mark.parametrize(
    ("table", "statement", "first_bad", "said"),
    [
        ("audit_entry", "UPDATE audit_entry SET author = 'mallory' WHERE id = 3", 3, "was changed"),
        ("audit_entry", "UPDATE audit_entry SET details = '{}' WHERE id = 1", 1, "was changed"),
        ("audit_entry", "DELETE FROM audit_entry WHERE id = 4", 4, "was deleted"),
        ("audit_chain", "DELETE FROM audit_chain WHERE sequence = 2", 2, "link 2 is missing"),
        ("audit_chain", "DELETE FROM audit_chain WHERE sequence > 3", 4, "cut short"),
        (
            "audit_chain",
            "UPDATE audit_chain SET hash = md5('x') WHERE sequence = 5",
            5,
            "was changed",
        ),
    ],
)
async def test_a_tampered_audit_names_the_first_bad_entry(
    chained: Registry,
    pool: Pool,
    anchors: Anchors,
    table: str,
    statement: str,
    first_bad: int,
    said: str,
) -> None:
    assert (await verify_audit(chained.store, anchors)).entries == 5
    await _tamper(pool, table, statement)
    found = await verify_audit(chained.store, anchors)
    assert not found.intact
    assert found.first_bad == first_bad
    assert said in found.problem


async def test_an_entry_that_was_slipped_in_is_named(
    chained: Registry, pool: Pool, anchors: Anchors
) -> None:
    await pool.execute(
        "INSERT INTO audit_entry (txid, action, subject, author, details) "
        "VALUES ('1', 'alias.moved', 'late_arrival/1', 'mallory', '{}')"
    )
    assert "was put in" in (await verify_audit(chained.store, anchors)).problem


# --- gates ------------------------------------------------------------------------------------


async def test_a_candidate_of_corrupted_labels_is_refused_and_the_reason_can_be_read(
    registry: Registry,
) -> None:
    generation = await applied(registry, flights())
    good = a_version(registry, "good", generation, champion_skill=None)
    await handlers.register(registry, good, 1)
    await a_gatekeeper(registry).once()
    flipped = a_version(registry, "flipped", generation, skill=-0.3, seed=1)
    await handlers.register(registry, flipped, 1)
    await a_gatekeeper(registry).once()
    bad, first = await versions(registry)
    assert (first.stage, bad.stage) == (Stage.VALIDATED, Stage.REJECTED)
    assert "gate floor failed: auc 0.0" in bad.reason
    assert "is below the floor 0.6" in bad.reason
    assert "of champion 1 on 2,000 fresh rows: worse by" in bad.reason
    row = await registry.store.run(lambda tx: tx.rollout(MODEL))
    assert (row.champion, row.challenger) == (1, 0)


async def test_a_newer_good_version_replaces_a_running_challenger(registry: Registry) -> None:
    generation = await applied(registry, flights())
    for i in range(3):
        version = a_version(registry, f"run{i}", generation, seed=i)
        await handlers.register(registry, version, 1)
        await a_gatekeeper(registry).once()
    row = await registry.store.run(lambda tx: tx.rollout(MODEL))
    assert (row.champion, row.challenger) == (1, 3)
    stages = {one.number: one.stage for one in await versions(registry)}
    assert stages == {1: Stage.VALIDATED, 2: Stage.ARCHIVED, 3: Stage.VALIDATED}
    aliases = {one.number: one.aliases for one in await versions(registry)}
    assert aliases == {1: ("champion",), 2: (), 3: ("challenger",)}


async def test_the_package_of_the_champion_registered_again_opens_no_rollout(
    registry: Registry,
) -> None:
    generation = await applied(registry, flights())
    first = a_version(registry, "run0", generation)
    for run in ("run0", "run1"):
        lineage = pb.Lineage(run_id=run, generation=generation).SerializeToString()
        await handlers.register(registry, replace(first, run_id=run, lineage=lineage), 1)
        await a_gatekeeper(registry).once()
    row = await registry.store.run(lambda tx: tx.rollout(MODEL))
    assert (row.champion, row.challenger) == (1, 0)
    assert {one.stage for one in await versions(registry)} == {Stage.VALIDATED}


async def test_without_a_canary_a_good_version_is_champion_at_once(registry: Registry) -> None:
    generation = await applied(registry, flights(canary=0.0))
    for i in range(2):
        version = a_version(registry, f"run{i}", generation, seed=i)
        await handlers.register(registry, version, 1)
        await a_gatekeeper(registry).once()
    row = await registry.store.run(lambda tx: tx.rollout(MODEL))
    assert (row.champion, row.challenger, row.previous_champion) == (2, 0, 1)


async def test_a_package_that_changed_after_it_was_registered_fails_its_schema_gate(
    registry: Registry, tmp_path: Path
) -> None:
    generation = await applied(registry, flights())
    await handlers.register(registry, a_version(registry, "run", generation), 1)
    model = next(one for one in (await versions(registry))[0].artifacts if one.name == "model.onnx")
    blob = next((tmp_path / "blobs").rglob(model.sha256))
    blob.chmod(0o600)
    blob.write_bytes(b"x" * model.size)
    await a_gatekeeper(registry).once()
    (version,) = await versions(registry)
    assert version.stage is Stage.REJECTED
    assert "gate inputs failed: model.onnx:" in version.reason


class Server(ServingServiceServicer):
    """Answers as serving does after it has tried a version in the real server."""

    async def Evaluate(  # noqa: N802 - gRPC's name
        self,
        request: serving_service_pb2.EvaluateRequest,
        context: grpc.aio.ServicerContext[object, object],
    ) -> serving_service_pb2.EvaluateResponse:
        return serving_service_pb2.EvaluateResponse(
            max_difference=1e-7, latency_p99_ms=3.0, golden_rows=8, requests=request.requests
        )


async def test_a_candidate_waits_for_serving_and_goes_on_where_it_stopped(
    registry: Registry, free_port: int
) -> None:
    generation = await applied(registry, flights(server_gate=True))
    await handlers.register(registry, a_version(registry, "run", generation), 1)
    address = f"127.0.0.1:{free_port}"
    assert await a_gatekeeper(registry, address).once()
    (waiting,) = await versions(registry)
    assert waiting.stage is Stage.CANDIDATE
    assert [result.gate for result in waiting.gate_results] == ["inputs", "floor", "champion"]
    server = grpc.aio.server()
    add_ServingServiceServicer_to_server(Server(), server)  # type: ignore[abstract]
    server.add_insecure_port(address)
    await server.start()
    try:
        await _until_decided(registry, a_gatekeeper(registry, address))
    finally:
        await server.stop(0)
    (done,) = await versions(registry)
    assert done.stage is Stage.VALIDATED
    assert [result.gate for result in done.gate_results][-1] == "server"
    earlier = {result.gate: result.time for result in waiting.gate_results}
    assert all(result.time == earlier.get(result.gate, result.time) for result in done.gate_results)


async def _until_decided(registry: Registry, gatekeeper: Gatekeeper) -> None:
    async with asyncio.timeout(20):
        while await gatekeeper.once():
            await asyncio.sleep(0.2)


async def test_two_gatekeepers_at_once_decide_once(registry: Registry, pool: Pool) -> None:
    generation = await applied(registry, flights())
    await handlers.register(registry, a_version(registry, "run", generation), 1)
    await asyncio.gather(*(a_gatekeeper(registry).once() for _ in range(4)))
    actions = await pool.fetch("SELECT action FROM audit_entry ORDER BY id")
    counted: Sequence[str] = [row["action"] for row in actions]
    assert counted.count("version.validated") == 1
    assert counted.count("rollout.opened") == 1
    assert counted.count("gate.recorded") == 3


async def test_a_gate_result_never_changes(registry: Registry) -> None:
    version = await registered(registry, "run")
    result = GateResult("fairness", Verdict.FAIL, value=0.2, threshold=0.1)
    first = await handlers.record_gate(registry, version, result, "ann")
    assert await handlers.record_gate(registry, version, result, "ann") == first or first
    with pytest.raises(AlreadyExists, match="has said fail already"):
        await handlers.record_gate(registry, version, replace(result, verdict=Verdict.PASS), "ann")


# --- projects ---------------------------------------------------------------------------------


async def test_a_plan_changes_nothing_and_a_repeat_is_harmless(registry: Registry) -> None:
    planned = await apply(registry, flights(), author="ann", expected="", plan_only=True)
    assert (planned.applied, len(planned.changes)) == (False, 12)
    first = await apply(registry, flights(), author="ann", expected="", plan_only=False)
    again = await apply(registry, flights(), author="bob", expected="", plan_only=False)
    assert (first.applied, first.number) == (True, 1)
    assert (again.applied, again.number, again.changes) == (False, 1, [])
    stored = await registry.store.run(lambda tx: tx.project())
    assert stored.generation == first.generation


async def test_eight_different_projects_at_once_are_applied_one_after_another(
    registry: Registry,
) -> None:
    candidates = [flights(canary=0.1 + i / 100) for i in range(CLIENTS)]
    outcomes = await asyncio.gather(
        *(apply(registry, one, author="a", expected="", plan_only=False) for one in candidates),
        return_exceptions=True,
    )
    numbers = [o.number for o in outcomes if not isinstance(o, BaseException)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert all(isinstance(o, Conflict) for o in outcomes if isinstance(o, BaseException))


async def test_a_project_is_applied_only_on_the_generation_that_its_author_saw(
    registry: Registry,
) -> None:
    generation = await applied(registry, flights())
    changed = flights(canary=0.5)
    with pytest.raises(Conflict, match="the current generation is"):
        await apply(registry, changed, author="bob", expected="0" * 64, plan_only=False)
    done = await apply(registry, changed, author="bob", expected=generation, plan_only=False)
    assert done.number == 2
    back = await apply(registry, flights(), author="ann", expected="", plan_only=False)
    assert (back.number, back.generation) == (3, generation)


async def test_a_broken_or_incompatible_project_is_refused_with_every_field(
    registry: Registry,
) -> None:
    broken = flights()
    broken.views[0].stream = "gone"
    broken.models[0].retrain.fire = "nonsense >"
    with pytest.raises(Invalid) as caught:
        await applied(registry, broken)
    fields = {violation.field for violation in caught.value.violations}
    assert {"views.origin_departures.stream", "models.late_arrival.retrain.fire"} <= fields
    await applied(registry, flights())
    changed = flights()
    changed.streams[0].partitions = 9
    with pytest.raises(Invalid) as refused:
        await applied(registry, changed)
    assert "declare a new stream" in refused.value.violations[0].description


async def test_a_field_that_was_taken_away_comes_back_only_as_what_it_was(
    registry: Registry,
) -> None:
    def with_cloud(kind: project_pb2.FieldType | None) -> project_pb2.Project:
        project = flights()
        (weather,) = (each for each in project.streams if each.name == "weather_observed")
        if kind is not None:
            weather.fields.add(name="cloud", type=kind)
        return project

    await applied(registry, with_cloud(project_pb2.FIELD_TYPE_FLOAT64))
    await applied(registry, with_cloud(None))
    with pytest.raises(Invalid) as refused:
        await applied(registry, with_cloud(project_pb2.FIELD_TYPE_STRING))
    (violation,) = refused.value.violations
    assert violation.field == "streams.weather_observed.fields.cloud"
    await applied(registry, with_cloud(project_pb2.FIELD_TYPE_FLOAT64))
