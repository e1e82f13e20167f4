"""Run a service until it is told to stop: settings, logs, telemetry, signals, exit codes.

Exit 0: stopped as asked. 1: a loop crashed, logged once. 2: bad settings, all named. 130: a second
signal while stopping. This is the only module that catches every Exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn, TypeVar

from tidemill.errors import Misconfigured
from tidemill_common import log, metrics, metrics_http, telemetry
from tidemill_common.beside import alone
from tidemill_common.settings import Common, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

S = TypeVar("S", bound=Common)
T = TypeVar("T")

CRASHED = 1
BAD_SETTINGS = 2
INTERRUPTED = 130
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

logger = logging.getLogger(__name__)


def main(
    name: str,
    settings: type[S],
    serve: Callable[[S, asyncio.Event], Awaitable[None]],
    *,
    uvloop: bool = True,
) -> NoReturn:
    """Load the settings, run `serve` with a stop event, exit with a code that says how it went."""
    try:
        loaded = load(settings, name)
    except Misconfigured as error:
        _complain(name, error)
        sys.exit(BAD_SETTINGS)
    log.configure(name, loaded.log_level)
    try:
        with (
            telemetry.exporting(name, loaded.zipkin, ratio=loaded.trace_ratio),
            metrics_http.serving(loaded.metrics_listen) as address,
            asyncio.Runner(loop_factory=_loop_factory(uvloop=uvloop)) as runner,
        ):
            logger.info("app.started", extra={"metrics": address, "pid": os.getpid()})
            runner.run(_run(loaded, serve))
    except Misconfigured as error:
        _complain(name, error)
        sys.exit(BAD_SETTINGS)
    except Exception:
        logger.exception("app.crashed")
        sys.exit(CRASHED)
    logger.info("app.stopped")
    sys.exit(0)


async def _run(settings: S, serve: Callable[[S, asyncio.Event], Awaitable[None]]) -> None:
    """Run `serve`; a single failure leaves the groups around it, so that it is read at once."""
    stop = asyncio.Event()
    metrics.gauge("tidemill_loop_tasks").set_function(_tasks_of(asyncio.get_running_loop()))
    with _stopping(stop):
        try:
            await serve(settings, stop)
        except BaseExceptionGroup as group:
            only = alone(group)
            if only is group:
                raise
            raise only from None


def _tasks_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Return what counts the tasks of a loop, from whichever thread asks."""
    return lambda: float(len(asyncio.all_tasks(loop)))


@contextlib.contextmanager
def _stopping(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on the first signal and leave the process on the second."""
    loop = asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        logger.info("app.stopping")
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _loop_factory(*, uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return the maker of the event loop; without the uvloop package asyncio's own serves."""
    if uvloop:
        with contextlib.suppress(ImportError):
            from uvloop import new_event_loop

            return new_event_loop
    return asyncio.new_event_loop


def _complain(name: str, error: Misconfigured) -> None:
    """Write what is wrong with the settings, one line each, without a trace."""
    for line in error.message.splitlines():
        sys.stderr.write(f"{name}: {line}\n")
    if error.hint:
        sys.stderr.write(f"{name}: {error.hint}\n")
    sys.stderr.flush()


async def until(stop: asyncio.Event, seconds: float) -> bool:
    """Sleep, or less when told to stop; return whether to stop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
    return stop.is_set()


async def unless_told(stop: asyncio.Event, work: Coroutine[None, None, T]) -> T | None:
    """Do some work; None if it was given up, cancelled, because it is time to stop."""
    doing, told = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        doing.cancel()
        told.cancel()
        await asyncio.gather(doing, told, return_exceptions=True)
