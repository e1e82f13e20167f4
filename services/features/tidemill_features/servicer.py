"""FeatureService over gRPC: convert, ask the replica, the archive or the builder, convert."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import FailedPrecondition
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceServicer
from tidemill_common import metrics, rpc
from tidemill_common.clock import SystemClock
from tidemill_common.kafka import TopicPartition
from tidemill_features.comparing import compare
from tidemill_features.convert import from_log, from_reading, to_columns, to_entities
from tidemill_features.finding import find
from tidemill_features.lagging import stamps_ms
from tidemill_features.progress import next_message
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.reads import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tidemill_common.currency import Registry
    from tidemill_common.feature_reads import ReadResult
    from tidemill_common.feature_replica import FeatureReplica
    from tidemill_common.kafka import Admin, Broker
    from tidemill_features.erasure.plan import Planner
    from tidemill_features.handlers import Sets
    from tidemill_features.inspecting import Inspector
    from tidemill_features.progress import Pace

METHODS: Final = rpc.rules(
    "tidemill.features.v1.FeatureService",
    {
        "GetFeatures": rpc.Rule("features.read", hot=True),
        "BuildTrainingSet": rpc.Rule("features.build", deadline=None, cap=None),
        "VerifyVectors": rpc.Rule("features.build", deadline=300.0, cap=3_600.0),
        "DescribeViews": rpc.Rule("features.read"),
        "DiffFeatures": rpc.Rule("features.read", deadline=30.0, cap=60.0),
        "DescribeView": rpc.Rule("features.read"),
        "GetHistory": rpc.Rule("features.inspect", deadline=60.0, cap=600.0),
        "ExplainFeatures": rpc.Rule("features.inspect", deadline=60.0, cap=600.0),
        "PlanErasure": rpc.Rule("features.build", deadline=300.0, cap=3_600.0),
    },
)


class FeatureServicer(FeatureServiceServicer):
    """Answers reads from the replica in this process."""

    def __init__(
        self,
        replica: FeatureReplica,
        sets: Sets,
        inspector: Inspector,
        planner: Planner,
        broker: Broker,
        admin: Admin,
        pace: Pace,
        registry: Registry,
    ) -> None:
        self._replica = replica
        self._registry = registry
        self._pace = pace
        self._sets = sets
        self._inspector = inspector
        self._broker = broker
        self._admin = admin
        self._planner = planner

    async def GetFeatures(
        self, request: pb.GetFeaturesRequest, _: object
    ) -> pb.GetFeaturesResponse:
        """Read entities of one view."""
        view = await find(self._replica, self._registry, request.view, request.version)
        entities = to_entities(view, request.entities)
        columns = to_columns(view, request.features)
        if request.token.positions:
            await self._replica.wait_for(
                request.token.positions,
                views=(request.view,),
                version=request.version,
                timeout=rpc.remaining(),
            )
        at = request.at.ToMicroseconds() if request.HasField("at") else None
        result = self._replica.read(request.view, entities, at, request.version)
        if request.strict and result.newest_available_us != NO_TIME and result.state_newer.any():
            raise FailedPrecondition(
                f"{request.view} has already applied events that were not known at that time",
                hint="ask without strict, or build a training set for exact answers about the past",
            )
        _count(request.view, result)
        return from_reading(result, columns)

    async def BuildTrainingSet(
        self, request: pb.BuildTrainingSetRequest, _: object
    ) -> AsyncIterator[pb.BuildTrainingSetResponse]:
        """Build a training set; the last message holds it."""
        async for step in self._sets.build(request):
            if isinstance(step, pb.Progress):
                yield pb.BuildTrainingSetResponse(progress=step)
            else:
                yield pb.BuildTrainingSetResponse(result=step)

    async def VerifyVectors(
        self, request: pb.VerifyVectorsRequest, _: object
    ) -> pb.VerifyVectorsResponse:
        """Recompute logged vectors."""
        return await self._sets.verify(request)

    async def DescribeViews(
        self, request: pb.DescribeViewsRequest, _: object
    ) -> pb.DescribeViewsResponse:
        """Say how far every log is, and what is built beside."""
        states, coming = await self._states()
        if request.lag_times:
            await self._add_lags([*states, *(coming.views if coming is not None else ())])
        return pb.DescribeViewsResponse(views=states, next=coming)

    async def DescribeView(
        self, request: pb.DescribeViewRequest, _: object
    ) -> pb.DescribeViewResponse:
        """Say what one view is."""
        await find(self._replica, self._registry, request.view)
        states, coming = await self._states()
        return await self._inspector.describe(request, states, coming)

    async def DiffFeatures(
        self, request: pb.DiffFeaturesRequest, _: object
    ) -> pb.DiffFeaturesResponse:
        """Compare the version that is built beside with the served one."""
        await find(self._replica, self._registry, request.view)
        return await compare(self._replica, SystemClock(), request)

    async def GetHistory(self, request: pb.GetHistoryRequest, _: object) -> pb.GetHistoryResponse:
        """Say how features went."""
        await find(self._replica, self._registry, request.view)
        return await self._inspector.history(request)

    async def ExplainFeatures(
        self, request: pb.ExplainFeaturesRequest, _: object
    ) -> pb.ExplainFeaturesResponse:
        """Say what makes values."""
        await find(self._replica, self._registry, request.view)
        return await self._inspector.explain(request)

    async def _states(self) -> tuple[list[pb.ViewState], pb.NextGeneration | None]:
        """Return the state of what is served, and of what is built beside it."""
        coming = self._replica.next
        served, added = self._replica.describe(), self._replica.describe_next()
        sources = {TopicPartition(f"events.{one.stream}", one.partition) for one in served + added}
        ends = await self._admin.end_offsets(sources)
        views, beside = (
            [
                from_log(one, ends[TopicPartition(f"events.{one.stream}", one.partition)])
                for one in states
            ]
            for states in (served, added)
        )
        if coming is None:
            return views, None
        return views, next_message(coming, beside, self._pace, time.monotonic())

    async def _add_lags(self, states: Sequence[pb.ViewState]) -> None:
        """Say how old the first record is that a log has not decided."""
        waiting: dict[TopicPartition, int] = {}
        for one in states:
            if one.position < one.source_end:
                tp = TopicPartition(f"events.{one.stream}", one.partition)
                waiting[tp] = min(one.position, waiting.get(tp, one.position))
        stamps = await stamps_ms(self._broker, waiting)
        now = time.time() * 1_000
        for one in states:
            stamp = stamps.get(TopicPartition(f"events.{one.stream}", one.partition))
            if stamp is not None and one.position < one.source_end:
                one.lag.FromMilliseconds(max(0, round(now - stamp)))

    async def PlanErasure(
        self, request: pb.PlanErasureRequest, _: object
    ) -> pb.PlanErasureResponse:
        """Say where an entity is."""
        return await self._planner.plan(request.entity.fields)


def _count(view: str, result: ReadResult) -> None:
    """Count entities by the status of their first feature."""
    for code, count in enumerate(np.bincount(result.status[:, 0], minlength=len(Status)).tolist()):
        if count:
            name = Status(code).name.lower()
            metrics.counter("tidemill_feature_reads_total", view=view, status=name).inc(count)
