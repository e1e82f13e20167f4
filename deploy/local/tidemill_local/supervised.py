"""One process under supervision: started, probed, restarted when it dies, stopped when told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tidemill_local.errors import LocalError
from tidemill_local.identity import Identity, signal_group
from tidemill_local.program import Program, Readiness
from tidemill_local.restarts import Again, GiveUp, History
from tidemill_local.stack_file import ProcessState, ProcessView

FIRST_PROBE_S = 0.05
LONGEST_PROBE_S = 0.25
WATCH_S = 5.0
LAST_WORDS_BYTES, LAST_WORDS_CHARS = 4096, 300
LOG_LIMIT_BYTES = 64 * 1024 * 1024


class Supervised:
    """Keeps one program running until `stop`.

    Lives on one event loop; `kill`, `pause` and `resume` only send signals and may be called
    from any thread.
    """

    def __init__(self, program: Program, log: Path, changed: Callable[[], None]) -> None:
        self.program = program
        self._log = log
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._identity: Identity | None = None
        self._state = ProcessState.STOPPED
        self._message = ""
        self._restarts = 0
        self._ready_after_s: float | None = None
        self._history = History()
        self._answered = False
        self._stopping = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def view(self) -> ProcessView:
        """The process as others see it."""
        return ProcessView(
            name=self.program.name,
            state=self._state,
            log=str(self._log),
            identity=self._identity,
            restarts=self._restarts,
            ready_after_s=self._ready_after_s,
            message=self._message,
            metrics=self.program.environment.get("TIDEMILL_METRICS_LISTEN", ""),
        )

    def start(self) -> None:
        """Begin to run it and keep it running; a second call changes nothing."""
        if self._task is not None and not self._task.done():
            return
        self._stopping.clear()
        self._settled.clear()
        self._history = History()
        self._task = asyncio.create_task(self._keep_running(), name=self.program.name)

    async def settled(self) -> None:
        """Wait until it answers or is given up on."""
        await self._settled.wait()

    async def stop(self) -> None:
        """Ask it to end, insist after its grace, and keep it ended."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._ask_to_end(self._process)
            try:
                await asyncio.wait_for(self._process.wait(), self.program.grace_s)
            except TimeoutError:
                signal_group(self._process.pid, signal.SIGKILL)
        if self._task is not None:
            await self._task
        self._set(ProcessState.STOPPED)

    def kill(self) -> None:
        """SIGKILL it and what it started; it comes back by itself."""
        self._history = History()
        self._signal(signal.SIGKILL)

    async def kill_and_hold(self) -> None:
        """SIGKILL it and keep it ended until `start`."""
        self._stopping.set()
        self._signal(signal.SIGKILL)
        if self._task is not None:
            await self._task
        self._set(ProcessState.STOPPED)

    def pause(self) -> None:
        """SIGSTOP it and what it started."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def trim_log(self) -> None:
        """Keep the log bounded: past the limit it becomes the old log, in place."""
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT_BYTES:
            shutil.copyfile(self._log, self._log.with_suffix(".log.1"))
            os.truncate(self._log, 0)  # the process appends, so it goes on at the start

    def _ask_to_end(self, process: asyncio.subprocess.Process) -> None:
        signal_group(process.pid, signal.SIGCONT)
        try:
            process.send_signal(self.program.stop_signal)
        except ProcessLookupError:
            return

    def _signal(self, number: int) -> None:
        if self._identity is not None and self._identity.is_alive():
            signal_group(self._identity.pid, number)

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            lived_s, how = await self._run_once()
            if self._stopping.is_set():
                return
            self._history = self._history.died(lived_s=lived_s, answered=self._answered)
            match self._history.decide():
                case GiveUp(deaths):
                    self._set(ProcessState.FAILED, f"{deaths} times in a row it {how}")
                    self._settled.set()
                    return
                case Again(delay_s):
                    self._restarts += 1
                    self._set(ProcessState.RESTARTING, how)
                    await self._pause_unless_stopping(delay_s)

    async def _run_once(self) -> tuple[float, str]:
        """Run it to its end; say how long it lived and how it ended."""
        began = time.monotonic()
        self._answered = False
        self._set(ProcessState.STARTING, self._message)
        try:
            await asyncio.to_thread(self._prepare)
            process = await self._spawn()
        except (OSError, LocalError) as error:
            return 0.0, f"cannot be started: {error}"
        watcher = asyncio.create_task(self._watch(began))
        try:
            code = await process.wait()
        finally:
            watcher.cancel()
            signal_group(process.pid, signal.SIGKILL)  # what it started must not outlive it
            self._identity = None
        how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return time.monotonic() - began, f"{how}, see {self._log}{self._last_words()}"

    def _prepare(self) -> None:
        self.program.folder.mkdir(parents=True, exist_ok=True)
        self.program.prepare()
        if shutil.which(self.program.argv[0]) is None:
            raise LocalError(f"there is no program {self.program.argv[0]}")

    async def _spawn(self) -> asyncio.subprocess.Process:
        user = self.program.user
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.wrapper,  # first: the kernel forgets the wish when the user changes
                *_ends_with_supervisor(),
                *self.program.argv,
                cwd=self.program.folder,
                env={**os.environ, **self.program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=None if user is None else pwd.getpwnam(user).pw_gid,
                extra_groups=None if user is None else [],
            )
        self._identity = Identity.if_there(self._process.pid)
        self._changed()
        if self._stopping.is_set():  # told to stop while it was being prepared
            self._ask_to_end(self._process)
        return self._process

    async def _watch(self, began: float) -> None:
        """Probe it until it is ready, then now and then."""
        pause_s = FIRST_PROBE_S
        while True:
            found = await asyncio.to_thread(self.program.probe)
            self._note(found, time.monotonic() - began)
            await asyncio.sleep(pause_s)
            is_ready = self._state is ProcessState.READY
            pause_s = WATCH_S if is_ready else min(pause_s * 1.5, LONGEST_PROBE_S)

    def _note(self, found: Readiness, after_s: float) -> None:
        if found is Readiness.NO:
            if self._answered:
                self._set(ProcessState.UP, "does not answer its health check")
            return
        self._answered = True
        if found is Readiness.READY:
            if self._state is not ProcessState.READY:
                self._ready_after_s = round(after_s, 2)
            self._set(ProcessState.READY)
            self._settled.set()
        else:
            self._set(ProcessState.UP, "answers, but has nothing to serve yet")
            if after_s >= self.program.patience_s:
                self._settled.set()

    def _set(self, state: ProcessState, message: str = "") -> None:
        if (state, message) != (self._state, self._message):
            self._state, self._message = state, message
            self._changed()

    def _last_words(self) -> str:
        try:
            lines = self._log.read_bytes()[-LAST_WORDS_BYTES:].decode(errors="replace").splitlines()
        except OSError:
            return ""
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f" ({last[:LAST_WORDS_CHARS]})" if last else ""

    async def _pause_unless_stopping(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay_s)


def _ends_with_supervisor() -> tuple[str, ...]:
    """Give the command in front of a program that asks it to end if we are killed.

    Without setpriv (util-linux) the processes of a killed supervisor stay until the next `up` or
    `down` of its folder.
    """
    setpriv = shutil.which("setpriv")
    return () if setpriv is None else (setpriv, "--pdeathsig", "TERM", "--")
