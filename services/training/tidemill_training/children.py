"""The worker's side of its training processes: start, keep one warm, hand over jobs, kill."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from tidemill_training import failures
from tidemill_training.failures import Failure
from tidemill_training.job import Result, job_to_dict, preparation, result_from_dict

if TYPE_CHECKING:
    from tidemill_training.job import Job

logger = logging.getLogger(__name__)

_KEPT: Final = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
"""What a training process may know of the environment: no address, no credential."""
_DEVICES: Final = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
_LINE: Final = 16 << 20
_KILL_SECONDS: Final = 5.0

Heard = Callable[[Mapping[str, Any]], Awaitable[None]]


class Failed(Exception):
    """An attempt failed, and of what class."""

    def __init__(self, failure: Failure, message: str) -> None:
        super().__init__(failures.text(failure, message))
        self.failure = failure


@dataclass(slots=True)
class Child:
    """One training process and the socket to it."""

    process: asyncio.subprocess.Process
    server: asyncio.Server
    connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    folder: Path

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.returncode is None

    async def hear(self) -> dict[str, Any]:
        """Return the next message; Failed when the process ends first."""
        reader, _ = await self._link()
        text = await reader.readline()
        if text:
            message: dict[str, Any] = orjson.loads(text)
            return message
        raise Failed(failures.of_exit(await self.process.wait()), self._last_words())

    async def send(self, document: Mapping[str, Any]) -> None:
        """Hand over a job."""
        _, writer = await self._link()
        writer.write(orjson.dumps(document) + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async def _link(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ended = asyncio.ensure_future(self.process.wait())
        waiting: set[asyncio.Future[Any]] = {ended, self.connected}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self.connected.done():
                return self.connected.result()
        finally:
            ended.cancel()
        raise Failed(failures.of_exit(self.process.returncode or 0), self._last_words())

    def _last_words(self) -> str:
        code = self.process.returncode
        return f"the training process ended with code {code}" if code is not None else "it ended"

    async def hang_up(self) -> None:
        """Close the link; the process then ends by itself."""
        (await self._link())[1].close()

    async def kill(self) -> None:
        """End the process and everything it started; harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), _KILL_SECONDS)
        if self.connected.done() and not self.connected.cancelled():
            self.connected.result()[1].close()
        else:
            self.connected.cancel()
        self.server.close()
        await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)


class Children:
    """Keeps one warm process; a gang's is started for its run and ends with it."""

    def __init__(self, threads: int, log_level: str = "INFO") -> None:
        self._threads = threads
        self._log_level = log_level
        self._warm: Child | None = None

    @property
    def pid(self) -> int | None:
        """The warm process, if there is one."""
        return self._warm.process.pid if self._warm is not None else None

    async def warm(self) -> None:
        """Have a process ready for the next job; returns when it is."""
        await self._ready()

    async def prepare(self, definition: bytes) -> None:
        """Have the warm process get ready for a model; Failed when the model cannot be trained."""
        child = await self._ready()
        await child.send(preparation(definition))
        async with self._using(child):
            await _outcome(child, _ignore)

    async def run(self, job: Job, processes: int, heard: Heard) -> Result:
        """Do a job in a process of its own; Failed says why it failed."""
        if processes > 1:
            return await self._gang(job, processes, heard)
        child = await self._ready()
        await child.send(job_to_dict(job))
        async with self._using(child):
            return _finished(await _outcome(child, heard))

    @contextlib.asynccontextmanager
    async def _using(self, child: Child) -> AsyncIterator[None]:
        """Keep the process if it is waiting for its next job when the block is left."""
        idle = False
        try:
            yield
            idle = True
        except Failed as error:
            idle = child.alive and error.failure is not Failure.CODE
            raise
        finally:
            if not idle:
                await self.close()

    async def hang_up(self) -> None:
        """Close the link to the warm process, as the end of this process would."""
        if self._warm is not None:
            await self._warm.hang_up()

    async def close(self) -> None:
        """End the warm process, or one whose state is unknown: the next job gets a fresh one."""
        child, self._warm = self._warm, None
        if child is not None:
            await child.kill()

    async def _ready(self) -> Child:
        if self._warm is not None and not self._warm.alive:
            await self.close()
        if self._warm is None:
            child = await self._start([sys.executable, "-m", "tidemill_training.child"], [])
            try:
                message = await child.hear()
            except (Failed, asyncio.CancelledError):
                await child.kill()
                raise
            logger.info("child.ready", extra={"pid": child.process.pid, "facts": message})
            self._warm = child
        return self._warm

    async def _gang(self, job: Job, processes: int, heard: Heard) -> Result:
        handle, name = tempfile.mkstemp(prefix="tidemill-job-", suffix=".json")
        path = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(orjson.dumps(job_to_dict(job)))
        launcher = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={processes}", f"--rdzv-id={job.run_id}"),
            *("-m", "tidemill_training.child"),
        ]
        child = await self._start(launcher, [name])
        try:
            return _finished(await _outcome(child, heard))
        finally:
            await child.kill()
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _start(self, program: list[str], arguments: list[str]) -> Child:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="tidemill-"))
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = (
            loop.create_future()
        )

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not connected.done():
                connected.set_result((reader, writer))

        path = str(folder / "link")
        server = await asyncio.start_unix_server(accept, path, limit=_LINE)
        process = await asyncio.create_subprocess_exec(
            *program,
            path,
            *arguments,
            env=self._environment(),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        return Child(process, server, connected, folder)

    def _environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in (*_KEPT, *_DEVICES) if name in os.environ}
        threads = str(self._threads)
        return {
            **kept,
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "PYTHONHASHSEED": "0",
            "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
            "TIDEMILL_LOG_LEVEL": self._log_level,
        }


async def _outcome(child: Child, heard: Heard) -> Mapping[str, Any]:
    """Pass on what the process says until it is done; Failed when it has failed."""
    while True:
        message = await child.hear()
        match message["kind"]:
            case "done" | "prepared":
                return message
            case "failed":
                raise Failed(Failure(message["failure"]), str(message["error"]))
            case _:
                await heard(message)


def _finished(message: Mapping[str, Any]) -> Result:
    return result_from_dict(message["result"])


async def _ignore(_: Mapping[str, Any]) -> None:
    """Hear nothing: no run is told about getting ready."""
