"""What the asyncio client says about erasing entities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import grpc

from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.features.v1.feature_service_pb2_grpc import FeatureServiceStub
from tidemill.registry.v1 import erasure_service_pb2 as erasure_pb
from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceStub
from tidemill.transport import LONG_TIMEOUT, TIMEOUT, call


class ErasureCalls(ABC):
    """The part of the client that asks for erasures."""

    _author: str

    @abstractmethod
    def _channel(self, service: str) -> grpc.aio.Channel:
        """Return the channel to a service."""

    async def plan_erasure(self, entity: Mapping[str, str]) -> features_pb.PlanErasureResponse:
        """Say where an entity is and what erasing it would touch; changes nothing."""
        request = features_pb.PlanErasureRequest(entity=features_pb.EntityKey(fields=dict(entity)))
        stub = FeatureServiceStub(self._channel("features"))
        return await call(stub.PlanErasure, request, LONG_TIMEOUT, "features")

    async def erase(self, entity: Mapping[str, str], *, reason: str = "") -> erasure_pb.Erasure:
        """Ask for an entity to be erased, once and for ever; a repeat gives the same erasure."""
        request = erasure_pb.RequestErasureRequest(
            entity=dict(entity), author=self._author, reason=reason
        )
        stub = ErasureServiceStub(self._channel("registry"))
        return (await call(stub.RequestErasure, request, TIMEOUT, "registry")).erasure

    async def erasure(
        self, erasure_id: str = "", *, entity: Mapping[str, str] | None = None
    ) -> erasure_pb.Erasure:
        """Return how far an erasure is, by its id or by its entity."""
        request = erasure_pb.GetErasureRequest(erasure_id=erasure_id, entity=dict(entity or {}))
        stub = ErasureServiceStub(self._channel("registry"))
        return (await call(stub.GetErasure, request, TIMEOUT, "registry")).erasure

    async def erasures(
        self, *, open_only: bool = False, limit: int = 100, before: str = ""
    ) -> list[erasure_pb.Erasure]:
        """List erasures, newest first; `before`: only those older than the one of this id."""
        request = erasure_pb.ListErasuresRequest(limit=limit, open_only=open_only, before=before)
        stub = ErasureServiceStub(self._channel("registry"))
        return list((await call(stub.ListErasures, request, TIMEOUT, "registry")).erasures)
