"""A running stack on one event loop: starts in waves, keeps stack.json true, stops in reverse."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from tidemill_local import stack_file
from tidemill_local.errors import LocalError
from tidemill_local.identity import Identity, end_leftovers
from tidemill_local.kafka import Edge
from tidemill_local.layout import Data, Parts
from tidemill_local.plan import PARTS, Plan, plan
from tidemill_local.program import Program
from tidemill_local.stack_file import ProcessState, ProcessView, StackState, StackView
from tidemill_local.supervised import Supervised

START_LIMIT_S = 180.0
LEFTOVER_GRACE_S = 10.0
HOUSEKEEPING_S = 20.0


class Stack:
    """Owns every process of one data folder, from `start` to `stop`."""

    def __init__(
        self,
        data: Path,
        parts: Path,
        *,
        services: Sequence[str] | None = None,
        parts_wanted: Sequence[str] = PARTS,
        edges: Sequence[Edge] = (),
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.data = Data(data.resolve())
        self._parts = Parts(parts)
        self._services = services
        self._parts_wanted = parts_wanted
        self._edges = edges
        self._say = say
        self._lock: IO[str] | None = None
        self._plan = Plan((), {})
        self._waves: list[list[Supervised]] = []
        self._state = StackState.STARTING
        self._housekeeping: asyncio.Task[None] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Every address, by the name of its variable."""
        return self._plan.environment

    @property
    def view(self) -> StackView:
        """The stack as others see it."""
        state = self._state
        processes = [one.view for one in self._all()]
        if state is StackState.READY and not all(_is_well(one) for one in processes):
            state = StackState.DEGRADED
        return StackView(
            state=state,
            supervisor=Identity.of(os.getpid()),
            environment=self.environment,
            processes=processes,
            message="; ".join(f"{one.name} {one.message}" for one in processes if _is_ill(one)),
        )

    def process(self, name: str) -> Supervised:
        """Find one process by name."""
        for one in self._all():
            if one.program.name == name:
                return one
        there = ", ".join(one.program.name for one in self._all())
        raise LocalError(f"no process {name} in this stack; there are {there}")

    async def start(self) -> None:
        """Start every wave and wait until it answers; on failure stop all and say why."""
        self.data.logs.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            await self._start_locked()
        except BaseException:
            await self.stop()
            raise

    async def add(self, programs: Sequence[Program]) -> None:
        """Run further programs beside the others until the stack stops; wait until they answer."""
        wave = self._supervised(programs)
        self._waves.append(wave)
        await self._start_wave(wave, time.monotonic() + START_LIMIT_S)

    async def stop(self) -> None:
        """Stop every process, last wave first; a stack that is stopped stays as it is."""
        self._set(StackState.STOPPING)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        for wave in reversed(self._waves):
            await asyncio.gather(*(one.stop() for one in wave))
        self._set(StackState.STOPPED)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def abort(self) -> None:
        """Kill what still runs while `stop` waits for it."""
        for one in self._all():
            one.kill()

    async def _start_locked(self) -> None:
        await asyncio.to_thread(self._end_leftovers)
        self._plan = await asyncio.to_thread(
            plan,
            self.data,
            self._parts,
            services_wanted=self._services,
            parts_wanted=self._parts_wanted,
            edges=self._edges,
        )
        for programs in self._plan.waves:
            self._waves.append(self._supervised(programs))
        end = time.monotonic() + START_LIMIT_S
        for wave in self._waves:
            await self._start_wave(wave, end)
        self._set(StackState.READY)
        self._housekeeping = asyncio.create_task(self._keep_house())

    def _supervised(self, programs: Sequence[Program]) -> list[Supervised]:
        return [Supervised(one, self._fresh_log(one.name), self._changed) for one in programs]

    async def _start_wave(self, wave: list[Supervised], end: float) -> None:
        for one in wave:
            one.start()
        waiting = {asyncio.create_task(self._settle(one)) for one in wave}
        if not waiting:
            return
        done, late = await asyncio.wait(
            waiting, timeout=end - time.monotonic(), return_when=asyncio.FIRST_EXCEPTION
        )
        for task in late:
            task.cancel()
        for task in done:
            task.result()
        if late:
            names = ", ".join(
                f"{one.program.name} (see {one.view.log})"
                for one in wave
                if one.view.state not in {ProcessState.READY, ProcessState.UP}
            )
            raise LocalError(f"not ready after {START_LIMIT_S:.0f} s: {names}")

    async def _settle(self, one: Supervised) -> None:
        await one.settled()
        view = one.view
        if view.state is ProcessState.FAILED:
            raise LocalError(f"{view.name} cannot run: {view.message}")
        after = "" if view.ready_after_s is None else f" after {view.ready_after_s:.1f} s"
        self._say(f"{view.name:20} {view.state.value}{after}")

    def _take_lock(self) -> None:
        lock = self.data.lock_file.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise LocalError(
                f"a stack runs in {self.data.root} already: use it, or stop it with `down`"
            ) from None
        self._lock = lock

    def _end_leftovers(self) -> None:
        before = stack_file.read(self.data.stack_file)
        if before is None:
            return
        if ended := end_leftovers(before.leftovers, LEFTOVER_GRACE_S):
            self._say(f"ended {ended} processes that an earlier run had left behind")

    def _fresh_log(self, name: str) -> Path:
        log = self.data.log(name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        return log

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            for one in self._all():
                await asyncio.to_thread(one.trim_log)

    def _all(self) -> list[Supervised]:
        return [one for wave in self._waves for one in wave]

    def _set(self, state: StackState) -> None:
        self._state = state
        self._changed()

    def _changed(self) -> None:
        if self._lock is not None:
            stack_file.write(self.view, self.data.stack_file)


def _is_well(view: ProcessView) -> bool:
    return view.state in {ProcessState.READY, ProcessState.UP, ProcessState.STOPPED}


def _is_ill(view: ProcessView) -> bool:
    return view.state in {ProcessState.RESTARTING, ProcessState.FAILED}
