"""Every erasure that was ever asked for, from the registry, page by page."""

from __future__ import annotations

from typing import Final

from tidemill.registry.v1.erasure_service_pb2 import Erasure, ListErasuresRequest
from tidemill.registry.v1.erasure_service_pb2_grpc import ErasureServiceStub
from tidemill_common import rpc

PAGE: Final = 200
"""What each service reports of an erasure comes along: so many stay far below a message's limit."""


async def every_erasure(registry: str) -> list[Erasure]:
    """Return all of them, newest first."""
    found: list[Erasure] = []
    async with rpc.connected(registry) as channel:
        ask = ErasureServiceStub(channel).ListErasures
        while True:
            before = found[-1].erasure_id if found else ""
            page = (await rpc.call(ask, ListErasuresRequest(limit=PAGE, before=before))).erasures
            found += page
            if len(page) < PAGE:
                return found
