"""One attempt of a run, from its lease to its end: heartbeats beside the work, fenced writes.

1. Fix the training set: the first attempt builds it and records it as checkpoint 0, later ones read
   it from there, so all attempts train on the same bytes. 2. Train in a process of its own. 3. Ask
   whether the lease still holds, register the version, finish the run. Each step may be repeated:
   blobs are content-addressed, (run, version) is unique in the registry, finishing twice is one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format

from tidemill.errors import Fenced, NotFound, Rejected, Transient
from tidemill.features.v1 import feature_service_pb2 as features_pb2
from tidemill.registry.v1 import registry_service_pb2 as registry_pb2
from tidemill.training.v1 import training_service_pb2 as pb
from tidemill_common import metrics, model_package, rpc, telemetry
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import from_us
from tidemill_common.verdict import Backoff
from tidemill_training import checkpoint, failures
from tidemill_training.checkpoint import Checkpoint
from tidemill_training.children import Children, Failed
from tidemill_training.failures import RETRYABLE, Failure, classify
from tidemill_training.job import Champion, Job, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

    from tidemill.definitions.v1 import project_pb2
    from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceAsyncStub
    from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceAsyncStub
    from tidemill.training.v1.training_service_pb2_grpc import TrainingServiceAsyncStub

logger = logging.getLogger(__name__)

_BEATS_PER_LEASE: Final = 3
_GIVE_UP: Final = 0.8
"""Share of a lease without a renewal after which a worker stops by itself."""
_END_SECONDS: Final = 20.0
_FIRST_PROGRESS: Final = 0.02


class Cancelled(Exception):
    """Somebody has cancelled the run."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The services a worker calls, and where blobs are."""

    training: TrainingServiceAsyncStub
    features: FeatureServiceAsyncStub
    registry: RegistryServiceAsyncStub
    artifacts: Artifacts
    artifacts_url: str
    children: Children
    checkpoint_s: float


