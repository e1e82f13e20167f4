"""How far the generation is that is built beside the served one, and for how long still: pure."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from tidemill.features.v1 import feature_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_common.next_generation import NextGeneration

SPAN_SECONDS: Final = 60.0
APART_SECONDS: Final = 1.0


class Pace:
    """How fast a build goes, by what was seen of it in the last minute."""

    def __init__(self) -> None:
        self._generation = ""
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, generation: str, at_s: float, records: int) -> None:
        """Note how many records a build had decided; another generation begins anew."""
        if generation != self._generation:
            self._generation = generation
            self._seen.clear()
        if not self._seen or at_s - self._seen[-1][0] >= APART_SECONDS:
            self._seen.append((at_s, records))
        while at_s - self._seen[0][0] > SPAN_SECONDS:
            self._seen.popleft()

    def seconds_for(self, records: int) -> float | None:
        """Return how long so many records more will take; None while nobody can say."""
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        if last <= first:
            return None
        return records * (last_s - first_s) / (last - first)


def next_message(
    coming: NextGeneration, views: Sequence[pb.ViewState], pace: Pace, at_s: float
) -> pb.NextGeneration:
    """Write how far a generation is, from the state of each partition that it adds."""
    state = pb.NEXT_STATE_BUILDING
    if coming.is_built:
        state = pb.NEXT_STATE_HELD if coming.held else pb.NEXT_STATE_TAKING_OVER
    message = pb.NextGeneration(
        generation=coming.generation,
        state=state,
        held=coming.held,
        views=views,
        records=sum(min(max(one.position, 0), one.source_end) for one in views),
        records_total=sum(one.source_end for one in views),
    )
    pace.saw(coming.generation, at_s, message.records)
    remaining = pace.seconds_for(message.records_total - message.records)
    if state == pb.NEXT_STATE_BUILDING and remaining is not None:
        message.remaining.FromMilliseconds(round(remaining * 1_000))
    return message
