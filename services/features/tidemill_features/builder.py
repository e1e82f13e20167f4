"""The builder process: takes jobs as lines on standard input, answers as lines on standard output.

It is a process of its own so that reads in the server stay fast, and so that its peak memory can
be said. It ends when its input does.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tidemill.errors import TidemillError
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_common import log
from tidemill_common.artifacts import Artifacts
from tidemill_common.feature_views import duration_us
from tidemill_features import archive
from tidemill_features.jobs import Job, error_line, progress_line, result_line
from tidemill_features.rowsfile import RowsFile
from tidemill_features.scan import ArchiveScan
from tidemill_features.spine import Exclusion
from tidemill_features.trainingset import Means, Wanted, build, profile_of
from tidemill_features.verify import verify
from tidemill_tiles.kernels import warm_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

logger = logging.getLogger(__name__)
ROWS: Final = "rows.parquet"
MIB_KB: Final = 1024
SHARDS: Final = min(4, os.cpu_count() or 1)


def main() -> None:
    """Work through the jobs on standard input."""
    log.configure("features-builder")
    warm_up()
    gc.freeze()  # what was imported stays: no collection looks through it again
    for line in sys.stdin.buffer:
        job = Job.from_line(line)
        try:
            answer = _training_set(job) if job.kind == "training_set" else _verify(job)
            _write(result_line(answer))
        except TidemillError as error:
            _write(error_line(error))


class _Reader:
    """Reads each stream's archive once for a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._load = lru_cache(maxsize=None)(self._read)

    def __call__(self, stream: str, columns: Sequence[str], verdicts: Sequence[int]) -> pa.Table:
        """Return rows below the cut; no columns means all of them."""
        table = self._load(stream)
        if not set(verdicts) >= {0, 1, 2}:
            kept = pc.is_in(table["_verdict"], value_set=pa.array(verdicts, pa.int8()))
            table = table if pc.all(kept).as_py() else table.filter(kept)
        if not columns:
            return table
        place = ("_partition", "_offset", "_row", "_append", "_verdict")
        return table.select(list(dict.fromkeys((*place, *columns))))

    def _read(self, stream: str) -> pa.Table:
        job = self._job
        return archive.read(job.archive, stream, job.versions[stream], job.cut[stream])


def _training_set(job: Job) -> pb.TrainingSet:
    began, busy = time.perf_counter(), time.process_time()
    request = job.request
    wanted = Wanted(
        job.project,
        job.model,
        from_us=_us(request, "from"),
        to_us=_us(request, "to"),
        delay_us=duration_us(request.delay),
        exclusions=tuple(
            Exclusion(_time_us(getattr(one, "from")), _time_us(one.to))
            for one in request.exclusions
        ),
        max_rows=request.max_rows,
        unlabelled=request.unlabelled,
    )
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(SHARDS) as pool:
        folder = Path(name)
        means = Means(folder, shards=SHARDS, run=pool.map)
        scan = lru_cache(maxsize=None)(partial(_scan, job, folder))
        artifacts = Artifacts(job.artifacts)
        with RowsFile(folder / ROWS) as rows:
            built = build(wanted, scan, means, rows.write, _say)
            rows.finish()
            _say("profile", built.rows, 0)
            hashing = pool.submit(rows.row_hash)
            storing = pool.submit(lambda: str(artifacts.put_file(rows.whole())))
            with ThreadPoolExecutor(SHARDS) as looking:
                profile, events = profile_of(wanted, scan, folder, built, looking.map)
            row_hash, digest = hashing.result(), storing.result()
        profile_digest = artifacts.put(orjson.dumps(profile, option=orjson.OPT_SORT_KEYS))
    pa.default_memory_pool().release_unused()
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // MIB_KB
    logger.info(
        "training_set.built",
        extra={
            "model": job.model,
            "rows": built.rows,
            "events": events,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(time.process_time() - busy, 3),
            "peak_memory_mib": peak,
        },
    )
    answer = _answer(job, (row_hash, digest, str(profile_digest)), seconds)
    answer.rows, answer.events = built.rows, events
    answer.newest_time.FromMicroseconds(built.newest_us)
    return answer


def _scan(job: Job, folder: Path, stream: str) -> ArchiveScan:
    """Return the rows of a stream that a job may see."""
    return ArchiveScan(job.archive, stream, job.versions[stream], job.cut[stream], folder)


def _answer(job: Job, digests: tuple[str, str, str], seconds: float) -> pb.TrainingSet:
    answer = pb.TrainingSet(
        row_hash=digests[0],
        digest=digests[1],
        generation=job.generation,
        profile_digest=digests[2],
        delay=job.request.delay,
        seconds=seconds,
        delta_versions=job.versions,
    )
    for stream, offsets in sorted(job.cut.items()):
        for partition, offset in sorted(offsets.items()):
            answer.cut.positions.add(stream=stream, partition=partition, next_offset=offset)
    return answer


def _verify(job: Job) -> pb.VerifyVectorsResponse:
    with pa.OSFile(job.predictions) as file:
        predictions = pa.ipc.open_stream(file).read_all()
    found = verify(job.project, job.model, predictions, _Reader(job))
    logger.info(
        "vectors.verified",
        extra={
            "model": job.model,
            "vectors": found.vectors,
            "mismatches": found.mismatches,
            "skipped": found.skipped,
        },
    )
    return pb.VerifyVectorsResponse(
        vectors=found.vectors,
        values=found.values,
        mismatches=found.mismatches,
        by_feature=found.by_feature,
        examples=found.examples,
    )


def _say(stage: str, rows: int, events: int) -> None:
    _write(progress_line(stage, rows, events))


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _us(request: pb.BuildTrainingSetRequest, name: str) -> int | None:
    return _time_us(getattr(request, name)) if request.HasField(name) else None


def _time_us(at: Timestamp) -> int:
    return int(at.ToMicroseconds())


if __name__ == "__main__":
    main()
