"""Training sets and audits: pin the cut, wait for the archive, hand the work to the builder."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import Invalid
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill.project import model_inputs
from tidemill_common import metrics, topics
from tidemill_common.events import TIMESTAMP
from tidemill_common.kafka import Admin, Broker, TopicPartition
from tidemill_common.kafka.ranges import stretch
from tidemill_common.prediction_rows import SCHEMA
from tidemill_common.project_source import load_project
from tidemill_features.archiving import archived_here
from tidemill_features.erasure.asked import every_erasure
from tidemill_features.erasure.audit import blind_spans, of_erased, seen_again
from tidemill_features.jobs import Job
from tidemill_features.trainingset import streams_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tidemill.definitions.v1 import project_pb2
    from tidemill_features.archiving import Archivers
    from tidemill_features.building import Builder
    from tidemill_features.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Sets:
    """What is derived from the archive."""

    settings: Settings
    broker: Broker
    admin: Admin
    archivers: Archivers
    builder: Builder

    async def build(
        self, request: pb.BuildTrainingSetRequest
    ) -> AsyncIterator[pb.Progress | pb.TrainingSet]:
        """Build the training set of a request; a repeat with its cut gives the same hash."""
        began = time.perf_counter()
        applied = await load_project(self.settings.registry, request.generation)
        streams = streams_of(applied.project, request.model)
        cut = await self._cut(streams, request.cut)
        yield pb.Progress(stage="archive")
        versions = {name: await self.archivers.of(name).reach(cut[name]) for name in streams}
        job = Job(
            kind="training_set",
            project=applied.project,
            generation=applied.generation,
            model=request.model,
            archive=self.settings.archive,
            artifacts=self.settings.artifacts,
            versions=versions,
            cut=cut,
            request=request,
        )
        async for step in self.builder.run(job):
            if isinstance(step, bytes):
                metrics.histogram(
                    "tidemill_training_set_duration_seconds", model=request.model
                ).observe(time.perf_counter() - began)
                yield pb.TrainingSet.FromString(step)
            else:
                yield step

    async def verify(self, request: pb.VerifyVectorsRequest) -> pb.VerifyVectorsResponse:
        """Recompute the sampled vectors that a model's log holds."""
        applied = await load_project(self.settings.registry)
        streams = streams_of(applied.project, request.model)
        sampled = await self._recomputable(applied.project, request)
        if not sampled.num_rows:
            return pb.VerifyVectorsResponse()
        cut = await self._cut(streams, pb.Cut())
        versions = {name: await self.archivers.of(name).reach(cut[name]) for name in streams}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "predictions.arrow"
            await asyncio.to_thread(_save, sampled, path)
            job = Job(
                kind="verify",
                project=applied.project,
                generation=applied.generation,
                model=request.model,
                archive=self.settings.archive,
                artifacts=self.settings.artifacts,
                versions=versions,
                cut=cut,
                predictions=str(path),
            )
            last: pb.Progress | bytes = b""
            async for step in self.builder.run(job):
                last = step
        return pb.VerifyVectorsResponse.FromString(last if isinstance(last, bytes) else b"")

    async def _recomputable(
        self, project: project_pb2.Project, request: pb.VerifyVectorsRequest
    ) -> pa.Table:
        """Return the sampled vectors without those that saw what has been erased since."""
        sampled = await self._sampled(request)
        times = np.asarray(sampled["_time"].cast(pa.int64()))
        kept = seen_again(blind_spans(project, await every_erasure(self.settings.registry)), times)
        inputs = model_inputs(project, request.model)
        requests, erased = sampled["_request"].to_pylist(), self.archivers.refusing.now
        (spine,) = (one.spine.stream for one in project.models if one.name == request.model)
        kept &= ~of_erased(inputs, spine, requests, erased)
        if not kept.all():
            facts = {"model": request.model, "vectors": int(np.count_nonzero(~kept))}
            logger.info("vectors.erased_since", extra=facts)
        return sampled.filter(pa.array(kept))

    async def _cut(self, streams: tuple[str, ...], asked: pb.Cut) -> dict[str, dict[int, int]]:
        """Return the next offset per partition of each stream: as asked, else the present ends."""
        archived_here(self.settings, self.archivers, streams)
        ends = {name: await self.archivers.of(name).ends() for name in streams}
        if not asked.positions:
            return ends
        cut: dict[str, dict[int, int]] = {
            name: dict.fromkeys(partitions, 0) for name, partitions in ends.items()
        }
        for one in asked.positions:
            if one.stream in cut:
                if one.next_offset > ends[one.stream].get(one.partition, -1):
                    raise Invalid(
                        f"the cut lies beyond the end of {one.stream}/{one.partition}: "
                        f"{one.next_offset}"
                    )
                cut[one.stream][one.partition] = one.next_offset
        return cut

    async def _sampled(self, request: pb.VerifyVectorsRequest) -> pa.Table:
        """Read the sampled rows of the prediction log, the newest `max_vectors` of them."""
        topic = topics.predictions(request.model).name
        tps = await self.admin.partitions(topic)
        starts = await self.admin.start_offsets(tps)
        ends = await self.admin.end_offsets(tps)
        found = [
            table for tp in tps for table in await self._rows(tp, starts[tp], ends[tp], request)
        ]
        rows = pa.concat_tables(found) if found else SCHEMA.empty_table()
        rows = rows.sort_by("_logged")
        return rows.slice(max(0, len(rows) - request.max_vectors)) if request.max_vectors else rows

    async def _rows(
        self, tp: TopicPartition, start: int, end: int, request: pb.VerifyVectorsRequest
    ) -> list[pa.Table]:
        found = []
        async for records in stretch(self.broker, tp, start, end):
            for record in records:
                table = pa.ipc.open_stream(record.value or b"").read_all()
                table = table.filter(_wanted(table, request))
                if table.num_rows:
                    found.append(table)
        return found


def _wanted(table: pa.Table, request: pb.VerifyVectorsRequest) -> pa.Array:
    keep = pc.and_(table["_sampled"], pc.is_valid(table["_vector"]))
    for name, compare in (("from", pc.greater_equal), ("to", pc.less)):
        if request.HasField(name):
            us = getattr(request, name).ToMicroseconds()
            keep = pc.and_(keep, compare(table["_time"], pa.scalar(us).cast(TIMESTAMP)))
    return keep


def _save(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
