"""Views that are behind are built once, and whole, whoever builds them and whatever is left to read.

A builder that is told nothing lives on beside a new owner: its worker may be stopped, or have lost
the partition a moment ago. At every pace of both, each log has one writer at a time.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.traffic import LATENESS_US, SECOND_US
from tests.simulation.world import World, a_work

SEED = int(os.environ.get("CHAOS_SEED", "20130101"))
PACES = int(os.environ.get("CHAOS_HISTORIES", "500")) // 12
RECORDS = 14
USERS = 5
LATE_S = LATENESS_US / SECOND_US
QUICK, SLOW = 3, 60
"""Turns of the loop between two effects of a process, at most."""


def a_pace(dice: random.Random) -> Callable[[], int]:
    """Return a process's pace: quick, slow, or now and then held up for long."""
    return dice.choice(
        [
            lambda: dice.randrange(QUICK),
            lambda: dice.randrange(SLOW),
            lambda: dice.choice([0, 0, 0, 10 * SLOW]),
        ]
    )


def come(world: World, dice: random.Random, records: int) -> None:
    for _ in range(records):
        back_s = dice.choice([0.0, 45.0, LATE_S + 1.0])
        world.publish([world.a_row(user, dice.randint(-500, 500), back_s) for user in range(USERS)])
        world.publish(dice.sample(world.rows, 1))


def outcome(folder: Path, number: int) -> list[str]:
    """Let a builder live beside a takeover; return what was wrong in the end."""
    world, dice = World(folder), random.Random(f"{SEED}/{number}")
    try:
        world.leave_out({dice.choice(world.stream.views).key})
        world.take_over()
        come(world, dice, RECORDS)
        world.flush(2 * RECORDS)
        world.build_beside(a_pace(dice))
        world.work = a_work()
        world.take_over(pace=a_pace(dice))
        for _ in range(3):
            come(world, dice, 1)
            world.flush(2)
        world.end_builders()
        world.settle()
        return [one.text for one in world.findings()]
    finally:
        world.close()


@pytest.mark.slow
def test_a_builder_beside_a_takeover_leaves_every_view_exact(tmp_path: Path) -> None:
    for number in range(PACES):
        assert outcome(tmp_path, number) == [], f"CHAOS_SEED={SEED}, pace {number}"


@pytest.mark.parametrize("by_a_builder", [False, True])
@pytest.mark.parametrize(
    ("archived", "trimmed"), [(RECORDS, 5), (RECORDS - 4, 5), (RECORDS - 4, RECORDS - 4)]
)
def test_a_view_is_built_from_an_archive_that_may_be_ahead_and_a_topic_that_may_be_empty(
    world: World, archived: int, trimmed: int, by_a_builder: bool
) -> None:
    """The group has decided all but the last four records."""
    world.leave_out({world.stream.views[0].key})
    world.take_over()
    for _ in range(RECORDS):
        world.publish([world.a_row(user, 100, 0.0) for user in range(USERS)])
    world.flush(RECORDS - 4)
    world.archive(archived)
    world.trim(trimmed)
    if by_a_builder:
        world.build_beside(int)
        world.end_builders()
    world.work = a_work()
    world.settle()
    assert world.findings() == []
