"""The checkers: pure functions from what was seen to what may not be. No finding: it passed.

C1 lost, C2 phantom, C3 effect, C4 order, C5 outputs, C6 liveness, C8 leaks; where a scenario asks
for them C9 counted, C10 stopped, C11 slow, C12 replayed, C13 vectors, C14 forgotten,
C15 neighbours. (C7, the audit chain, belongs to the
registry.) An empty list is the only good answer.
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

REFUSED_S: Final = 2.0
"""The edge asks for the list of the erased every second."""
ERASED_S: Final = 60.0
"""Until all is gone, if raw records are kept for the de-duplication and logs for ten seconds."""
SLOWER: Final = 2.0
LEAST_P99_S: Final = 0.02
"""What is quicker is not compared: a pause of the interpreter would decide."""
LOOKS: Final = 50
STOPPED: Final = b'"partition.stopped"'
GROWTH: Final = 1.2

View = Mapping[str, tuple[Values, ...]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may never happen, and how often it did."""

    checker: str
    count: int
    text: str


@dataclass(frozen=True, slots=True)
class Slowed:
    """A process that was slow for a while, on the monotonic clock."""

    name: str
    began_s: float
    ended_s: float
    resident_before: int
    resident_peak: int
    rebalances: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of putting dead letters back.

    So many calls were cut off, so many letters refused, so many put back by a call after the last.
    """

    ids: tuple[str, ...]
    cut_off: int
    refused: int
    second: int


@dataclass(frozen=True, slots=True)
class Compared:
    """Served vectors, recomputed: what the platform's own job said, and what the oracle says.

    The job compared so many vectors and values; so many vectors are in the log.
    """

    vectors: int
    values: int
    mismatches: int
    examples: Sequence[str]
    logged: int
    differing: Sequence[str]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What is left of people who were erased, and how it went.

    `accepted_for_s`: for so long after the request the edge took events of theirs.
    """

    places: Sequence[str]
    accepted_for_s: float
    completed_after_s: float | None
    refused: int
    put_back: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How reading, and publishing until it can be read, went before a partition stopped and then."""

    looks: tuple[int, int]
    read_p99_s: tuple[float, float]
    readable_p99_s: tuple[float, float]


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
    return _finding(
        "C1 lost", "acknowledged, not in the topic", ledger.ids(Outcome.OK) - raw.keys()
    )


def phantom(ledger: Ledger, raw: Counter[str]) -> list[Finding]:
    """C2: no id that was refused is there, and none that nobody ever sent."""
    refused = _finding("C2 phantom", "refused, but there", ledger.ids(Outcome.FAIL) & raw.keys())
    known = {one for outcome in Outcome for one in ledger.ids(outcome)}
    return [*refused, *_finding("C2 phantom", "there, but never sent", raw.keys() - known)]


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
    return [*found, *_finding("C3 effect", "dead letters with other bytes", changed)]


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
        found += _finding("C4 order", f"steps back in {name}", back)
    return found


def unreadable(error: str) -> list[Finding]:
    """C4: a replica refuses what two writers at once have made of a log."""
    return _finding("C4 order", "a replica refuses its log", [error])


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
            found += _finding(
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
    return _finding("C6 liveness", "recovered too late", late)


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


def counted(expected: Expected, told: Mapping[str, float]) -> list[Finding]:
    """C9: what workers that lived through all of it have counted is what there was."""
    wanted = {
        "tidemill_events_applied_total": len(expected.applied),
        "tidemill_duplicates_total": expected.duplicates,
        "tidemill_events_late_total": len(expected.late),
        "tidemill_dead_letters_total": len(expected.dead),
    }
    wrong = {
        f"{name} is {told.get(name, 0.0):.0f}, not {count}"
        for name, count in wanted.items()
        if told.get(name, 0.0) != count
    }
    return _finding("C9 counted", "counters", wrong)


def stopped(texts: Mapping[str, bytes], *, wanted: bool) -> list[Finding]:
    """C10: a partition stops in a burst of garbage, and never else."""
    seen = [name for name, text in texts.items() if STOPPED in text]
    if wanted:
        return [] if seen else _finding("C10 stopped", "no partition stopped in", ["the burst"])
    return _finding("C10 stopped", "partitions stopped for", seen)


def slow(slowed: Sequence[Slowed], publisher: Sequence[Sample], limit_s: float) -> list[Finding]:
    """C11: a slow worker takes no more memory, stays in the group, and holds no publisher up."""
    wrong = []
    for one in slowed:
        if one.resident_peak > GROWTH * one.resident_before:
            wrong.append(f"{one.name}: {one.resident_before} bytes, then {one.resident_peak}")
        if one.rebalances:
            wrong.append(f"{one.name}: {one.rebalances} assignments meanwhile")
        held_up = [
            sample
            for sample in publisher
            if one.began_s <= sample.taken_s <= one.ended_s
            and (sample.applied_s is None or sample.applied_s - sample.taken_s > limit_s)
        ]
        if held_up:
            wrong.append(f"{one.name}: {len(held_up)} batches took more than {limit_s:.1f} s")
    return _finding("C11 slow", "a slow worker", wrong)


def replayed(expected: Expected, replays: Sequence[Replayed]) -> list[Finding]:
    """C12: every dead letter that was put back counts once, however often the tool died."""
    applied = Counter(one.id for one in expected.applied)
    wrong = []
    for one in replays:
        wrong += [f"{each} counts {applied[each]} times" for each in one.ids if applied[each] != 1]
        if one.refused or one.second:
            wrong.append(f"{one.refused} refused, {one.second} in a second run")
        if not one.cut_off:
            wrong.append("no replay was cut off")
    return _finding("C12 replayed", "dead letters", wrong)


def vectors(compared: Compared, least: int) -> list[Finding]:
    """C13: enough vectors were served, and each is what its positions say, to both of those who look."""
    wrong = []
    if compared.mismatches:
        wrong.append(f"{compared.mismatches} values: {'; '.join(compared.examples[:SHOWN])}")
    if compared.vectors != compared.logged:
        wrong.append(f"{compared.vectors} recomputed of {compared.logged}")
    if compared.logged < least:
        wrong.append(f"{compared.logged}, fewer than {least}")
    return [
        *_finding("C13 vectors", "recomputed by the features server", wrong),
        *_finding("C13 vectors", "recomputed by the harness", compared.differing),
    ]


def forgotten(found: Forgotten, slower: float) -> list[Finding]:
    """C14: nothing is left of the erased, nothing of theirs gets in again, and it did not take long."""
    wrong = []
    if found.accepted_for_s > slower * REFUSED_S:
        wrong.append(f"events were accepted for {found.accepted_for_s:.1f} s")
    if found.put_back or not found.refused:
        wrong.append(f"{found.put_back} dead letters put back, {found.refused} events refused")
    took = found.completed_after_s
    if took is None or took > slower * ERASED_S:
        said = "never" if took is None else f"after {took:.0f} s"
        wrong.append(f"complete {said}, not in {slower * ERASED_S:.0f} s")
    return [
        *_finding("C14 forgotten", "the erased are found in", found.places),
        *_finding("C14 forgotten", "erasures", wrong),
    ]


def neighbours(found: Neighbours, slower: float) -> list[Finding]:
    """C15: while a partition stands still, reading and publishing beside it are hardly slower."""
    wrong = []
    if min(found.looks) < LOOKS:
        wrong.append(f"only {found.looks[0]} looks before and {found.looks[1]} beside it")
    for name, (before, beside) in (
        ("reading", found.read_p99_s),
        ("from published to readable", found.readable_p99_s),
    ):
        if beside > slower * SLOWER * max(before, LEAST_P99_S):
            wrong.append(f"{name}: p99 {beside * 1_000:.0f} ms, {before * 1_000:.0f} ms before")
    return _finding("C15 neighbours", "beside a stopped partition", wrong)


def leaks(texts: Mapping[str, bytes], canary: str) -> list[Finding]:
    """C8: no personal value is in a log, a header or an error."""
    held = [name for name, text in texts.items() if canary.encode() in text]
    return _finding("C8 leaks", "personal values in", held)


def _values(checker: str, name: str, found: View, wanted: View) -> list[Finding]:
    differing = {
        f"{key}: {found.get(key)}, not {wanted.get(key)}"
        for key in found.keys() | wanted.keys()
        if found.get(key) != wanted.get(key)
    }
    return _finding(checker, f"entities of {name} differ", differing)


def _letters(name: str, found: Counter[Place], wanted: Iterable[Place]) -> list[Finding]:
    twice = {place for place, count in found.items() if count > 1}
    wanted = set(wanted)
    return [
        *_finding("C3 effect", f"missing in the {name}", wanted - found.keys()),
        *_finding("C3 effect", f"unwanted in the {name}", found.keys() - wanted),
        *_finding("C3 effect", f"more than once in the {name}", twice),
    ]


def _finding(checker: str, what: str, which: Iterable[object]) -> list[Finding]:
    some = sorted(str(one) for one in which)
    if not some:
        return []
    more = f" and {len(some) - SHOWN} more" if len(some) > SHOWN else ""
    return [Finding(checker, len(some), f"{what}: {'; '.join(some[:SHOWN])}{more}")]
