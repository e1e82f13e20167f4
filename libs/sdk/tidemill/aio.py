"""The asyncio client: `async with tidemill.aio.connect() as client`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc

from tidemill import addresses
from tidemill.addresses import Addresses
from tidemill.changing import Changing
from tidemill.definitions.v1 import project_pb2
from tidemill.erasures import ErasureCalls
from tidemill.errors import Unavailable
from tidemill.events import Event, to_proto, to_timestamp
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceStub
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.ingestion.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from tidemill.inspecting import Inspecting
from tidemill.keys import to_key
from tidemill.monitoring.v1 import monitoring_service_pb2 as monitoring_pb
from tidemill.monitoring.v1.monitoring_service_pb2_grpc import MonitoringServiceStub
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill.serving.v1 import serving_service_pb2 as serving_pb
from tidemill.serving.v1.serving_service_pb2_grpc import ServingServiceStub
from tidemill.training.v1 import training_service_pb2 as training_pb
from tidemill.training.v1.training_service_pb2_grpc import TrainingServiceStub
from tidemill.transport import LONG_TIMEOUT, TIMEOUT, call, channel, stream

if TYPE_CHECKING:
    import pyarrow as pa

Value = str | int | float | bool | datetime | None


class AsyncClient(Inspecting, Changing, ErasureCalls):
    """Every service of one stack. Methods raise `tidemill.errors` and nothing else of ours."""

    def __init__(self, where: Addresses, *, author: str = "sdk") -> None:
        self._where = where
        self._author = author
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def close(self) -> None:
        """Close every channel."""
        for opened in self._channels.values():
            await opened.close()
        self._channels.clear()

    def _channel(self, service: str) -> grpc.aio.Channel:
        if service not in self._channels:
            self._channels[service] = channel(self._where.of(service))
        return self._channels[service]

    # --- events -----------------------------------------------------------------------------

    async def publish(
        self, events: Iterable[Event], *, timeout: float = TIMEOUT
    ) -> ingestion_pb.PublishResponse:
        """Publish events; one result per event in order, and a token to read them back with."""
        request = ingestion_pb.PublishRequest(events=[to_proto(event) for event in events])
        stub = IngestionServiceStub(self._channel("ingestion"))
        return await call(stub.Publish, request, timeout, "ingestion")

    async def publish_arrow(
        self, stream_name: str, batch: pa.RecordBatch, *, source: str, timeout: float = TIMEOUT
    ) -> ingestion_pb.PublishArrowResponse:
        """Publish columns of one stream: at most 10,000 rows and 4 MiB.

        They are named as the stream's fields. A stream without an id field wants `_id`, one without
        a time field may have `_time`; `_source` and, for streams marked replay, `_available` too.
        """
        import pyarrow as pa  # here: a third of the time that the import of this package takes

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        data = sink.getvalue().to_pybytes()
        request = ingestion_pb.PublishArrowRequest(stream=stream_name, source=source, data=data)
        stub = IngestionServiceStub(self._channel("ingestion"))
        return await call(stub.PublishArrow, request, timeout, "ingestion")

    async def dead_letters(
        self, stream_name: str, *, offset: int | None = None, limit: int = 100
    ) -> ingestion_pb.ListDeadLettersResponse:
        """List dead letters of a stream: from `offset` on, else the newest."""
        request = ingestion_pb.ListDeadLettersRequest(
            stream=stream_name, limit=limit, offset=offset
        )
        stub = IngestionServiceStub(self._channel("ingestion"))
        return await call(stub.ListDeadLetters, request, 30.0, "ingestion")

    async def replay_dead_letters(
        self, stream_name: str, offsets: Sequence[int] = (), *, dry_run: bool = False
    ) -> ingestion_pb.ReplayDeadLettersResponse:
        """Put dead letters back, each exactly once; without offsets, all of them."""
        positions = [ingestion_pb.DeadLetterPosition(offset=offset) for offset in offsets]
        request = ingestion_pb.ReplayDeadLettersRequest(
            stream=stream_name, positions=positions, dry_run=dry_run
        )
        stub = IngestionServiceStub(self._channel("ingestion"))
        return await call(stub.ReplayDeadLetters, request, LONG_TIMEOUT, "ingestion")

    # --- features ---------------------------------------------------------------------------

    async def get_features(
        self,
        view: str,
        entities: Iterable[Mapping[str, str]],
        *,
        features: Sequence[str] = (),
        at: datetime | None = None,
        token: ingestion_pb.PositionToken | None = None,
        strict: bool = False,
        version: str = "",
        timeout: float = TIMEOUT,
    ) -> features_pb.GetFeaturesResponse:
        """Read features of entities; with a token, not before its events count.

        With a version, as that version of the view has them, while it is served or built beside.
        """
        request = features_pb.GetFeaturesRequest(
            view=view,
            entities=[to_key(entity) for entity in entities],
            features=features,
            at=to_timestamp(at) if at else None,
            token=token,
            strict=strict,
            version=version,
        )
        stub = FeatureServiceStub(self._channel("features"))
        return await call(stub.GetFeatures, request, timeout, "features")

    async def describe_views(self, *, lag_times: bool = False) -> features_pb.DescribeViewsResponse:
        """Position, size and snapshots of every view's log partitions; with `lag_times` their lag.

        The lag is in seconds: the age of the oldest record that is not decided.
        """
        stub = FeatureServiceStub(self._channel("features"))
        request = features_pb.DescribeViewsRequest(lag_times=lag_times)
        return await call(stub.DescribeViews, request, TIMEOUT, "features")

    async def build_training_set(
        self, request: features_pb.BuildTrainingSetRequest
    ) -> features_pb.TrainingSet:
        """Build a point-in-time training set; returns when it is stored."""
        stub = FeatureServiceStub(self._channel("features"))
        result = features_pb.TrainingSet()
        async for reply in stream(stub.BuildTrainingSet, request, LONG_TIMEOUT, "features"):
            if reply.WhichOneof("step") == "result":
                result = reply.result
        return result

    async def verify_vectors(
        self, model: str, *, max_vectors: int = 0
    ) -> features_pb.VerifyVectorsResponse:
        """Recompute logged vectors offline and compare bit for bit."""
        request = features_pb.VerifyVectorsRequest(model=model, max_vectors=max_vectors)
        stub = FeatureServiceStub(self._channel("features"))
        return await call(stub.VerifyVectors, request, LONG_TIMEOUT, "features")

    # --- predictions ------------------------------------------------------------------------

    async def predict(
        self,
        model: str,
        rows: Iterable[Mapping[str, Value]],
        *,
        at: datetime | None = None,
        token: ingestion_pb.PositionToken | None = None,
        timeout: float = TIMEOUT,
    ) -> list[serving_pb.Prediction]:
        """Predict for rows of request fields, in order; at most 1,000."""
        request = serving_pb.PredictRequest(
            model=model,
            rows=[serving_pb.PredictRow(fields=_texts(row)) for row in rows],
            at=to_timestamp(at) if at else None,
            token=token,
        )
        stub = ServingServiceStub(self._channel("serving"))
        reply = await call(stub.Predict, request, timeout, "serving")
        return list(reply.predictions)

    async def routing(self, model: str = "") -> serving_pb.DescribeRoutingResponse:
        """Show what is loaded and routed."""
        stub = ServingServiceStub(self._channel("serving"))
        request = serving_pb.DescribeRoutingRequest(model=model)
        return await call(stub.DescribeRouting, request, TIMEOUT, "serving")

    # --- definitions and versions -----------------------------------------------------------

    async def apply(
        self, project: project_pb2.Project, *, plan_only: bool = False
    ) -> registry_pb.ApplyResponse:
        """Store a project (or only say what would change)."""
        request = registry_pb.ApplyRequest(
            project=project, plan_only=plan_only, author=self._author
        )
        stub = RegistryServiceStub(self._channel("registry"))
        return await call(stub.Apply, request, 30.0, "registry")

    async def project(self) -> registry_pb.GetProjectResponse:
        """Return the current project, and what is held beside it."""
        stub = RegistryServiceStub(self._channel("registry"))
        return await call(stub.GetProject, registry_pb.GetProjectRequest(), TIMEOUT, "registry")

    async def versions(self, model: str, *, limit: int = 50) -> list[registry_pb.Version]:
        """List versions of a model, newest first, with their gate results."""
        request = registry_pb.ListVersionsRequest(model=model, limit=limit)
        stub = RegistryServiceStub(self._channel("registry"))
        reply = await call(stub.ListVersions, request, TIMEOUT, "registry")
        return list(reply.versions)

    async def version(self, model: str, number: int = 0, *, alias: str = "") -> registry_pb.Version:
        """Return one version by number or alias."""
        request = registry_pb.GetVersionRequest(model=model, number=number, alias=alias)
        stub = RegistryServiceStub(self._channel("registry"))
        reply = await call(stub.GetVersion, request, TIMEOUT, "registry")
        return reply.version

    async def rollouts(self, model: str = "") -> list[registry_pb.RolloutRow]:
        """Return what may take traffic."""
        request = registry_pb.GetRolloutRequest(model=model)
        stub = RegistryServiceStub(self._channel("registry"))
        reply = await call(stub.GetRollout, request, TIMEOUT, "registry")
        return list(reply.rollouts)

    async def promote(self, model: str, number: int, *, reason: str) -> registry_pb.RolloutRow:
        """Make a validated version champion at once."""
        request = registry_pb.PromoteRequest(
            model=model, number=number, author=self._author, reason=reason
        )
        stub = RegistryServiceStub(self._channel("registry"))
        return (await call(stub.Promote, request, TIMEOUT, "registry")).rollout

    async def roll_back(self, model: str, *, reason: str) -> registry_pb.RolloutRow:
        """Return to the previous champion, or drop a challenger."""
        request = registry_pb.RollBackRequest(model=model, author=self._author, reason=reason)
        stub = RegistryServiceStub(self._channel("registry"))
        return (await call(stub.RollBack, request, TIMEOUT, "registry")).rollout

    async def lineage(self, model: str, number: int) -> registry_pb.GetLineageResponse:
        """Where a version comes from."""
        request = registry_pb.GetLineageRequest(model=model, number=number)
        stub = RegistryServiceStub(self._channel("registry"))
        return await call(stub.GetLineage, request, TIMEOUT, "registry")

    async def audit(self, *, limit: int = 100, after: int = 0) -> list[registry_pb.AuditEntry]:
        """Audit entries in order."""
        request = registry_pb.ListAuditRequest(after_sequence=after, limit=limit)
        stub = RegistryServiceStub(self._channel("registry"))
        return list((await call(stub.ListAudit, request, TIMEOUT, "registry")).entries)

    async def verify_audit(self) -> registry_pb.VerifyAuditResponse:
        """Walk the audit's hash chain."""
        stub = RegistryServiceStub(self._channel("registry"))
        return await call(stub.VerifyAudit, registry_pb.VerifyAuditRequest(), 60.0, "registry")

    # --- runs -------------------------------------------------------------------------------

    async def submit_run(
        self,
        model: str,
        *,
        reason: str,
        overrides: Mapping[str, float] | None = None,
        max_rows: int = 0,
        request_id: str = "",
    ) -> training_pb.Run:
        """Ask for a run; the same request_id gives the same run."""
        request = training_pb.SubmitRunRequest(
            model=model,
            reason=reason,
            overrides=dict(overrides or {}),
            max_rows=max_rows,
            request_id=request_id or str(uuid4()),
        )
        stub = TrainingServiceStub(self._channel("training"))
        return (await call(stub.SubmitRun, request, TIMEOUT, "training")).run

    async def runs(self, model: str = "", *, limit: int = 20) -> list[training_pb.Run]:
        """List runs, newest first."""
        request = training_pb.ListRunsRequest(model=model, limit=limit)
        stub = TrainingServiceStub(self._channel("training"))
        return list((await call(stub.ListRuns, request, TIMEOUT, "training")).runs)

    async def run(self, run_id: str) -> training_pb.Run:
        """Return one run."""
        stub = TrainingServiceStub(self._channel("training"))
        request = training_pb.GetRunRequest(run_id=run_id)
        return (await call(stub.GetRun, request, TIMEOUT, "training")).run

    async def watch_run(self, run_id: str) -> AsyncIterator[training_pb.Run]:
        """Follow a run until it ends, also over a connection that is renewed."""
        stub = TrainingServiceStub(self._channel("training"))
        request = training_pb.WatchRunRequest(run_id=run_id)
        heard = True
        while heard:
            heard = False
            try:
                async for reply in stream(stub.WatchRun, request, None, "training"):
                    heard = True
                    yield reply.run
            except Unavailable:
                if not heard:
                    raise
            else:
                return

    async def cancel_run(self, run_id: str) -> training_pb.Run:
        """End a run."""
        stub = TrainingServiceStub(self._channel("training"))
        request = training_pb.CancelRunRequest(run_id=run_id)
        return (await call(stub.CancelRun, request, TIMEOUT, "training")).run

    async def decisions(
        self, model: str = "", *, limit: int = 50, verdict: str = ""
    ) -> list[training_pb.Decision]:
        """Decisions of the retrain policies with their evidence, newest first."""
        request = training_pb.ListDecisionsRequest(model=model, limit=limit, verdict=verdict)
        stub = TrainingServiceStub(self._channel("training"))
        return list((await call(stub.ListDecisions, request, TIMEOUT, "training")).decisions)

    # --- monitoring -------------------------------------------------------------------------

    async def alerts(
        self, model: str = "", *, open_only: bool = False, limit: int = 100
    ) -> list[monitoring_pb.Alert]:
        """List alerts, newest first."""
        request = monitoring_pb.ListAlertsRequest(model=model, open_only=open_only, limit=limit)
        stub = MonitoringServiceStub(self._channel("monitoring"))
        return list((await call(stub.ListAlerts, request, TIMEOUT, "monitoring")).alerts)

    async def acknowledge(self, alert_id: str) -> monitoring_pb.Alert:
        """Say that a person has seen an alert."""
        request = monitoring_pb.AcknowledgeRequest(alert_id=alert_id, author=self._author)
        stub = MonitoringServiceStub(self._channel("monitoring"))
        return (await call(stub.Acknowledge, request, TIMEOUT, "monitoring")).alert

    async def quality(self, model: str) -> list[monitoring_pb.Cohort]:
        """Quality per cohort and version."""
        request = monitoring_pb.GetQualityRequest(model=model)
        stub = MonitoringServiceStub(self._channel("monitoring"))
        return list((await call(stub.GetQuality, request, 60.0, "monitoring")).cohorts)

    async def drift(self, model: str) -> list[monitoring_pb.DriftWindow]:
        """Drift per window."""
        request = monitoring_pb.GetDriftRequest(model=model)
        stub = MonitoringServiceStub(self._channel("monitoring"))
        return list((await call(stub.GetDrift, request, 60.0, "monitoring")).windows)

    async def report(self, *, alert_id: str = "", model: str = "") -> str:
        """Build (or find) a report; returns its path."""
        request = monitoring_pb.GetReportRequest(alert_id=alert_id, model=model)
        stub = MonitoringServiceStub(self._channel("monitoring"))
        return (await call(stub.GetReport, request, 120.0, "monitoring")).path


def _texts(row: Mapping[str, Value]) -> dict[str, str]:
    """Request fields as text; None is left out, which reads as null."""
    return {name: _text(value) for name, value in row.items() if value is not None}


def _text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.isoformat()
        case _:
            return str(value)


@asynccontextmanager
async def connect(
    where: Addresses | None = None, *, author: str = "sdk"
) -> AsyncIterator[AsyncClient]:
    """Connect to the stack that the environment or the nearest stack file names."""
    client = AsyncClient(where or addresses.find(), author=author)
    try:
        yield client
    finally:
        await client.close()
