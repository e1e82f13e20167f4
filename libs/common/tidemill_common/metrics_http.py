"""The /metrics of a process: what is in the registry, over HTTP."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import prometheus_client

from tidemill_common.metrics import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def serving(listen: str) -> Iterator[str]:
    """Serve /metrics on `listen` (host:port) from a thread; gives the address really bound.

    Empty: not served. Port 0: a free one.
    """
    if not listen:
        yield ""
        return
    host, _, port = listen.rpartition(":")
    server, thread = prometheus_client.start_http_server(
        int(port), addr=host or "127.0.0.1", registry=REGISTRY
    )
    try:
        yield f"{host or '127.0.0.1'}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
