"""Build views that are not at work in a process of its own, while this one goes on.

They are what the next generation adds, or what was far behind when the worker started.

The worker gives the process an order as one line, and keeps its input open; the process answers
with one line when none of them is far behind any more, and ends when its input does. Each worker
has built what comes from the partitions that it owns, and all wait for all of it, so that they
change over together. A held generation is built in the same way, and then worked on beside the
current one.
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
from tidemill_features.definitions import all_work, generation_text, work_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemill_common.project_source import Applied
    from tidemill_features.definitions import Work

logger = logging.getLogger(__name__)

COMMAND: Final = (sys.executable, "-m", "tidemill_features.successor")
READY: Final = b"ready\n"
LOOK_SECONDS: Final = 0.5
"""How often the worker looks whether it still owns what is being built."""
AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be built: views of a generation that are not at work, of some partitions.

    Log records carry `text`, the name of the generation that is current then.
    """

    generation: str
    text: str
    present: frozenset[str]
    partitions: frozenset[TopicPartition]

    def to_line(self) -> bytes:
        """Write it as one line."""
        places = sorted([tp.topic, tp.partition] for tp in self.partitions)
        said = {
            "generation": self.generation,
            "text": self.text,
            "present": sorted(self.present),
            "partitions": places,
        }
        return orjson.dumps(said) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Order:
        """Read it."""
        said = orjson.loads(line)
        places = frozenset(TopicPartition(topic, number) for topic, number in said["partitions"])
        return cls(said["generation"], said["text"], frozenset(said["present"]), places)


async def prepare(
    applied: Applied,
    present: Applied,
    at_work: frozenset[str],
    owned: Callable[[], frozenset[TopicPartition]],
) -> None:
    """Return when this worker may go over to what is applied; never if it is at work on all that.

    What is held is built only beside a generation that is at work already, so that no switch waits
    for it. A process that fails is started again, and so it is when other partitions are owned.
    """
    if applied.generations == present.generations and all_work(applied).keys <= at_work:
        await asyncio.Event().wait()
    generation, added = _missing(applied, present, at_work)
    if not added.streams:
        return
    logger.info("generation.building", extra={"generation": generation})
    while not await _built(Order(generation, added.generation, at_work, owned()), owned):
        logger.warning("generation.not_built", extra={"generation": generation})
        await asyncio.sleep(AGAIN_SECONDS)
    logger.info("generation.built", extra={"generation": generation})


def _missing(applied: Applied, present: Applied, at_work: frozenset[str]) -> tuple[str, Work]:
    """Return what is to be built next, and of which generation it is."""
    text, held = generation_text(applied), applied.held
    added = work_of(applied.project, text).beside(at_work)
    if held is not None and applied.generation == present.generation and not added.streams:
        return held.generation, work_of(held.project, text).beside(at_work)
    return applied.generation, added


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
