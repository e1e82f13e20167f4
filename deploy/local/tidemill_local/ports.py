"""Loopback ports of a stack: free when first chosen, the same at the next start."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from tidemill_local.errors import LocalError

LOOPBACK = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections: one of those could
# otherwise sit on the broker's port while it restarts.
FIRST_PORT, LAST_PORT = 20_000, 32_000
TRIES = 200
_RANDOM = random.SystemRandom()  # a seed of a test would send every stack to the same ports


def choose(names: Iterable[str], file: Path) -> dict[str, int]:
    """Give each name its port of last time if that is still free, else a new one, and store it."""
    before = _stored(file)
    chosen = {name: port for name in names if (port := before.get(name)) and is_free(port)}
    for name in names:
        if name not in chosen:
            chosen[name] = _new_port({*before.values(), *chosen.values()})
    file.write_text(json.dumps(before | chosen, indent=1, sort_keys=True))
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _new_port(taken: set[int]) -> int:
    for _ in range(TRIES):
        port = _RANDOM.randint(FIRST_PORT, LAST_PORT)
        if port not in taken and is_free(port):
            return port
    raise LocalError(f"no free port between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}")


def _stored(file: Path) -> dict[str, int]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return {name: port for name, port in found.items() if isinstance(port, int)}
