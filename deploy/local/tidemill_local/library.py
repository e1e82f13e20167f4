"""The stack for tests and scripts: `with LocalStack(folder) as stack:` (also `async with`).

The supervisor runs on an event loop in a thread of its own, so that it works beside any loop of
the caller. Methods block; from a coroutine call the waiting ones by `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tidemill_local.errors import LocalError
from tidemill_local.kafka import Edge
from tidemill_local.layout import default_parts
from tidemill_local.plan import PARTS
from tidemill_local.program import Program
from tidemill_local.services import SERVICES
from tidemill_local.stack import Stack
from tidemill_local.stack_file import ProcessState, StackView

T = TypeVar("T")
POLL_S = 0.02
READY_S = 60.0

ADDRESS_VARIABLES = {
    "kafka": "TIDEMILL_KAFKA",
    "postgres": "TIDEMILL_POSTGRES",
    "triton": "TIDEMILL_TRITON",
    "zipkin": "TIDEMILL_ZIPKIN",
    "ingestion-http": "TIDEMILL_INGESTION_HTTP",
    **{one.name: one.variable for one in SERVICES if one.variable is not None},
}


class LocalStack:
    """A stack that lives as long as the `with` block."""

    def __init__(
        self,
        data: Path,
        *,
        services: Sequence[str] | None = None,
        parts: Sequence[str] = PARTS,
        parts_folder: Path | None = None,
        edges: Sequence[Edge] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._stack = Stack(
            data,
            parts_folder or default_parts(),
            services=services,
            parts_wanted=parts,
            edges=edges,
            say=say,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stack", daemon=True)

    def start(self) -> Self:
        """Start everything and wait until it answers."""
        self._thread.start()
        try:
            self._call(self._stack.start())
        except BaseException:
            self._end_loop()
            raise
        return self

    def stop(self) -> None:
        """Stop everything in reverse order."""
        try:
            self._call(self._stack.stop())
        finally:
            self._end_loop()

    def add(self, *programs: Program) -> None:
        """Run further programs beside the others until the stack stops; wait until they answer."""
        self._call(self._stack.add(programs))

    @property
    def data(self) -> Path:
        """The folder that holds everything of this stack."""
        return self._stack.data.root

    @property
    def environment(self) -> dict[str, str]:
        """Every address, by the name of its variable."""
        return dict(self._stack.environment)

    @property
    def view(self) -> StackView:
        """States, pids and logs."""
        return self._stack.view

    def address(self, name: str) -> str:
        """Give the address of a part or a service (of PostgreSQL: its DSN)."""
        if name not in ADDRESS_VARIABLES:
            raise LocalError(f"no address of {name}; there are {', '.join(ADDRESS_VARIABLES)}")
        return self._stack.environment[ADDRESS_VARIABLES[name]]

    def pid(self, name: str) -> int:
        """Give the number of a process that runs."""
        identity = self._stack.process(name).view.identity
        if identity is None:
            raise LocalError(f"{name} does not run")
        return identity.pid

    def log(self, name: str) -> Path:
        """Name the log of a process."""
        return self._stack.data.log(name)

    def kill(self, name: str) -> None:
        """SIGKILL a process and what it started; the supervisor starts it again."""
        self._stack.process(name).kill()

    def pause(self, name: str) -> None:
        """SIGSTOP a process and what it started."""
        self._stack.process(name).pause()

    def resume(self, name: str) -> None:
        """SIGCONT it."""
        self._stack.process(name).resume()

    def stop_process(self, name: str) -> None:
        """Stop one process gracefully and keep it stopped."""
        self._call(self._stack.process(name).stop())

    def start_process(self, name: str) -> None:
        """Start one process that was stopped."""
        process = self._stack.process(name)
        self._loop.call_soon_threadsafe(process.start)

    def kill_and_hold(self, name: str) -> None:
        """SIGKILL a process and keep it away until `start_process`."""
        self._call(self._stack.process(name).kill_and_hold())

    def restart(self, name: str, timeout_s: float = READY_S) -> None:
        """Stop one process gracefully, start it, wait until it is ready."""
        self.stop_process(name)
        self.start_process(name)
        self.wait_ready(name, timeout_s)

    def wait_ready(self, name: str, timeout_s: float = READY_S) -> None:
        """Wait until a process says it is ready, not only alive."""
        self.wait_until(name, {ProcessState.READY}, timeout_s)

    def wait_up(self, name: str, timeout_s: float = READY_S) -> None:
        """Wait until a process answers, though it may have nothing to serve yet."""
        self.wait_until(name, {ProcessState.READY, ProcessState.UP}, timeout_s)

    def wait_back(self, name: str, old_pid: int, timeout_s: float = READY_S) -> None:
        """Wait until a process that was killed is ready under a new number."""
        end = time.monotonic() + timeout_s
        while (now := self._stack.process(name).view.identity) is None or now.pid == old_pid:
            if time.monotonic() > end:
                raise LocalError(f"{name} did not come back in {timeout_s:.0f} s")
            time.sleep(POLL_S)
        self.wait_ready(name, max(end - time.monotonic(), 0.0))

    def wait_until(self, name: str, states: set[ProcessState], timeout_s: float) -> None:
        """Wait until a process is in one of `states`."""
        process = self._stack.process(name)
        end = time.monotonic() + timeout_s
        while process.view.state not in states:
            view = process.view
            if view.state is ProcessState.FAILED or time.monotonic() > end:
                wanted = " or ".join(sorted(one.value for one in states))
                raise LocalError(
                    f"{name} is {view.state.value}, not {wanted}, after {timeout_s:.0f} s:"
                    f" {view.message} (see {view.log})"
                )
            time.sleep(POLL_S)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start."""
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        await asyncio.to_thread(self.stop)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
