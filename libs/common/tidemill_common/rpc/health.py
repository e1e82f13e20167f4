"""Readiness and liveness by the standard health service, set from anywhere in the process."""

from __future__ import annotations

import asyncio

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

_STATUS = health_pb2.HealthCheckResponse.ServingStatus


class Health:
    """What the health service answers; `ready=False` waits for a first `set(True)`."""

    def __init__(self, *, ready: bool = True) -> None:
        """Begin as ready or not."""
        self.servicer = HealthServicer()
        self._states = {"": ready}
        self._followers: set[str] = set()
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Say whether the process as a whole serves."""
        return self._states[""] and not self._closed

    def set(self, serving: bool, service: str = "") -> None:  # noqa: FBT001 (reads well)
        """Say whether the process (or one service of it) serves; not after it began to stop.

        A service that was never set by its own name is as the process.
        """
        self._states[service] = serving
        self._followers.discard(service)
        if not service:
            self._states.update(dict.fromkeys(self._followers, serving))
        self.publish_all()

    def follow(self, service: str) -> None:
        """Let a service be as the process, unless it was set by its own name."""
        if service not in self._states:
            self._states[service] = self._states[""]
            self._followers.add(service)

    def close(self) -> None:
        """Answer NOT_SERVING from now on, whatever else is set."""
        self._closed = True
        self.publish_all()

    def _publish(self, service: str) -> None:
        """Tell the health service, and with it everyone who watches."""
        serving = self._states[service] and not self._closed
        status = _STATUS.Value("SERVING" if serving else "NOT_SERVING")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # before the loop runs: `serve` publishes again
            return
        task = loop.create_task(self.servicer.set(service, status))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def publish_all(self) -> None:
        """Tell the health service everything that is set."""
        for service in list(self._states):
            self._publish(service)
