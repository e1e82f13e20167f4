"""How far one partition of a foreign topic is in each topic it is bridged to; pure.

Every record of events says in a header up to which offset of its source it goes: below that,
whatever of the source belongs into its partition is there. The dead letters say it by their
origin. What a new owner of the source finds there it does not append again, however long ago that
was; where it begins to look is the note that was committed with the offset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from tidemill_common.events import Headers, header

HEADER: Final = "bridged"
MAX_NOTE: Final = 4_000
"""Characters; the broker takes 4,096 bytes beside an offset."""


def bridged(topic: str, partition: int, next_offset: int) -> tuple[str, bytes]:
    """Return the header of a record whose source goes up to `next_offset`."""
    return HEADER, f"{topic}/{partition}/{next_offset}".encode()


def bridged_to(headers: Headers, topic: str, partition: int) -> int:
    """Return up to which offset of a source a record of events goes; 0 if it is of another."""
    text = header(headers, HEADER) or ""
    found = text.rsplit("/", 2)
    if found[:-1] != [topic, str(partition)] or not found[-1].isdigit():
        return 0
    return int(found[-1])


def dead_to(headers: Headers, topic: str, partition: int) -> int:
    """Return up to which offset of a source a dead letter goes; 0 if it is of another."""
    if header(headers, "dlq-topic") != topic or header(headers, "dlq-partition") != str(partition):
        return 0
    text = header(headers, "dlq-offset") or ""
    return int(text) + 1 if text.isdigit() else 0


@dataclass(slots=True)
class Progress:
    """The targets are the partitions of events, and then the dead letters.

    `done`: below it the source is in the target. `looked`: no record of the source that lies
    beyond the owner's position is in the target before that place.
    """

    done: npt.NDArray[np.int64]
    looked: npt.NDArray[np.int64]

    @classmethod
    def fresh(cls, looked: Sequence[int], committed: int = 0) -> Progress:
        """Begin with what was committed: below it all is done, and the note speaks of the rest."""
        return cls(np.full(len(looked), committed, np.int64), np.asarray(looked, np.int64))

    def missing(
        self, partitions: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return which rows their partitions do not hold yet."""
        return offsets >= self.done[partitions]

    @property
    def dead(self) -> int:
        """Return the offset below which the dead letters are complete."""
        return int(self.done[-1])

    def reached(self, next_offset: int, ends: npt.NDArray[np.int64]) -> None:
        """Everything below `next_offset` is in every target; these end at `ends` or later."""
        settled = self.done <= next_offset
        self.looked = np.where(settled, np.maximum(self.looked, ends), self.looked)
        self.done = np.maximum(self.done, next_offset)

    def note(self) -> str:
        """Return what to keep beside the offset; empty if it would be too long."""
        text = orjson.dumps(self.looked.tolist()).decode()
        return text if len(text) <= MAX_NOTE else ""


def places(note: str, targets: int) -> list[int]:
    """Return from where each target must be looked through: its start unless the note knows."""
    try:
        found = orjson.loads(note) if note else []
    except orjson.JSONDecodeError:
        found = []
    good = isinstance(found, list) and len(found) == targets
    if not good or not all(isinstance(place, int) and place >= 0 for place in found):
        return [0] * targets
    return found
