"""ErasureService over gRPC: convert, call a handler, convert."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceServicer
from tidemill_common import rpc
from tidemill_registry import erasures
from tidemill_registry.handlers import Registry

Context = grpc.aio.ServicerContext[object, object]

ERASURE_METHODS = rpc.rules(
    "tidemill.registry.v1.ErasureService",
    {
        "RequestErasure": rpc.Rule("registry.erase"),
        "GetErasure": rpc.Rule("registry.read"),
        "ListErasures": rpc.Rule("registry.read"),
        "ListErasedKeys": rpc.Rule("registry.erased"),
        "ReportErasure": rpc.Rule("registry.erased"),
    },
)
MAX_LIST = 1_000
DEFAULT_LIST = 100


@dataclass(frozen=True, slots=True)
class ErasureServicer(ErasureServiceServicer):
    """What is to be erased, and how far that is."""

    registry: Registry

    async def RequestErasure(
        self, request: pb.RequestErasureRequest, context: Context
    ) -> pb.RequestErasureResponse:
        """Record an erasure."""
        erasure, created = await erasures.request(
            self.registry, request.entity, request.author, request.reason
        )
        return pb.RequestErasureResponse(erasure=erasure, created=created)

    async def GetErasure(
        self, request: pb.GetErasureRequest, context: Context
    ) -> pb.GetErasureResponse:
        """Return one erasure."""
        found = await erasures.get(self.registry, request.erasure_id, request.entity)
        return pb.GetErasureResponse(erasure=found)

    async def ListErasures(
        self, request: pb.ListErasuresRequest, context: Context
    ) -> pb.ListErasuresResponse:
        """Return erasures, newest first."""
        limit = min(request.limit, MAX_LIST) if request.limit > 0 else DEFAULT_LIST
        found = await erasures.listed(
            self.registry, limit, open_only=request.open_only, before=request.before
        )
        return pb.ListErasuresResponse(erasures=found)

    async def ListErasedKeys(
        self, request: pb.ListErasedKeysRequest, context: Context
    ) -> pb.ListErasedKeysResponse:
        """Return the keys that are refused."""
        return await erasures.keys(self.registry, request.known_revision)

    async def ReportErasure(
        self, request: pb.ReportErasureRequest, context: Context
    ) -> pb.ReportErasureResponse:
        """Keep what a service says."""
        found = await erasures.report(self.registry, request.erasure_id, request.report)
        return pb.ReportErasureResponse(erasure=found)
