"""Of many erasures none is left out: a vector that saw one of them must not look wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_features.erasure.asked import PAGE, every_erasure

SERVICE = "tidemill.registry.v1.ErasureService"


class Registry:
    """Lists as many erasures as there are, as the registry does."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def listed(
        self, request: pb.ListErasuresRequest, context: object
    ) -> pb.ListErasuresResponse:
        del context
        first = self.ids.index(request.before) + 1 if request.before else 0
        some = self.ids[first : first + request.limit]
        return pb.ListErasuresResponse(erasures=[pb.Erasure(erasure_id=one) for one in some])


@pytest.fixture
async def registry() -> AsyncIterator[tuple[Registry, str]]:
    made, server = Registry(), grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        made.listed,
        request_deserializer=pb.ListErasuresRequest.FromString,
        response_serializer=pb.ListErasuresResponse.SerializeToString,
    )
    handler = grpc.method_handlers_generic_handler(SERVICE, {"ListErasures": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield made, f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.mark.parametrize("count", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE - 7])
async def test_every_erasure_is_given_once(registry: tuple[Registry, str], count: int) -> None:
    made, address = registry
    made.ids = [f"e{number}" for number in range(count)]
    assert [one.erasure_id for one in await every_erasure(address)] == made.ids
