"""The blocking client: the asyncio client, run on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from tidemill import addresses
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient

P = ParamSpec("P")
R = TypeVar("R")


def _blocking(
    method: Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Client, P], R]:
    """The same method, waiting for its result; signature and documentation stay."""

    def wait(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return client.wait_for(method(client.asynchronous, *args, **kwargs))

    wait.__doc__ = method.__doc__
    wait.__name__ = method.__name__
    return wait


def _iterating(
    method: Callable[Concatenate[AsyncClient, P], AsyncIterator[R]],
) -> Callable[Concatenate[Client, P], Iterator[R]]:
    """The same stream, as a blocking iterator."""

    def iterate(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        replies = method(client.asynchronous, *args, **kwargs)

        async def following() -> R:
            return await anext(replies)

        while True:
            try:
                yield client.wait_for(following())
            except StopAsyncIteration:
                return

    iterate.__doc__ = method.__doc__
    iterate.__name__ = method.__name__
    return iterate


class Client:
    """Every service of one stack, blocking. Use it as a context manager, from any thread."""

    def __init__(self, where: Addresses, *, author: str = "sdk") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tidemill-client", daemon=True
        )
        self._thread.start()
        self.asynchronous = AsyncClient(where, author=author)

    def wait_for(self, work: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the client's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close the channels and end the thread; a repeat is harmless."""
        if self._loop.is_closed():
            return
        self.wait_for(self.asynchronous.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    publish = _blocking(AsyncClient.publish)
    publish_arrow = _blocking(AsyncClient.publish_arrow)
    dead_letters = _blocking(AsyncClient.dead_letters)
    replay_dead_letters = _blocking(AsyncClient.replay_dead_letters)
    get_features = _blocking(AsyncClient.get_features)
    describe_views = _blocking(AsyncClient.describe_views)
    describe_view = _blocking(AsyncClient.describe_view)
    feature_history = _blocking(AsyncClient.feature_history)
    explain_features = _blocking(AsyncClient.explain_features)
    build_training_set = _blocking(AsyncClient.build_training_set)
    verify_vectors = _blocking(AsyncClient.verify_vectors)
    predict = _blocking(AsyncClient.predict)
    routing = _blocking(AsyncClient.routing)
    apply = _blocking(AsyncClient.apply)
    project = _blocking(AsyncClient.project)
    hold = _blocking(AsyncClient.hold)
    switch = _blocking(AsyncClient.switch)
    abort = _blocking(AsyncClient.abort)
    diff_features = _blocking(AsyncClient.diff_features)
    versions = _blocking(AsyncClient.versions)
    version = _blocking(AsyncClient.version)
    rollouts = _blocking(AsyncClient.rollouts)
    promote = _blocking(AsyncClient.promote)
    roll_back = _blocking(AsyncClient.roll_back)
    lineage = _blocking(AsyncClient.lineage)
    audit = _blocking(AsyncClient.audit)
    verify_audit = _blocking(AsyncClient.verify_audit)
    plan_erasure = _blocking(AsyncClient.plan_erasure)
    erase = _blocking(AsyncClient.erase)
    erasure = _blocking(AsyncClient.erasure)
    erasures = _blocking(AsyncClient.erasures)
    submit_run = _blocking(AsyncClient.submit_run)
    runs = _blocking(AsyncClient.runs)
    run = _blocking(AsyncClient.run)
    watch_run = _iterating(AsyncClient.watch_run)
    cancel_run = _blocking(AsyncClient.cancel_run)
    decisions = _blocking(AsyncClient.decisions)
    alerts = _blocking(AsyncClient.alerts)
    acknowledge = _blocking(AsyncClient.acknowledge)
    quality = _blocking(AsyncClient.quality)
    drift = _blocking(AsyncClient.drift)
    report = _blocking(AsyncClient.report)


def connect(where: Addresses | None = None, *, author: str = "sdk") -> Client:
    """Connect to the stack that the environment or the nearest stack file names."""
    return Client(where or addresses.find(), author=author)
