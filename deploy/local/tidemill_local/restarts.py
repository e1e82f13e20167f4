"""When a process that died is started again. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STABLE_S = 10.0
GIVE_UP_AFTER = 5


@dataclass(frozen=True, slots=True)
class Again:
    """Start it again after `delay_s`."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It never gets as far as answering: starting it again helps nobody."""

    deaths: int


@dataclass(frozen=True, slots=True)
class History:
    """What a process did so far: `quick` deaths in a row, `silent` ones among the last."""

    quick: int = 0
    silent: int = 0

    def died(self, *, lived_s: float, answered: bool) -> History:
        """Add a death. One after a stable life starts the count anew."""
        quick = 1 if lived_s >= STABLE_S and answered else self.quick + 1
        return replace(self, quick=quick, silent=0 if answered else self.silent + 1)

    def decide(self) -> Again | GiveUp:
        """Wait longer each time; give up on a process that never answered."""
        if self.silent >= GIVE_UP_AFTER:
            return GiveUp(self.silent)
        exponent = max(self.quick - 1, 0)
        return Again(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0**exponent))
