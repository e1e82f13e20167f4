"""Build what the next generation adds in a process of its own, while this one goes on.

The worker gives the process an order as one line, and keeps its input open; the process answers
with one line when nothing that the generation adds is far behind any more, and ends when its input
does. Each worker has built what comes from the partitions that it owns, and all wait for all of it,
so that they change over together.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from tidemill_common.kafka import TopicPartition
from tidemill_features.definitions import Work, work_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidemill_common.project_source import Applied

logger = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "tidemill_features.successor")
READY: Final = b"ready\n"
LOOK_SECONDS: Final = 0.5
"""How often the worker looks whether it still owns what is being built."""
AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built: views of a generation that are not at work, of some partitions."""

    generation: str
    present: Mapping[str, str]
    partitions: frozenset[TopicPartition]

    def to_line(self) -> bytes:
        """Write it as one line."""
        places = sorted([tp.topic, tp.partition] for tp in self.partitions)
        said = {"generation": self.generation, "present": self.present, "partitions": places}
        return orjson.dumps(said) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Order:
        """Read it."""
        said = orjson.loads(line)
        places = frozenset(TopicPartition(topic, number) for topic, number in said["partitions"])
        return cls(said["generation"], said["present"], places)


async def prepare(
    applied: Applied, present: Work, owned: Callable[[], frozenset[TopicPartition]]
) -> None:
    """Return when this worker may become one of the generation; until then it may go on.

    A process that fails is started again, and so it is when other partitions are owned.
    """
    if not work_of(applied.project, "").beside(present.versions).streams:
        return
    logger.info("generation.building", extra={"generation": applied.generation})
    while not await _built(Order(applied.generation, present.versions, owned()), owned):
        logger.warning("generation.not_built", extra={"generation": applied.generation})
        await asyncio.sleep(AGAIN_SECONDS)
    logger.info("generation.built", extra={"generation": applied.generation})


async def _built(order: Order, owned: Callable[[], frozenset[TopicPartition]]) -> bool:
    """Let a process carry out an order; False if it died, or the order no longer holds."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        env=os.environ | {"TIDEMILL_METRICS_LISTEN": ""},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stdout is None:
        message = "the successor has no pipes"
        raise RuntimeError(message)
    answer = asyncio.ensure_future(process.stdout.readline())
    try:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(order.to_line())
            await process.stdin.drain()
        while not answer.done() and owned() == order.partitions:
            await asyncio.wait({answer}, timeout=LOOK_SECONDS)
        return answer.done() and answer.result() == READY
    finally:
        answer.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
