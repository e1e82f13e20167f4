"""The generation that is built beside the one that is read, as a replica sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_common.followed_view import FollowedView
    from tidemill_common.kafka import TopicPartition


@dataclass(frozen=True, slots=True)
class NextGeneration:
    """Its views, those of them that are not read now in this version, and what these must reach.

    `ends` is what the streams held when the generation came. One that is held waits for a person
    when it is built; any other takes over then.
    """

    generation: str
    held: bool
    views: Mapping[str, FollowedView]
    added: Mapping[str, FollowedView]
    ends: Mapping[TopicPartition, int]

    @property
    def is_built(self) -> bool:
        """Say whether every view that it adds has decided what its streams held."""
        return all(self.has_built(name) for name in self.added)

    def has_built(self, view: str) -> bool:
        """Say whether a view that it adds has decided what its streams held."""
        return self.added[view].has_decided(self.ends)
