"""What tests and benchmarks of features need: a registry of one project, a written archive."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import grpc
import numpy as np
import pyarrow as pa
from deltalake import DeltaTable

from tidemill.errors import NotFound
from tidemill.project import generation, normalise
from tidemill.registry.v1 import erasure_service_pb2 as erasure_pb
from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill_features.archive import Archive, Piece
from tidemill_features.decoding import Events, times_us
from tidemill_features.scan import BATCH_ROWS, ArchiveScan
from tidemill_tiles.columns import window_time
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.keys import event_id_hashes, key_column, partitions_of
from tidemill_tiles.verdict import PartitionVerdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tidemill.definitions.v1 import project_pb2
    from tidemill_features.definitions import StreamWork

ROWS_A_RECORD: Final = 500


class OneProject:
    """Answers GetProject with the project it was given last, and with the keys that are erased.

    A project may be held beside it.
    """

    def __init__(self, project: project_pb2.Project) -> None:
        self.held = ""
        self.erased = erasure_pb.ListErasedKeysResponse()
        self._numbers: dict[str, int] = {}
        self._projects: dict[str, project_pb2.Project] = {}
        self.apply(project)

    def apply(self, project: project_pb2.Project) -> str:
        """Make a project the current one; return its generation."""
        self.project = normalise(project)
        self.current = generation(self.project)
        self._projects[self.current] = self.project
        self._numbers.setdefault(self.current, len(self._numbers) + 1)
        return self.current

    def hold(self, project: project_pb2.Project) -> str:
        """Hold a project beside the current one; return its generation."""
        wanted = normalise(project)
        self.held = generation(wanted)
        self._projects[self.held] = wanted
        return self.held

    def switch(self) -> None:
        """Make what is held the current project."""
        self.apply(self._projects[self.held])
        self.held = ""

    def abort(self) -> None:
        """Hold nothing any more."""
        self.held = ""

    async def GetProject(  # noqa: N802 (gRPC's name)
        self, request: pb.GetProjectRequest, _: object
    ) -> pb.GetProjectResponse:
        """Return the current project, or one of the generations."""
        wanted = request.generation or self.current
        if wanted not in self._projects:
            raise NotFound(f"no generation {wanted}")
        reply = pb.GetProjectResponse(
            project=self._projects[wanted],
            generation=wanted,
            number=self._numbers.get(wanted, 0),
        )
        if self.held and not request.generation:
            reply.held.project.CopyFrom(self._projects[self.held])
            reply.held.generation = self.held
        return reply

    async def ListErasedKeys(  # noqa: N802 (gRPC's name)
        self, _: erasure_pb.ListErasedKeysRequest, __: object
    ) -> erasure_pb.ListErasedKeysResponse:
        """Return the whole list."""
        return self.erased


@contextlib.asynccontextmanager
async def one_project(project: project_pb2.Project) -> AsyncIterator[tuple[str, OneProject]]:
    """Serve a project as the registry does; gives the address and the servicer."""
    servicer = OneProject(project)
    server = grpc.aio.server()
    project_method = grpc.unary_unary_rpc_method_handler(
        servicer.GetProject,
        request_deserializer=pb.GetProjectRequest.FromString,
        response_serializer=pb.GetProjectResponse.SerializeToString,
    )
    erased_method = grpc.unary_unary_rpc_method_handler(
        servicer.ListErasedKeys,
        request_deserializer=erasure_pb.ListErasedKeysRequest.FromString,
        response_serializer=erasure_pb.ListErasedKeysResponse.SerializeToString,
    )
    registry = pb.DESCRIPTOR.services_by_name["RegistryService"].full_name
    erasures = erasure_pb.DESCRIPTOR.services_by_name["ErasureService"].full_name
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(registry, {"GetProject": project_method}),
            grpc.method_handlers_generic_handler(erasures, {"ListErasedKeys": erased_method}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}", servicer
    finally:
        await server.stop(0)


class WrittenArchive:
    """The archive of one stream, written from columns as if a broker had held them."""

    def __init__(self, root: Path, work: StreamWork, *, rows_a_record: int = ROWS_A_RECORD) -> None:
        """Begin an empty archive; rows of a partition travel in records of so many."""
        self._root, self._work, self._record = str(root), work, rows_a_record
        self._archive = Archive(self._root, work)
        self.cut = dict.fromkeys(range(work.spec.partitions), 0)
        self._verdicts = {
            number: PartitionVerdict(IdWindow(work.spec.dedupe_us), work.spec.lateness_us)
            for number in self.cut
        }

    @property
    def version(self) -> int:
        """Return the version of the table."""
        return int(DeltaTable(f"{self._root}/{self._work.name}").version())

    def add(self, table: pa.Table, append_us: int) -> None:
        """Append the rows in their order to the partitions of their keys, in one commit."""
        work = self._work
        keys = key_column([table[name] for name in work.spec.key])
        owner = partitions_of(keys, work.spec.partitions)
        found = [
            self._piece(number, table.filter(pa.array(owner == number)).combine_chunks(), append_us)
            for number in self.cut
        ]
        self._archive.append([piece for piece in found if len(piece.events)])

    def compact(self) -> None:
        """Join the files of each day."""
        DeltaTable(f"{self._root}/{self._work.name}").optimize.compact()

    def scan(self, folder: Path, *, batch_rows: int = BATCH_ROWS) -> ArchiveScan:
        """Return all that is archived."""
        return ArchiveScan(
            self._root, self._work.name, self.version, self.cut, folder, batch_rows=batch_rows
        )

    def _piece(self, number: int, table: pa.Table, append_us: int) -> Piece:
        row = np.arange(len(table))
        event_us, available_us = times_us(table, "_time"), times_us(table, "_available")
        events = Events(
            table=table.select(self._work.schema.names).cast(self._work.schema),
            offset=self.cut[number] + row // self._record,
            row=(row % self._record).astype(np.int32),
            append_us=np.full(len(table), append_us, dtype=np.int64),
            event_us=event_us,
            available_us=available_us,
            time_us=window_time(event_us, available_us),
            ids=event_id_hashes(table["_source"], table["_id"], table["_replay_of"]),
            dead=(),
        )
        verdict = self._verdicts[number]
        found = verdict.decide(events.ids, events.time_us, events.append_us)
        self.cut[number] += -(-len(table) // self._record)
        return Piece(number, self.cut[number], verdict.watermark_us, events, found)
