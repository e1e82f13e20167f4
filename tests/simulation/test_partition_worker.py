"""A partition's worker through histories of crashes, lost answers, zombies, takeovers and trims.

At any half-effect a process may die or be told of an error. In the end every reader's state, the
late topic and the dead letters are those of the recomputation, and no reader saw a step back.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.chaos.mutants import MUTANTS
from tests.chaos.traffic import DEDUPE_US, LATENESS_US, SECOND_US
from tests.simulation.clients import How
from tests.simulation.world import FLUSH_BYTES, STREAM, World
from tidemill.errors import Corrupt
from tidemill_common import metrics
from tidemill_features.opening import builder_id
from tidemill_features.partition import WAITING_FLUSHES, WAITING_RECORDS
from tidemill_features.stopping import IN_A_ROW

SEED = int(os.environ.get("CHAOS_SEED", "20130101"))
HISTORIES = int(os.environ.get("CHAOS_HISTORIES", "500"))
STEPS = 25
FOUND_HERE = set(MUTANTS) - {"commit-before-log", "seek-while-fetching"}
"""Those two need a process that ends, and the runtime that delivers records."""
USERS = 7
LIFE_S = 14_400
"""A third of the age at which a log gets a snapshot unless a setting says otherwise."""
LATE_S = LATENESS_US / SECOND_US
TROUBLE = 24
"""Half-effects from now at which trouble strikes: beyond those of a step, it does not."""


class Histories(RuleBasedStateMachine):
    """Every step of a world, in any order hypothesis can think of."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="tidemill-simulation-")
        self.world = World(Path(self.folder.name))

    @rule(
        users=st.lists(st.integers(0, USERS - 1), min_size=1, max_size=4),
        cents=st.integers(-1_000, 1_000),
        back_s=st.sampled_from([0.0, 1.0, 45.0, LATE_S, LATE_S + 1.0, LATE_S + 300.0]),
    )
    def publish(self, users: list[int], cents: int, back_s: float) -> None:
        self.world.publish([self.world.a_row(user, cents, back_s) for user in users])

    @rule(which=st.integers(0, 50))
    def publish_again(self, which: int) -> None:
        if self.world.rows:
            self.world.publish([self.world.rows[which % len(self.world.rows)]])

    @rule(value=st.binary(max_size=8))
    def publish_garbage(self, value: bytes) -> None:
        self.world.publish_garbage(value)

    @rule(amount=st.sampled_from([float("nan"), float("inf"), 1e15]))
    def publish_a_dead_row_with_a_neighbour(self, amount: float) -> None:
        row = self.world.a_row(1, 100, 0.0)
        self.world.publish([replace(row, id=f"{row.id}-good"), replace(row, amount=amount)])

    @rule(seconds=st.sampled_from([0.001, 1.0, 70.0, DEDUPE_US / SECOND_US, 4_000.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(round(seconds * 1_000))

    @rule(records=st.integers(0, 5))
    def flush(self, records: int) -> None:
        self.world.flush(records)

    @rule(
        records=st.integers(0, 5),
        at=st.integers(0, TROUBLE),
        how=st.sampled_from(list(How)),
        ahead=st.booleans(),
    )
    def flush_in_trouble(self, records: int, at: int, how: How, ahead: bool) -> None:
        self.world.flush(records, at, how, ahead=ahead)

    @rule()
    def take_over(self) -> None:
        self.world.take_over()

    @rule(at=st.integers(0, TROUBLE), how=st.sampled_from(list(How)))
    def take_over_in_trouble(self, at: int, how: How) -> None:
        self.world.take_over(at, how)

    @rule()
    def ask_for_snapshots(self) -> None:
        self.world.ask_for_snapshots()

    @rule(records=st.integers(0, 3))
    def wake_zombie(self, records: int) -> None:
        self.world.wake_zombie(records)

    @rule()
    def run_out_of_room(self) -> None:
        self.world.full = True

    @rule()
    def get_room(self) -> None:
        self.world.full = False

    @rule()
    def read(self) -> None:
        self.world.reader.catch_up()

    @rule()
    def expire(self) -> None:
        self.world.expire_transactions()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.settle()
            assert self.world.findings() == []
        finally:
            self.world.close()
            self.folder.cleanup()


Histories.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.slow
@pytest.mark.timeout(300)
class TestHistories(Histories.TestCase):  # type: ignore[misc,valid-type]
    """Histories as hypothesis thinks of them, and as short as it can make one that fails."""


def history(world: World, dice: random.Random) -> None:
    """Take random steps; what a step may do is what the machine above may."""

    def publish() -> None:
        back = dice.choice([0.0, 0.0, 1.0, 45.0, LATE_S + 1.0])
        rows = [world.a_row(dice.randrange(USERS), dice.randint(-500, 500), back)]
        rows += [world.a_row(dice.randrange(USERS), 1, 0.0) for _ in range(dice.randrange(4))]
        world.publish(rows)

    def publish_again() -> None:
        world.publish(dice.sample(world.rows, min(1, len(world.rows))))

    def trouble() -> tuple[int, How]:
        return dice.randrange(TROUBLE), dice.choice(list(How))

    def fill() -> None:
        world.full = dice.random() < 0.3

    steps: dict[Callable[[], object], int] = {
        publish: 3,
        publish_again: 1,
        lambda: world.publish_garbage(dice.randbytes(dice.randrange(9))): 1,
        lambda: world.pass_time(dice.choice([1, 1_000, 70_000, 600_000, 4_000_000])): 1,
        lambda: world.flush(dice.randint(0, 5)): 2,
        lambda: world.flush(dice.randint(0, 5), *trouble()): 2,
        lambda: world.flush(dice.randint(2, 5), *trouble(), ahead=True): 1,
        world.take_over: 1,
        world.ask_for_snapshots: 1,
        lambda: world.take_over(*trouble()): 1,
        lambda: world.wake_zombie(dice.randint(0, 3)): 1,
        world.reader.catch_up: 1,
        fill: 1,
        world.expire_transactions: 1,
    }
    for step in dice.choices(list(steps), list(steps.values()), k=STEPS):
        step()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_seeded_histories_are_exact(tmp_path: Path) -> None:
    for number in range(HISTORIES):
        assert outcome(tmp_path, number) == [], f"CHAOS_SEED={SEED}, history {number}"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FOUND_HERE))
def test_a_known_mistake_is_found_within_a_few_histories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    MUTANTS[name].mistake(monkeypatch.setattr)
    assert any(outcome(tmp_path, number) for number in range(HISTORIES))


def outcome(folder: Path, number: int) -> list[str]:
    """Live through one history; return what was wrong in it."""
    world = World(folder)
    try:
        history(world, random.Random(f"{SEED}/{number}"))
        world.settle()
        return [one.text for one in world.findings()]
    except (AssertionError, Corrupt, RuntimeError) as error:
        return [str(error)]
    finally:
        world.close()


def test_an_owner_that_was_not_told_is_refused(world: World) -> None:
    world.take_over()
    world.publish([world.a_row(1, 100, 0.0)])
    world.take_over()
    world.flush(1)
    world.wake_zombie(1)  # asserts that its flush is refused
    assert world.reader.catch_up() == 1


@pytest.mark.parametrize("at", range(TROUBLE))
@pytest.mark.parametrize("how", list(How))
def test_flushes_that_overlap_count_once_wherever_they_end(world: World, at: int, how: How) -> None:
    world.take_over()
    for user in range(USERS):
        world.publish([world.a_row(user, 100, 0.0)])
    world.publish([world.a_row(1, 1, LATE_S + 1.0)])
    world.flush(USERS + 1, at, how, ahead=True)
    assert world.overlapped > 0
    world.settle()
    assert world.findings() == []


@pytest.mark.parametrize("at", range(TROUBLE))
@pytest.mark.parametrize("how", list(How))
def test_a_flush_that_ends_at_any_step_counts_once(world: World, at: int, how: How) -> None:
    world.take_over()
    world.publish([world.a_row(user, 100, 0.0) for user in range(USERS)])
    world.publish([world.a_row(1, 1, LATE_S + 1.0)])
    world.publish_garbage(b"no record")
    world.flush(3, at, how)
    world.settle()
    assert world.findings() == []


def is_held() -> float | None:
    """Return what the metric says of the one partition."""
    labels = {"stream": STREAM, "partition": "0"}
    return metrics.REGISTRY.get_sample_value("tidemill_partition_held", labels)


def test_what_waits_is_bounded_and_flows_again(world: World) -> None:
    world.take_over()
    world.full = True
    published = 0
    while world.flows():
        world.publish([world.a_row(user, 100, 0.0) for user in range(USERS)])
        published += 1
        world.flush(1)
    records, _ = world.broker.read(world.raw, 0, committed=True)
    sizes = [len(record.value or b"") for record in records]
    assert 0 <= sum(sizes) - WAITING_FLUSHES * FLUSH_BYTES < sizes[-1]
    assert is_held() == 1
    world.publish([world.a_row(1, 100, 0.0)])
    world.flush(1)
    assert world.reader.catch_up() == 0
    world.full = False
    for _ in range(WAITING_FLUSHES):
        world.flush(0)
    assert world.flows()
    assert is_held() == 0
    world.settle()
    assert world.reader.catch_up() == published + 1
    assert world.findings() == []


def test_a_worker_without_room_decides_nothing_and_loses_nothing(world: World) -> None:
    world.take_over()
    world.publish([world.a_row(1, 100, 0.0)])
    world.flush(1)
    world.full = True
    world.publish([world.a_row(2, 100, 0.0)])
    for _ in range(3):
        records = sum(map(len, world.reader.seen.values()))
        world.flush(1)
        assert world.reader.catch_up() == 1
        assert sum(map(len, world.reader.seen.values())) > records  # its log is not silent
    world.full = False
    world.flush(0)
    assert world.reader.catch_up() == 2
    assert world.findings() == []


@pytest.mark.timeout(30)
def test_a_partition_stops_behind_a_run_of_garbage_until_it_is_opened_again(world: World) -> None:
    world.take_over()
    for _ in range(IN_A_ROW):
        world.publish_garbage(b"no record")
    world.flush(IN_A_ROW)
    world.publish([world.a_row(1, 100, 0.0)])
    for _ in range(WAITING_RECORDS):  # more than an owner ever lets wait
        world.publish_garbage(b"no record")
    world.flush(2 * WAITING_RECORDS)  # nobody waits for room
    assert world.reader.catch_up() == IN_A_ROW
    world.take_over()
    for _ in range(3):  # behind all the garbage that was there when it was opened
        world.flush(WAITING_RECORDS // 2)
    assert world.reader.catch_up() == IN_A_ROW + 1 + WAITING_RECORDS
    for _ in range(IN_A_ROW):
        world.publish_garbage(b"no record")
    world.flush(IN_A_ROW)
    world.publish([world.a_row(1, 100, 0.0)])
    world.flush(1)
    assert world.reader.catch_up() == 2 * IN_A_ROW + 1 + WAITING_RECORDS


def test_snapshots_are_written_and_the_log_is_trimmed_behind_them(world: World) -> None:
    world.take_over()
    for _ in range(3):
        world.publish([world.a_row(user, 1, 0.0) for user in range(USERS)])
        world.flush(1)
        world.ask_for_snapshots()
        for _ in range(10):
            world.flush(0)
    assert all(world.broker.start_of(tp) for tp in world.reader.logs)
    world.settle()
    assert world.findings() == []


@pytest.mark.timeout(30)
def test_owners_that_live_shorter_than_a_log_may_age_snapshot_and_trim_it(world: World) -> None:
    log = world.reader.logs[0]
    for _ in range(8):
        world.take_over()
        world.publish([world.a_row(user, 1, 0.0) for user in range(USERS)])
        for _ in range(20):
            world.flush(1)
        world.pass_time(LIFE_S * 1_000)
    assert world.broker.start_of(log) > 0
    world.settle()
    assert world.findings() == []


def test_a_builder_that_died_inside_a_transaction_holds_no_takeover_up(world: World) -> None:
    world.take_over()
    world.publish([world.a_row(1, 100, 0.0)])
    world.flush(1)
    view = world.stream.views[0]
    dead = world.broker.fence(builder_id(world.stream, 0, view))
    world.broker.begin(dead)
    world.broker.append(world.reader.logs[0], b"never ended", session=dead)
    world.settle()
    assert world.findings() == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", list(How))
@pytest.mark.parametrize("at", range(1, TROUBLE, 4))
def test_what_is_held_says_the_same_as_what_is_served_whatever_dies_meanwhile(
    world: World, at: int, how: How
) -> None:
    def come(records: int) -> None:
        for number in range(records):
            back_s = (0.0, 45.0, LATE_S + 1.0)[number % 3]
            world.publish([world.a_row(user, 100 + number, back_s) for user in range(USERS)])
            world.publish(world.rows[-1:])

    world.take_over()
    come(4)
    world.flush(5)
    world.hold()
    world.take_over(at, how)  # brings what is held to where the served is, or dies on the way
    world.take_over()
    come(3)
    world.flush(4, at, how)
    world.take_over()
    world.ask_for_snapshots()
    world.flush(3)
    world.wake_zombie(2)
    world.settle()
    assert world.findings() == []
    world.release()
    world.take_over()
    come(3)
    world.flush(9)
    world.hold()  # again: its logs are behind, and hold what they had
    world.settle()
    assert world.findings() == []
