"""What a person asks about features: what a view is, what made a value, how it went."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import grpc

from tidemill.events import to_timestamp
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceStub
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.keys import to_key
from tidemill.transport import call

TIMEOUT = 10.0
SEARCH_TIMEOUT = 60.0
"""What looks through an archive takes longer."""


class Inspecting(ABC):
    """The part of the client that asks how features came to be."""

    @abstractmethod
    def _channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to a service."""

    async def describe_view(self, view: str) -> features_pb.DescribeViewResponse:
        """Say what a view is: features with windows, bounds and defaults, streams, logs, models."""
        stub = FeatureServiceStub(self._channel("features"))
        request = features_pb.DescribeViewRequest(view=view)
        return await call(stub.DescribeView, request, TIMEOUT, "features")

    async def feature_history(
        self,
        view: str,
        entity: Mapping[str, str],
        *,
        features: Sequence[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        every: timedelta | None = None,
        limit: int = 0,
        max_events: int = 0,
        token: ingestion_pb.PositionToken | None = None,
        timeout: float = SEARCH_TIMEOUT,
    ) -> features_pb.GetHistoryResponse:
        """Show how features of one entity went, as reads would have answered; exact."""
        request = features_pb.GetHistoryRequest(
            view=view,
            entity=to_key(entity),
            features=features,
            since=to_timestamp(since) if since else None,
            until=to_timestamp(until) if until else None,
            every=every,
            limit=limit,
            max_events=max_events,
            token=token,
        )
        stub = FeatureServiceStub(self._channel("features"))
        return await call(stub.GetHistory, request, timeout, "features")

    async def explain_features(
        self,
        view: str,
        entity: Mapping[str, str],
        *,
        features: Sequence[str] = (),
        at: datetime | None = None,
        token: ingestion_pb.PositionToken | None = None,
        max_events: int = 0,
        timeout: float = SEARCH_TIMEOUT,
    ) -> features_pb.ExplainFeaturesResponse:
        """Say which tiles and events make the values of one entity, and whether they add up."""
        request = features_pb.ExplainFeaturesRequest(
            view=view,
            entity=to_key(entity),
            features=features,
            at=to_timestamp(at) if at else None,
            token=token,
            max_events=max_events,
        )
        stub = FeatureServiceStub(self._channel("features"))
        return await call(stub.ExplainFeatures, request, timeout, "features")
