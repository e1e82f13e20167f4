"""The checkers: pure functions from what was seen to what may not be. No finding: it passed.

C1 lost, C2 phantom, C3 effect, C4 order, C5 outputs, C6 liveness, C8 leaks, C16 stateless. (C7,
the audit chain, belongs to the registry; C9 to C15 are in particular.py, C17 to C19 in enduring.py.)
An empty list is the only good answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.oracle import Expected, Place, Values

SHOWN: Final = 5
"""Examples in a finding."""
LAG_S: Final = 1.0
STEADY_S: Final = 2.0
"""For so long the lag must stay below LAG_S: the first moment after a fault proves nothing."""


View = Mapping[str, tuple[Values, ...]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may never happen, and how often it did."""

    checker: str
    count: int
    text: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A late row or a dead letter as it was found: where it came from and what it holds."""

    place: Place
    content: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of a feature log as a reader got it."""

    offset: int
    position: int
    watermark_us: int
    generation: str
    written_ms: int


@dataclass(frozen=True, slots=True)
class Sample:
    """At `taken_s` so much was in the topic; at `applied_s` (None: never) all of it was applied."""

    taken_s: float
    applied_s: float | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """A fault ended at `ended_s`; after so many seconds the lag must be below a second."""

    name: str
    ended_s: float
    limit_s: float

    @property
    def due_s(self) -> float:
        """Return the moment by which all must be well."""
        return self.ended_s + self.limit_s


def lost(ledger: Ledger, raw: Counter[str]) -> list[Finding]:
    """C1: every id that was acknowledged is in the raw topic."""
    return finding("C1 lost", "acknowledged, not in the topic", ledger.ids(Outcome.OK) - raw.keys())


def phantom(ledger: Ledger, raw: Counter[str]) -> list[Finding]:
    """C2: no id that was refused is there, and none that nobody ever sent."""
    refused = finding("C2 phantom", "refused, but there", ledger.ids(Outcome.FAIL) & raw.keys())
    known = {one for outcome in Outcome for one in ledger.ids(outcome)}
    return [*refused, *finding("C2 phantom", "there, but never sent", raw.keys() - known)]


def effect(
    expected: Expected,
    views: Mapping[str, tuple[View, View]],
    late: Sequence[Letter],
    dead: Sequence[Letter],
) -> list[Finding]:
    """C3: state, late topic and dead letters are those of the recomputation.

    `views` holds, by name, what is found and what is expected.
    """
    found = []
    for name, (is_there, wanted) in views.items():
        found += _values("C3 effect", name, is_there, wanted)
    found += _letters("late topic", Counter(one.place for one in late), expected.late)
    found += _letters("dead letters", Counter(one.place for one in dead), expected.dead)
    changed = {
        one.place
        for one in dead
        if one.place in expected.dead and expected.dead[one.place] != one.content
    }
    return [*found, *finding("C3 effect", "dead letters with other bytes", changed)]


def order(readers: Mapping[str, Sequence[Seen]]) -> list[Finding]:
    """C4: no reader of a log ever sees position, watermark or generation go back."""
    found = []
    for name, seen in readers.items():
        back = [
            f"{before} then {after}"
            for before, after in pairwise(seen)
            if after.offset <= before.offset
            or after.position < before.position
            or after.watermark_us < before.watermark_us
            or after.generation < before.generation
        ]
        found += finding("C4 order", f"steps back in {name}", back)
    return found


def unreadable(error: str) -> list[Finding]:
    """C4: a replica refuses what two writers at once have made of a log."""
    return finding("C4 order", "a replica refuses its log", [error])


def outputs(
    replicas: Mapping[str, Mapping[str, tuple[View, View]]],
    settled_s: Mapping[str, float | None],
    limit_s: float,
) -> list[Finding]:
    """C5: soon after quiet every replica answers what the recomputation says."""
    found = []
    for name, seconds in settled_s.items():
        if seconds is None or seconds > limit_s:
            said = "never" if seconds is None else f"after {seconds:.1f} s"
            found += finding(
                "C5 outputs", f"{name} had all of it {said}, not in {limit_s:.0f} s", [name]
            )
    for replica, views in replicas.items():
        for name, (is_there, wanted) in views.items():
            found += _values("C5 outputs", f"{name} of {replica}", is_there, wanted)
    return found


def liveness(recoveries: Sequence[Recovery], samples: Sequence[Sample]) -> list[Finding]:
    """C6: after each fault the lag is below a second within the stated time."""
    late = []
    for one in recoveries:
        took = recovered_after(one, samples)
        if took is None or took > one.limit_s:
            said = "never" if took is None else f"after {took:.1f} s"
            late.append(f"{one.name}: {said}, not in {one.limit_s:.0f} s")
    return finding("C6 liveness", "recovered too late", late)


def recovered_after(one: Recovery, samples: Sequence[Sample]) -> float | None:
    """Return the seconds from a fault's end until the lag was steadily below one; None: never."""
    later = [sample for sample in samples if sample.taken_s >= one.ended_s]
    steady: float | None = None
    for sample in later:
        if sample.applied_s is None or sample.applied_s - sample.taken_s >= LAG_S:
            steady = None
        elif steady is None:
            steady = sample.taken_s
        if steady is not None and sample.taken_s - steady >= STEADY_S:
            break
    return None if steady is None else steady - one.ended_s


def leaks(texts: Mapping[str, bytes], canary: str) -> list[Finding]:
    """C8: no personal value is in a log, a header or an error."""
    held = [name for name, text in texts.items() if canary.encode() in text]
    return finding("C8 leaks", "personal values in", held)


def stateless(files: Sequence[str]) -> list[Finding]:
    """C16: no process keeps a file of its own, so there is none that a crash can tear."""
    return finding("C16 stateless", "files kept by a process", files)


def _values(checker: str, name: str, found: View, wanted: View) -> list[Finding]:
    differing = {
        f"{key}: {found.get(key)}, not {wanted.get(key)}"
        for key in found.keys() | wanted.keys()
        if found.get(key) != wanted.get(key)
    }
    return finding(checker, f"entities of {name} differ", differing)


def _letters(name: str, found: Counter[Place], wanted: Iterable[Place]) -> list[Finding]:
    twice = {place for place, count in found.items() if count > 1}
    wanted = set(wanted)
    return [
        *finding("C3 effect", f"missing in the {name}", wanted - found.keys()),
        *finding("C3 effect", f"unwanted in the {name}", found.keys() - wanted),
        *finding("C3 effect", f"more than once in the {name}", twice),
    ]


def finding(checker: str, what: str, which: Iterable[object]) -> list[Finding]:
    """Return one finding with examples of what may not be, or none if there is nothing."""
    some = sorted(str(one) for one in which)
    if not some:
        return []
    more = f" and {len(some) - SHOWN} more" if len(some) > SHOWN else ""
    return [Finding(checker, len(some), f"{what}: {'; '.join(some[:SHOWN])}{more}")]
