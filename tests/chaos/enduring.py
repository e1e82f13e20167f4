"""Checkers of how it goes while a fault lasts, and of what is left of it: an empty list is the only good answer.

C17 throughput, C18 deadlines, C19 tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.checkers import Finding, finding

LEAST_SHARE: Final = 0.3
"""Of what came in or was decided before, in the storm and in every stretch of it."""
GRACE_S: Final = 0.5
"""Between a call's deadline and its end."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Records of the raw topic a second: decided before a storm and in it, and appended meanwhile.

    `worst` is of the worst stretch of `stretch_s` seconds. So many `changes` of the group there were,
    one in `change_s` on average.
    """

    before: float
    offered: float
    during: float
    worst: float
    stretch_s: float
    changes: int
    change_s: float


@dataclass(slots=True)
class Call:
    """A call of the SDK: when it began, how long it might take, when it ended (None: never).

    Moments are of a clock that stands while the harness does.
    """

    name: str
    began_s: float
    limit_s: float
    ended_s: float | None = None

    @property
    def over_s(self) -> float | None:
        """Return for how long it went on after its deadline; None: it never ended."""
        return None if self.ended_s is None else self.ended_s - self.began_s - self.limit_s


@dataclass(frozen=True, slots=True)
class Counted:
    """At `at_s` so many tasks were in the loop of a service."""

    at_s: float
    tasks: int


def throughput(found: Throughput, change_s: float) -> list[Finding]:
    """C17: in a storm workers go on, at 30 % at least of what they did before and of what comes in.

    It is one if the group has changed as often as every `change_s`.
    """
    least = LEAST_SHARE * max(found.before, found.offered)
    wrong = [
        f"{name}: {rate:.0f} records/s, {found.before:.0f} before, {found.offered:.0f} came in"
        for name, rate in (
            ("in the storm", found.during),
            (f"in {found.stretch_s:.0f} s of it", found.worst),
        )
        if rate < least or not least
    ]
    if found.change_s > change_s:
        wrong.append(f"no storm: a change in {found.change_s:.1f} s, not in {change_s:.1f} s")
    return finding("C17 throughput", f"less than {LEAST_SHARE:.0%}", wrong)


def deadlines(calls: Sequence[Call], grace_s: float) -> list[Finding]:
    """C18: every call has ended by its deadline, with an answer or an error."""
    late = [
        f"{one.name} with {one.limit_s:g} s {_over(one)}"
        for one in calls
        if one.over_s is None or one.over_s > grace_s
    ]
    return finding("C18 deadlines", f"calls that outlasted them by {grace_s:.1f} s", late)


def _over(call: Call) -> str:
    return "never ended" if call.over_s is None else f"ended {call.over_s:.1f} s too late"


def tasks(before: Mapping[str, int | None], after: Mapping[str, int | None]) -> list[Finding]:
    """C19: once it is quiet no service has more tasks than it usually had before the first fault.

    None: nobody could say.
    """
    more = [
        f"{role}: {after.get(role)}, {base} before"
        for role, base in before.items()
        if base is None or (left := after.get(role)) is None or left > base
    ]
    return finding("C19 tasks", "tasks left over", more)
