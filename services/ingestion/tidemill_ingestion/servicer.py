"""gRPC: convert, call a handler, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import grpc
import pyarrow as pa

from tidemill.errors import Invalid
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.ingestion.v1.ingestion_service_pb2_grpc import IngestionServiceServicer
from tidemill_common import events, rpc
from tidemill_common.clock import Clock
from tidemill_ingestion import handlers
from tidemill_ingestion.convert import from_proto, to_results, to_token
from tidemill_ingestion.dead_letters import DeadLetters
from tidemill_ingestion.handlers import Log, Outcome, Published, Streams
from tidemill_ingestion.limits import SourceLimit

ARROW_LIMITS = events.Limits(max_bytes=4 * 1024 * 1024, max_rows=handlers.MAX_BATCH)

METHODS = rpc.rules(
    "tidemill.ingestion.v1.IngestionService",
    {
        "Publish": rpc.Rule("events.write"),
        "PublishStream": rpc.Rule("events.write", deadline=None, cap=None),
        "PublishArrow": rpc.Rule("events.write"),
        "ListDeadLetters": rpc.Rule("events.admin", deadline=20.0),
        "ReplayDeadLetters": rpc.Rule("events.admin", deadline=None, cap=None),
    },
)


@dataclass(frozen=True, slots=True)
class Edge:
    """What every transport of this process publishes with."""

    streams: Streams
    log: Log
    limit: SourceLimit
    clock: Clock
    epoch: str

    async def publish(self, messages: Iterable[pb.Event]) -> Published:
        """Publish protobuf events."""
        return await handlers.publish(
            from_proto(messages), self.streams, self.log, self.limit, self.clock
        )


class IngestionServicer(IngestionServiceServicer):
    """The edge over gRPC."""

    def __init__(self, edge: Edge, dead_letters: DeadLetters) -> None:
        self._edge = edge
        self._dead_letters = dead_letters

    async def Publish(
        self, request: pb.PublishRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.PublishResponse:
        """Publish a batch."""
        published = await self._edge.publish(request.events)
        return pb.PublishResponse(
            results=to_results(published.results),
            token=to_token(published.token, self._edge.epoch),
        )

    async def PublishStream(
        self,
        request_iterator: AsyncIterator[pb.PublishStreamRequest],
        context: grpc.aio.ServicerContext[object, object],
    ) -> AsyncIterator[pb.PublishStreamResponse]:
        """Publish batches one after another; the transport's flow control is the limit."""
        async for request in request_iterator:
            published = await self._edge.publish(request.events)
            yield pb.PublishStreamResponse(
                results=to_results(published.results),
                token=to_token(published.token, self._edge.epoch),
            )

    async def PublishArrow(
        self, request: pb.PublishArrowRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.PublishArrowResponse:
        """Publish columns."""
        if not request.source:
            raise Invalid("source is empty; it is part of every event's identity")
        batch = events.decode(request.data, limits=ARROW_LIMITS)
        edge = self._edge
        published = await handlers.publish_columns(
            request.stream,
            request.source,
            pa.Table.from_batches([batch]),
            edge.streams,
            edge.log,
            edge.limit,
            edge.clock,
        )
        refused = [
            (row, result)
            for row, result in enumerate(published.results)
            if result.outcome is not Outcome.ACCEPTED
        ]
        replies = to_results([result for _, result in refused])
        return pb.PublishArrowResponse(
            accepted=len(published.results) - len(refused),
            refused=[
                pb.RowResult(row=row, result=reply)
                for (row, _), reply in zip(refused, replies, strict=True)
            ],
            token=to_token(published.token, edge.epoch),
        )

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> pb.ListDeadLettersResponse:
        """Show what was set aside."""
        start = request.offset if request.HasField("offset") else None
        letters, total = await self._dead_letters.newest(
            request.stream, start, request.limit or 100
        )
        return pb.ListDeadLettersResponse(dead_letters=letters, total=total)

    async def ReplayDeadLetters(
        self,
        request: pb.ReplayDeadLettersRequest,
        context: grpc.aio.ServicerContext[object, object],
    ) -> pb.ReplayDeadLettersResponse:
        """Put dead letters back."""
        offsets = [position.offset for position in request.positions]
        return await self._dead_letters.replay(request.stream, offsets, dry_run=request.dry_run)
