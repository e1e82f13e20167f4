"""Takes candidates through their gates and lets those in that pass.

Each result is stored before the next gate runs, and every step may be repeated: after a restart
the gatekeeper goes on where results are missing.
"""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.errors import (
    AlreadyExists,
    Corrupt,
    FailedPrecondition,
    Forbidden,
    Misconfigured,
    NotFound,
    Rejected,
    TooLarge,
    Transient,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from tidemill.project import model_inputs
from tidemill.registry.v1 import registry_service_pb2
from tidemill.serving.v1 import serving_service_pb2
from tidemill.serving.v1.serving_service_pb2_grpc import ServingServiceStub
from tidemill_common import rpc, telemetry
from tidemill_common.app import until
from tidemill_common.artifacts import Artifacts
from tidemill_common.model_package import PREPROCESSING
from tidemill_common.preprocessing import from_json
from tidemill_registry import gates, handlers, manifest
from tidemill_registry.gates import Champion, Inputs, Measured, Rows
from tidemill_registry.handlers import GATEKEEPER, Registry
from tidemill_registry.projects import StoredProject
from tidemill_registry.scores import Column
from tidemill_registry.versions import GateResult, Stage, Verdict, Version

logger = logging.getLogger(__name__)

EVALUATION_ROWS = "evaluation.parquet"
EVALUATION = "evaluation.json"
MAX_ROWS_BYTES = 256 << 20
MAX_FILE_BYTES = 1 << 30
BATCH = 20
# Answers of serving that say nothing about the version.
WAITS = (Transient, FailedPrecondition, Unsupported, Forbidden, Unauthenticated, Misconfigured)
PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What the gates of one version look at."""

    version: Version
    model: pb.Model
    inputs: Inputs
    champion: int


@dataclass(slots=True)
class Gatekeeper:
    """The loop over candidates."""

    registry: Registry
    serving: str
    requests: int
    timeout_s: float
    every_s: float

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; a part that is away only delays."""
        while not stop.is_set():
            self.registry.candidate.clear()
            try:
                waiting = await self.once()
            except Transient as error:
                logger.warning("gatekeeper.waiting", extra={"error": str(error)})
                waiting = True
            if waiting:
                await until(stop, PAUSE_S)
            else:
                await self._pause(stop, self.every_s)

    async def _pause(self, stop: asyncio.Event, seconds: float) -> None:
        woken = asyncio.create_task(self.registry.candidate.wait())
        stopped = asyncio.create_task(until(stop, seconds))
        _, pending = await asyncio.wait({woken, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def once(self) -> bool:
        """Judge every candidate there is; say whether one has to wait for another part."""
        store = self.registry.store
        waiting = False
        for model, number in await store.run(lambda tx: tx.candidates(BATCH)):
            version = await handlers.get_version(self.registry, model, number, "")
            parent = telemetry.from_headers([("traceparent", version.traceparent.encode())])
            with telemetry.span(f"gates {model}", parent=parent):
                try:
                    await self.judge(version)
                except Unavailable as error:
                    facts = {"version": version.subject, "error": str(error)}
                    logger.warning("gatekeeper.part_away", extra=facts)
                    waiting = True
        return waiting

    async def judge(self, version: Version) -> None:
        """Run the gates that have no result yet, then decide; Unavailable if a part is away."""
        project = await self._project(version)
        try:
            trial = await self._trial(version, project)
        except Rejected as error:
            reason = f"its definition cannot be read: {error.message}"
            await handlers.reject(self.registry, version, reason)
            return
        results: list[GateResult] = []
        known = {result.gate: result for result in version.gate_results}
        for gate in sorted(trial.model.gates, key=lambda each: each.HasField("server")):
            result = known.get(gate.name)
            if result is None and gate.HasField("server") and not _all_passed(results):
                continue  # the real server is not bothered with what is refused anyway
            if result is None:
                result = await self._recorded(version, await self._run(gate, trial))
            results.append(result)
        decision = gates.decide(results)
        facts = {"version": version.subject, "stage": decision.stage, "reason": decision.reason}
        if decision.stage is Stage.VALIDATED:
            canary = trial.model.rollout.canary
            await handlers.validate(self.registry, version, decision.reason, canary)
        else:
            await handlers.reject(self.registry, version, decision.reason)
        logger.info("version.decided", extra=facts)

    async def _recorded(self, version: Version, found: GateResult) -> GateResult:
        """Store a result; if another gatekeeper was faster, its result is the one that counts."""
        try:
            return await handlers.record_gate(self.registry, version, found, GATEKEEPER)
        except AlreadyExists:
            stored = await handlers.get_version(self.registry, version.model, version.number, "")
            return next(result for result in stored.gate_results if result.gate == found.gate)

    async def _trial(self, version: Version, project: StoredProject) -> Trial:
        model = next((m for m in project.project.models if m.name == version.model), None)
        if model is None:
            raise NotFound(f"generation {project.generation} has no model {version.model!r}")
        resolved = model_inputs(project.project, model)
        inputs = Inputs(
            tuple(one.name for one in resolved.numeric),
            tuple(one.name for one in resolved.categorical),
            pb.Task.Name(model.label.task).removeprefix("TASK_").lower(),
        )
        row = await self.registry.store.run(lambda tx: tx.rollout(version.model))
        return Trial(version, model, inputs, row.champion)

    async def _project(self, version: Version) -> StoredProject:
        """Return the generation that the version was trained for, else the current one."""
        store = self.registry.store
        lineage = registry_service_pb2.Lineage.FromString(version.lineage)
        if lineage.generation:
            try:
                return await store.run(lambda tx: tx.project(lineage.generation))
            except NotFound:
                logger.warning("gatekeeper.unknown_generation", extra={"of": version.subject})
        try:
            return await store.run(lambda tx: tx.project())
        except NotFound as error:
            raise Unavailable(f"its gates are not known yet: {error.message}") from error

    async def _run(self, gate: pb.Gate, trial: Trial) -> GateResult:
        kind = gate.WhichOneof("test")
        if kind == "server":
            return await self._tried(gate, trial.version)
        return await asyncio.to_thread(_offline, self.registry.artifacts, gate, trial)

    async def _tried(self, gate: pb.Gate, version: Version) -> GateResult:
        """Let serving try the version; what it refuses for good has failed, all else waits."""
        try:
            measured = await self._measure(version)
        except WAITS as error:
            raise Unavailable(f"serving could not try it: {error}") from error
        except Rejected as error:
            return gates.failed(gate.name, f"the model server refused it: {error.message}")
        return gates.server(gate.name, gate.server, measured)

    async def _measure(self, version: Version) -> Measured:
        if not self.serving:
            raise Unavailable("no address of serving is set (TIDEMILL_SERVING)")
        request = serving_service_pb2.EvaluateRequest(
            model=version.model,
            number=version.number,
            digest=version.digest,
            requests=self.requests,
        )
        async with rpc.connected(self.serving) as channel:
            stub = ServingServiceStub(channel)
            reply = await rpc.call(stub.Evaluate, request, timeout=self.timeout_s)
        return Measured(
            reply.max_difference,
            reply.latency_p50_ms,
            reply.latency_p99_ms,
            reply.golden_rows,
            reply.requests,
        )


def _all_passed(results: list[GateResult]) -> bool:
    return all(result.verdict is Verdict.PASS for result in results)


def _offline(artifacts: Artifacts, gate: pb.Gate, trial: Trial) -> GateResult:
    """Run a gate that needs the package only."""
    try:
        if gate.HasField("schema"):
            return _schema(artifacts, gate.name, trial)
        rows = load_rows(artifacts, trial.version)
    except Rejected as error:
        return gates.failed(gate.name, error.message)
    if gate.HasField("metric_floor"):
        return gates.metric_floor(gate.name, gate.metric_floor, rows)
    digest = trial.version.digest
    scored_by = _scored_by(artifacts, trial.version) or trial.champion
    champion = Champion(trial.champion, scored_by)
    return gates.non_inferiority(gate.name, gate.non_inferiority, rows, digest, champion)


def _scored_by(artifacts: Artifacts, version: Version) -> int:
    """Return the champion that scored the test rows when the version was trained; 0: not said."""
    found = next((one for one in version.artifacts if one.name == EVALUATION), None)
    if found is None:
        return 0
    try:
        said = orjson.loads(artifacts.get(found.sha256)).get("champion") or {}
        return int(said.get("version", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise Corrupt(f"{EVALUATION} cannot be read: {error}") from error


def _schema(artifacts: Artifacts, name: str, trial: Trial) -> GateResult:
    problems = []
    for artifact in trial.version.artifacts:
        try:
            content = artifacts.get(artifact.sha256, at_most=MAX_FILE_BYTES)
        except (Corrupt, NotFound, TooLarge) as error:
            problems.append(f"{artifact.name}: {error.message}")
            continue
        if disguised := manifest.disguise(artifact.name, content):
            problems.append(disguised)
    packaged = from_json(artifacts.get(_digest_of(trial.version, PREPROCESSING)))
    inputs = Inputs(packaged.numeric, tuple(one.name for one in packaged.categories), packaged.task)
    return gates.schema(name, trial.inputs, inputs, problems)


def _digest_of(version: Version, name: str) -> str:
    found = next((one.sha256 for one in version.artifacts if one.name == name), None)
    if found is None:
        raise NotFound(f"the package has no {name}")
    return found


def load_rows(artifacts: Artifacts, version: Version) -> Rows:
    """Load the version's frozen test rows; Corrupt says what is wrong with them."""
    data = artifacts.get(_digest_of(version, EVALUATION_ROWS), at_most=MAX_ROWS_BYTES)
    try:
        table = pq.read_table(io.BytesIO(data), columns=None)
    except (pa.ArrowException, OSError) as error:
        raise Corrupt(f"{EVALUATION_ROWS} cannot be read: {error}") from error
    missing = {"label", "candidate"} - set(table.column_names)
    if missing:
        raise Corrupt(f"{EVALUATION_ROWS} has no column {', '.join(sorted(missing))}")
    label, candidate = _column(table, "label"), _column(table, "candidate")
    if not (np.isfinite(label).all() and np.isfinite(candidate).all()):
        raise Corrupt(f"{EVALUATION_ROWS} holds labels or scores that are no numbers")
    champion = _column(table, "champion") if "champion" in table.column_names else None
    if champion is not None and not np.isfinite(champion).any():
        champion = None
    return Rows(label, candidate, champion)


def _column(table: pa.Table, name: str) -> Column:
    """Return a column of numbers; null is NaN."""
    try:
        column = table.column(name).cast(pa.float64())
    except pa.ArrowException as error:
        raise Corrupt(f"{EVALUATION_ROWS}: {name} is no column of numbers") from error
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)
