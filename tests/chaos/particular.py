"""Checkers of what only some scenarios do: as in checkers.py an empty list is the only good answer.

C9 counted, C10 stopped, C11 slow, C12 replayed, C13 vectors, C14 forgotten, C15 neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.checkers import SHOWN, Finding, Sample, finding
from tests.chaos.oracle import Expected

REFUSED_S: Final = 2.0
"""The edge asks for the list of the erased every second."""
ERASED_S: Final = 60.0
"""Until all is gone, if raw records are kept for the de-duplication and logs for ten seconds."""
SLOWER: Final = 2.0
LEAST_P99_S: Final = 0.02
"""What is quicker is not compared: a pause of the interpreter would decide."""
LOOKS: Final = 20
STOPPED: Final = b'"partition.stopped"'
GROWTH: Final = 1.2
HELD: Final = "tidemill_partition_held"


@dataclass(frozen=True, slots=True)
class Slowed:
    """A process that was slow for a while, on the monotonic clock."""

    name: str
    began_s: float
    ended_s: float
    resident_before: int
    resident_peak: int
    rebalances: int
    holds: int
    """How often it paused a partition, since too much waited."""


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
    return finding("C9 counted", "counters", wrong)


def stopped(texts: Mapping[str, bytes], *, wanted: bool) -> list[Finding]:
    """C10: a partition stops in a burst of garbage, and never else."""
    seen = [name for name, text in texts.items() if STOPPED in text]
    if wanted:
        return [] if seen else finding("C10 stopped", "no partition stopped in", ["the burst"])
    return finding("C10 stopped", "partitions stopped for", seen)


def slow(
    slowed: Sequence[Slowed], publisher: Sequence[Sample], limit_s: float, told: Mapping[str, float]
) -> list[Finding]:
    """C11: a slow worker takes no more memory, stays in the group, and holds no publisher up.

    What is too much for it waits in the broker: it pauses partitions, and resumes all of them.
    """
    wrong = []
    for one in slowed:
        if one.resident_peak > GROWTH * one.resident_before:
            wrong.append(f"{one.name}: {one.resident_before} bytes, then {one.resident_peak}")
        if one.rebalances:
            wrong.append(f"{one.name}: {one.rebalances} assignments meanwhile")
        if not one.holds:
            wrong.append(f"{one.name}: no partition was paused")
        if told.get(HELD) != 0.0:
            wrong.append(f"{one.name}: {told.get(HELD)} partitions not resumed when it was quiet")
        held_up = [
            sample
            for sample in publisher
            if one.began_s <= sample.taken_s <= one.ended_s
            and (sample.applied_s is None or sample.applied_s - sample.taken_s > limit_s)
        ]
        if held_up:
            wrong.append(f"{one.name}: {len(held_up)} batches took more than {limit_s:.1f} s")
    return finding("C11 slow", "a slow worker", wrong)


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
    return finding("C12 replayed", "dead letters", wrong)


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
        *finding("C13 vectors", "recomputed by the features server", wrong),
        *finding("C13 vectors", "recomputed by the harness", compared.differing),
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
        *finding("C14 forgotten", "the erased are found in", found.places),
        *finding("C14 forgotten", "erasures", wrong),
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
    return finding("C15 neighbours", "beside a stopped partition", wrong)
