"""Run participants in alternating rounds, each after a check, and keep what they gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.peers.processes import PeerFailed

Figures = dict[str, Any]
Keep = Callable[[dict[str, Figures]], None]


@dataclass(frozen=True, slots=True)
class Participant:
    """Somebody who is measured: a check that must be exact, and the measured run."""

    name: str
    about: Mapping[str, object]
    check: Callable[[], Figures]
    measure: Callable[[], Figures]


@dataclass(slots=True)
class Story:
    """Everything that is known of one participant."""

    about: Mapping[str, object]
    check: Figures = field(default_factory=dict)
    rounds: list[Figures] = field(default_factory=list)
    failed: str = ""


def run(
    participants: Sequence[Participant],
    rounds: int,
    judged: Sequence[str],
    keep: Keep,
    say: Callable[[str], None] = print,
) -> None:
    """Measure all round by round, each after a check of its own before its first round.

    A failure ends only its own part. What is known is kept after every run, so that a benchmark
    that is broken off leaves what it found.
    """
    stories = {one.name: Story(one.about) for one in participants}
    for number in range(1, rounds + 1):
        for one in participants:
            story = stories[one.name]
            if number == 1:
                story.failed = _attempt(one.check, story.check.update)
                say(f"check of {one.name}: {story.failed or story.check}")
            if not story.failed:
                story.failed = _attempt(one.measure, story.rounds.append)
                say(f"round {number} of {one.name}: {story.failed or story.rounds[-1]}")
            known = {name: told for name, told in stories.items() if told.failed or told.check}
            keep({name: _figures(told, judged) for name, told in known.items()})


def _attempt(work: Callable[[], Figures], keep: Callable[[Figures], object]) -> str:
    try:
        keep(work())
    except PeerFailed as error:
        return str(error)
    return ""


def _figures(story: Story, judged: Sequence[str]) -> Figures:
    """Return medians of what is judged, and every round."""
    found: Figures = dict(story.about)
    if story.failed:
        found["failed"] = story.failed
    if story.check:
        found["check"] = story.check
    if story.rounds:
        found["exact"] = all(one["exact"] for one in [story.check, *story.rounds] if one)
        for name in judged:
            found[name] = median(one[name] for one in story.rounds)
        found["rounds"] = story.rounds
    return found