@dataclass(slots=True)
class Attempt:
    """The state of one attempt that its heartbeats tell."""

    run: pb.Run
    ports: Ports
    stage: str = "start"
    progress: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    async def execute(self, lease: float) -> None:
        """Do the run and end it; an outdated fence abandons it without a word."""
        parent = telemetry.from_headers([(telemetry.TRACEPARENT, self.run.traceparent.encode())])
        facts = {"tidemill.run.id": self.run.run_id, "tidemill.model.name": self.run.spec.model}
        with telemetry.span(f"train {self.run.spec.model}", parent=parent, attributes=facts):
            try:
                version, result = await self._beside_heartbeats(lease)
            except Fenced as error:
                logger.warning("run.abandoned", extra=self._facts(error=str(error)))
            except Cancelled:
                await self._end(pb.RUN_STATE_CANCELLED, "")
            except Failed as error:
                await self._end(
                    pb.RUN_STATE_FAILED, str(error), retryable=error.failure in RETRYABLE
                )
            except (Transient, Rejected, OSError) as error:
                failure = classify(error)
                text = failures.text(failure, str(error))
                await self._end(pb.RUN_STATE_FAILED, text, retryable=failure in RETRYABLE)
            except asyncio.CancelledError:
                text = failures.text(Failure.PREEMPTED, "the worker was stopped")
                await asyncio.shield(self._end(pb.RUN_STATE_FAILED, text, retryable=True))
                raise
            else:
                await self._end(pb.RUN_STATE_SUCCEEDED, "", version=version, result=result)

    async def _beside_heartbeats(self, lease: float) -> tuple[int, Result]:
        """Work while the lease is renewed; whichever fails first ends the other."""
        work = asyncio.create_task(self._work(), name="work")
        beats = asyncio.create_task(self._heartbeats(lease), name="heartbeats")
        try:
            await asyncio.wait({work, beats}, return_when=asyncio.FIRST_COMPLETED)
            if beats.done():
                beats.result()
            return await work
        finally:
            for task in (work, beats):
                task.cancel()
            await asyncio.gather(work, beats, return_exceptions=True)

    async def _heartbeats(self, lease: float) -> None:
        """Renew until cancelled; Fenced when the lease is lost or could not be renewed in time."""
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(lease / _BEATS_PER_LEASE * random.uniform(0.8, 1.0))  # noqa: S311
            try:
                lease = await self._beat(lease)
                renewed = time.monotonic()
            except Transient as error:
                if time.monotonic() - renewed > lease * _GIVE_UP:
                    raise Fenced(f"the lease could not be renewed: {error}") from error

    async def _beat(self, lease: float) -> float:
        request = pb.HeartbeatRequest(
            run_id=self.run.run_id,
            fence=self.run.fence,
            stage=self.stage,
            progress=self.progress,
            metrics=self.metrics,
        )
        reply = await rpc.call(self.ports.training.Heartbeat, request, timeout=lease / 2)
        if reply.cancelled:
            raise Cancelled
        return reply.lease.ToNanoseconds() / 1e9

    async def _work(self) -> tuple[int, Result]:
        request = registry_pb2.GetProjectRequest(generation=self.run.spec.generation)
        project = await rpc.call(self.ports.registry.GetProject, request)
        model = next((m for m in project.project.models if m.name == self.run.spec.model), None)
        if model is None:
            raise NotFound(f"generation {project.generation} has no model {self.run.spec.model!r}")
        training_set = await self._training_set(project.generation)
        champion, previous = await self._champion(model.name)
        job = Job(
            run_id=self.run.run_id,
            definition=model.SerializeToString(deterministic=True),
            training_set=training_set,
            seed=self.run.spec.seed or model.trainer.seed,
            overrides=dict(self.run.spec.overrides),
            bad_labels=tuple(
                (_us(span, "from"), _us(span, "to")) for span in self.run.spec.label_exclusions
            ),
            champion=champion,
            checkpoint=self.run.checkpoint_digest,
            checkpoint_seconds=self.ports.checkpoint_s,
            artifacts=self.ports.artifacts_url,
        )
        result = await self.ports.children.run(
            job, max(model.trainer.resources.processes, 1), self._heard
        )
        self._at("register", 0.99, result.metrics)
        await self._beat(_END_SECONDS)
        return await self._register(model, job, result, previous), result

    async def _training_set(self, generation: str) -> dict[str, Any]:
        """Return the run's set: as the first attempt fixed it, or built and fixed now."""
        if self.run.checkpoint_digest:
            saved = await asyncio.to_thread(
                checkpoint.training_set, self.run.checkpoint_digest, self.ports.artifacts
            )
            return dict(saved)
        self._at("training set", _FIRST_PROGRESS)
        began = time.monotonic()
        spec = self.run.spec
        request = features_pb2.BuildTrainingSetRequest(
            model=spec.model,
            generation=generation,
            exclusions=spec.exclusions,
            max_rows=spec.max_rows,
        )
        if spec.HasField("cut"):
            request.cut.CopyFrom(spec.cut)
        for name in ("from", "to"):
            if spec.HasField(name):
                getattr(request, name).CopyFrom(getattr(spec, name))
        built = await self._built(request)
        metrics.histogram("tidemill_training_set_duration_seconds", model=spec.model).observe(
            time.monotonic() - began
        )
        document: dict[str, Any] = json_format.MessageToDict(
            built, preserving_proto_field_name=True
        )
        fixed = Checkpoint(document)
        digest = await asyncio.to_thread(checkpoint.write, fixed, self.ports.artifacts)
        await self._record(digest, 0)
        return document

    async def _built(
        self, request: features_pb2.BuildTrainingSetRequest
    ) -> features_pb2.TrainingSet:
        result = None
        async for reply in rpc.stream(self.ports.features.BuildTrainingSet, request):
            if reply.WhichOneof("step") == "result":
                result = reply.result
            else:
                self.metrics["set_rows"] = float(reply.progress.rows)
        if result is None:
            raise Failed(Failure.INFRASTRUCTURE, "the training set ended without a result")
        return result

    async def _champion(self, model: str) -> tuple[Champion | None, int]:
        """Return the champion's blobs and its number; none when there is none."""
        request = registry_pb2.GetVersionRequest(model=model, alias="champion")
        try:
            reply = await rpc.call(self.ports.registry.GetVersion, request)
        except NotFound:
            return None, 0
        files = {artifact.name: artifact.sha256 for artifact in reply.version.artifacts}
        names = (model_package.MODEL, model_package.PREPROCESSING)
        if not all(name in files for name in names):
            return None, reply.version.number
        return Champion(
            reply.version.number, *(files[name] for name in names)
        ), reply.version.number

    async def _register(
        self, model: project_pb2.Model, job: Job, result: Result, previous: int
    ) -> int:
        made = json_format.ParseDict(
            dict(job.training_set), features_pb2.TrainingSet(), ignore_unknown_fields=True
        )
        lineage = registry_pb2.Lineage(
            run_id=self.run.run_id,
            training_set_digest=made.digest,
            training_set_hash=made.row_hash,
            cut=made.cut,
            generation=made.generation or self.run.spec.generation,
            view_versions=await self._view_versions(model),
            code_digest=result.code_digest,
            environment_digest=result.environment_digest,
            seed=job.seed,
            causes=self.run.causes,
            parent_version=previous,
            delta_versions=made.delta_versions,
        )
        request = registry_pb2.RegisterVersionRequest(
            model=model.name,
            manifest_digest=result.manifest,
            artifacts=[
                registry_pb2.Artifact(name=name, sha256=sha, size=size)
                for name, (sha, size) in sorted(result.files.items())
            ],
            lineage=lineage,
            metrics=result.metrics,
            fence=self.run.fence,
            traceparent=telemetry.traceparent(),
        )
        request.data_time.FromDatetime(from_us(result.data_time_us))
        reply = await _persistently(
            lambda: rpc.call(self.ports.registry.RegisterVersion, request, timeout=_END_SECONDS)
        )
        number: int = reply.version.number
        logger.info("version.registered", extra=self._facts(version=number, fresh=reply.created))
        return number

    async def _view_versions(self, model: project_pb2.Model) -> dict[str, str]:
        used = {i.feature.view for i in model.inputs if i.WhichOneof("source") == "feature"}
        reply = await rpc.call(
            self.ports.features.DescribeViews, features_pb2.DescribeViewsRequest()
        )
        return {state.view: state.version for state in reply.views if state.view in used}

    async def _heard(self, message: Mapping[str, Any]) -> None:
        """Take what the training process says."""
        if message["kind"] == "checkpoint":
            await self._record(str(message["digest"]), int(message["step"]))
        elif message["kind"] == "progress":
            self._at(str(message["stage"]), float(message["progress"]), message["metrics"])

    async def _record(self, digest: str, step: int) -> None:
        request = pb.RecordCheckpointRequest(
            run_id=self.run.run_id, fence=self.run.fence, digest=digest, step=step
        )
        try:
            await rpc.call(self.ports.training.RecordCheckpoint, request)
        except Transient as error:
            logger.warning("checkpoint.not_recorded", extra=self._facts(error=str(error)))
            if step == 0:
                raise

    def _at(self, stage: str, progress: float, more: Mapping[str, float] | None = None) -> None:
        if stage != self.stage:
            now = time.monotonic()
            metrics.histogram(
                "tidemill_run_duration_seconds", model=self.run.spec.model, stage=self.stage
            ).observe(now - self.began)
            self.began = now
            logger.info("run.stage", extra=self._facts(stage=stage))
        self.stage, self.progress = stage, max(self.progress, progress)
        self.metrics.update(more or {})

    async def _end(
        self,
        state: pb.RunState,
        error: str,
        *,
        retryable: bool = False,
        version: int = 0,
        result: Result | None = None,
    ) -> None:
        """Finish the run; one that cannot be finished is left to its lease."""
        request = pb.FinishRunRequest(
            run_id=self.run.run_id,
            fence=self.run.fence,
            state=state,
            error=error,
            retryable=retryable,
            version=version,
            metrics=result.metrics if result else self.metrics,
        )
        try:
            await _persistently(lambda: rpc.call(self.ports.training.FinishRun, request))
        except (Transient, Rejected) as refusal:
            logger.warning("run.not_finished", extra=self._facts(error=str(refusal)))
            return
        logger.info("run.finished", extra=self._facts(state=pb.RunState.Name(state), error=error))

    def _facts(self, **more: object) -> dict[str, object]:
        run = self.run
        return {
            "run": run.run_id,
            "model": run.spec.model,
            "attempt": run.attempt,
            "fence": run.fence,
            **more,
        }


async def _persistently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat an idempotent call while its service is away, for a while."""
    backoff, until = Backoff(first=0.2, cap=2.0), time.monotonic() + _END_SECONDS
    attempt = 0
    while True:
        attempt += 1
        try:
            return await call()
        except Transient:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(backoff.delay(attempt))


def _us(span: features_pb2.Exclusion, name: str) -> int:
    moment: Timestamp = getattr(span, name)
    return moment.ToMicroseconds()
