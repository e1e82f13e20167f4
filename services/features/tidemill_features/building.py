"""A process that works for the server, as it sees it: started when needed, one job at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Final, Protocol

from tidemill.errors import Unavailable
from tidemill_features.jobs import LINE_BYTES, read_reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tidemill.features.v1 import feature_service_pb2 as pb

logger = logging.getLogger(__name__)
BUILDER: Final = "tidemill_features.builder"
"""Builds training sets and verifies vectors: minutes of work."""
INSPECTOR: Final = "tidemill_features.inspector"
"""Answers a person's questions: seconds of work, which do not wait for a training set."""
ALLOCATORS: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""One pool for all libraries of the builder; a lower threshold costs half as much CPU again."""
CLOSE_SECONDS = 2.0


class Sendable(Protocol):
    """A job as it crosses the border."""

    def to_line(self) -> bytes:
        """Write it as one line."""


class Builder:
    """Runs jobs in a process of its own; an answer that does not come ends that process."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: asyncio.subprocess.Process | None = None
        self._busy = asyncio.Lock()

    async def warm(self) -> None:
        """Start the process now, so that the first job does not wait for it."""
        async with self._busy:
            await self._started()

    async def run(self, job: Sendable) -> AsyncIterator[pb.Progress | bytes]:
        """Give the progress of a job, and at the end its result; raises the job's error."""
        async with self._busy:
            done = False
            try:
                process = await self._given(job)
                while not done:
                    line = await _reader(process.stdout).readline()
                    if not line:
                        raise Unavailable(f"{self._module} died", retry_after=1.0)
                    done = b'"progress"' not in line[:16]
                    yield read_reply(line)
            finally:
                if not done:
                    await self._end()

    @contextlib.asynccontextmanager
    async def idle(self) -> AsyncIterator[None]:
        """Hold back every job; the one that runs is waited for."""
        async with self._busy:
            yield

    async def _given(self, job: Sendable) -> asyncio.subprocess.Process:
        """Hand a job to the process, and to another one if it ended without having read it."""
        process = await self._started()
        try:
            await self._hand_over(process, job)
        except Unavailable:
            await self._end()
            facts = {"program": self._module, "pid": process.pid, "code": process.returncode}
            logger.warning("builder.took_no_job", extra=facts)
            process = await self._started()
            await self._hand_over(process, job)
        return process

    async def _hand_over(self, process: asyncio.subprocess.Process, job: Sendable) -> None:
        pipe = _pipe(process.stdin)
        try:
            if pipe.is_closing():  # uvloop would call it a programming error
                raise BrokenPipeError(f"the input of {process.pid} is closed")
            pipe.write(job.to_line())
            await pipe.drain()
        except OSError as error:
            raise Unavailable(f"{self._module} takes no job", retry_after=1.0) from error

    async def close(self) -> None:
        """End the process."""
        async with self._busy:
            await self._end()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module),
                env=os.environ | ALLOCATORS,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES,
            )
            facts = {"program": self._module, "pid": self._process.pid}
            logger.info("builder.started", extra=facts)
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        _pipe(process.stdin).close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


def _pipe(pipe: asyncio.StreamWriter | None) -> asyncio.StreamWriter:
    if pipe is None:
        message = "the builder has no input"
        raise RuntimeError(message)
    return pipe


def _reader(pipe: asyncio.StreamReader | None) -> asyncio.StreamReader:
    if pipe is None:
        message = "the builder has no output"
        raise RuntimeError(message)
    return pipe


@contextlib.asynccontextmanager
async def building(module: str) -> AsyncIterator[Builder]:
    """Give a builder that runs a module; its process ends with the block."""
    builder = Builder(module)
    try:
        yield builder
    finally:
        await builder.close()
