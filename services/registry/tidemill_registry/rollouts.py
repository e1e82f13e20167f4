"""Pure: which versions of a model take traffic, and how that may move.

Every move takes the row as it is and gives the row as it should be, with the versions that stop
being a target. The row is stored by compare-and-set on its table version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tidemill.errors import FailedPrecondition

SALT_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Rollout:
    """The routing table's source for one model; 0 stands for no version."""

    model: str
    champion: int = 0
    challenger: int = 0
    previous_champion: int = 0
    share: float = 0.0
    salt: str = ""
    table_version: int = 0
    champion_digest: str = ""
    challenger_digest: str = ""
    reason: str = ""
    changed: datetime | None = None

    @property
    def canary(self) -> bool:
        """Tell whether a challenger takes a share."""
        return self.challenger != 0


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move leads to: the new row, and what is archived by it."""

    rollout: Rollout
    archived: tuple[int, ...] = ()


def supersedes(row: Rollout, number: int) -> bool:
    """Tell whether a validated version is newer than all that take traffic."""
    return number > max(row.champion, row.challenger)


def open_rollout(row: Rollout, number: int, canary: float, reason: str) -> Moved:
    """Bring a validated version in: at once if it is the first or no canary is asked for."""
    if not row.champion or canary <= 0:
        return promote(row, number, reason)
    opened = replace(
        row, challenger=number, share=canary, salt=salt_of(row.model, number), reason=reason
    )
    return Moved(opened, _others((row.challenger,), opened))


def promote(row: Rollout, number: int, reason: str) -> Moved:
    """Make a version champion; the champion of now becomes the target of a rollback."""
    if row.champion == number:
        raise FailedPrecondition(f"{row.model}/{number} is the champion already")
    promoted = replace(
        row,
        champion=number,
        challenger=0,
        previous_champion=row.champion,
        share=0.0,
        salt="",
        reason=reason,
    )
    return Moved(promoted, _others((row.challenger, row.previous_champion), promoted))


def promote_challenger(row: Rollout, reason: str) -> Moved:
    """End a canary well."""
    return promote(row, _challenger(row), reason)


def abort(row: Rollout, reason: str) -> Moved:
    """End a canary badly: the champion stays alone."""
    challenger = _challenger(row)
    alone = replace(row, challenger=0, share=0.0, salt="", reason=reason)
    return Moved(alone, _others((challenger,), alone))


def roll_back(row: Rollout, reason: str) -> Moved:
    """Return to the previous champion and drop a challenger; without either it is refused."""
    if not row.previous_champion:
        if row.canary:
            return abort(row, reason)
        raise FailedPrecondition(
            f"model {row.model!r} has no previous champion to return to",
            hint="promote a version by its number",
        )
    back = replace(
        row,
        champion=row.previous_champion,
        challenger=0,
        previous_champion=0,
        share=0.0,
        salt="",
        reason=reason,
    )
    return Moved(back, _others((row.champion, row.challenger), back))


def salt_of(model: str, number: int) -> str:
    """Return the salt of a canary: another one for each challenger, the same everywhere."""
    return hashlib.sha256(f"{model}/{number}".encode()).hexdigest()[:SALT_DIGITS]


def _challenger(row: Rollout) -> int:
    if not row.canary:
        raise FailedPrecondition(f"model {row.model!r} has no challenger")
    return row.challenger


def _others(numbers: tuple[int, ...], row: Rollout) -> tuple[int, ...]:
    """Return those of the numbers that the new row does not name any more."""
    kept = {0, row.champion, row.challenger, row.previous_champion}
    return tuple(sorted(set(numbers) - kept))
