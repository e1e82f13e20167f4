"""Plans and traffic come from the seed alone, and hold what the promises ask for."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

from tests.chaos.faults import EDGES, SESSION_S, THIRD_WORKER, WORKERS, Do, Way
from tests.chaos.mutants import CONTROL, MUTANTS, RUN_S, lane_s, plan_of, shared_out
from tests.chaos.plans import full, mutation, network, smoke
from tests.chaos.proxy import Mode
from tests.chaos.traffic import LATENESS_US, SECOND_US, Kind, Traffic

PARTS_S = 10.0
"""Until broker and database have started and ended."""
ALONE_S = 11.0
"""What a run takes besides its load, with nothing beside it."""
SERVED_S = 20.0
"""Until Triton and serving have started and all vectors are recomputed."""
ERASED_S = 30.0
"""Until everything is gone and has been looked for."""


def test_the_same_seed_makes_the_same_plan_and_another_another() -> None:
    assert (smoke(1), full(1)) == (smoke(1), full(1))
    assert smoke(1) != smoke(2)
    assert full(1) != full(2)


def test_every_kind_of_fault_strikes_in_the_long_profile() -> None:
    assert {fault.do for one in full(1) for fault in one.faults} == set(Do)


def test_every_fault_ends_early_enough_for_its_recovery_to_be_seen() -> None:
    for one in [smoke(3), mutation(3), *full(3)]:
        for fault in one.faults:
            assert fault.at_s + fault.for_s < one.seconds - 2.0, (one.name, fault.name)


def test_a_pause_outlasts_the_session() -> None:
    pauses = [f for one in (smoke(4), mutation(4)) for f in one.faults if f.do is Do.PAUSE]
    assert all(fault.for_s > SESSION_S for fault in pauses)


def test_a_network_fault_strikes_only_where_a_proxy_stands() -> None:
    for one in [smoke(5), *full(5)]:
        struck = {fault.target for fault in one.faults if fault.do is Do.NETWORK}
        assert struck <= one.edges <= set(EDGES)


def test_every_edge_meets_every_mode_and_either_worker_does_within_two_seeds() -> None:
    def pairs(seed: int) -> set[tuple[str, Mode]]:
        return {(fault.target, fault.mode) for fault in network(seed).faults}

    modes = set(Mode) - {Mode.OPEN}
    for seed in (1, 2):
        others = set(EDGES) - set(WORKERS)
        assert {pair for pair in pairs(seed) if pair[0] in others} == set(product(others, modes))
        assert {mode for edge, mode in pairs(seed) if edge in WORKERS} == modes
    assert pairs(1) | pairs(2) == set(product(EDGES, modes))


def test_a_black_hole_lasts_half_a_minute_and_a_storm_a_minute() -> None:
    (storm,) = (one for one in full(3) if one.name == "rebalance-storm")
    storms = [fault for fault in storm.faults if fault.do is Do.STORM]
    assert [fault.for_s for fault in storms] == [60.0, 60.0]
    assert len({fault.target for fault in storms}) == 2
    assert len(WORKERS) + storm.beside.count(THIRD_WORKER) == 3
    holes = [fault for fault in network(3).faults if fault.mode is Mode.BLACK_HOLE]
    assert {fault.for_s for fault in holes} == {30.0}


def test_no_strike_on_the_network_holds_a_way_up_from_two_sides_but_before_readers() -> None:
    faults = network(4).faults
    for one, other in combinations(faults, 2):
        if one.at_s == other.at_s:
            assert not (one.ways & other.ways) - {Way.READ}, (one.name, other.name)
        else:
            assert one.at_s + one.for_s < other.at_s or other.at_s + other.for_s < one.at_s


def test_the_recovery_from_what_breaks_connections_for_long_is_judged() -> None:
    faults = network(5).faults
    for one in faults:
        if one.mode in {Mode.BLACK_HOLE, Mode.HALF_OPEN} and not one.target.startswith("worker"):
            due_s = one.at_s + one.for_s + one.noticed_s + 1.4 * one.recovery_s
            between = [o for o in faults if o.at_s > one.at_s and o.ways & one.ways]
            if one.target != "server":
                assert min((o.at_s for o in between), default=due_s) >= due_s, one.name


def test_traffic_repeats_from_its_seed() -> None:
    assert Traffic(7, 0).batch(500, 9) == Traffic(7, 0).batch(500, 9)


def test_traffic_has_duplicates_disorder_late_and_refused_rows_in_their_shares() -> None:
    rows = Traffic(1, 0).batch(20_000, 3_600 * SECOND_US)
    share = {kind: count / len(rows) for kind, count in Counter(r.kind for r in rows).items()}
    assert 0.09 < share[Kind.DUPLICATE] < 0.11
    assert 0.04 < share[Kind.SHUFFLED] < 0.06
    assert 0.007 < share[Kind.LATE] < 0.013
    assert 0.002 < share[Kind.REFUSED] < 0.008


def test_a_duplicate_repeats_an_event_that_was_sent_before() -> None:
    sent: dict[str, tuple[str, float, int]] = {}
    for row in Traffic(2, 0).batch(2_000, 0):
        content = (row.user, row.amount, row.time_us)
        if row.kind is Kind.DUPLICATE:
            assert sent[row.id] == content
        sent[row.id] = content


def test_late_rows_lie_beyond_the_bound_and_shuffled_ones_within_it() -> None:
    for row in Traffic(3, 0).batch(5_000, 0):
        if row.kind is Kind.LATE:
            assert row.time_us < -LATENESS_US - 30 * SECOND_US
        elif row.kind is Kind.SHUFFLED:
            assert -LATENESS_US < row.time_us <= 0


def test_where_workers_are_counted_none_of_them_ends() -> None:
    for one in full(6):
        if one.counted:
            assert {fault.target for fault in one.faults if fault.do is not Do.SLOW} <= {
                "", "ingestion", "publisher",
            }  # fmt: skip


def test_a_mutant_meets_the_beginning_of_the_plan_that_passes_without_it() -> None:
    whole = plan_of(CONTROL, 7)
    assert whole == mutation(7) == whole.cut(whole.seconds)
    for name in MUTANTS:
        beginning = plan_of(name, 7)
        assert whole.faults[: len(beginning.faults)] == beginning.faults
        assert beginning.seconds <= whole.seconds


def test_mutants_are_shared_out_evenly_and_none_is_forgotten() -> None:
    lanes = shared_out([CONTROL, *MUTANTS], 7)
    assert sorted(name for lane in lanes for name in lane) == sorted([CONTROL, *MUTANTS])
    assert len(lanes) == 2
    assert abs(lane_s(lanes[0], 7) - lane_s(lanes[1], 7)) < 2 * RUN_S
    apart = [one.name for one in full(7) if one.own_lane]
    assert apart == ["network"]
    lanes = shared_out([*apart, CONTROL, *MUTANTS], 7)
    assert abs(lane_s(lanes[0], 7) - lane_s(lanes[1], 7)) < 3 * RUN_S
    assert shared_out(["no-fence"], 7) == [["no-fence"]]
    assert shared_out([], 7) == []


def test_the_long_profile_takes_less_than_twenty_minutes_with_its_starts() -> None:
    runs = [one for one in full(7) if not one.own_lane]
    apart = [one.name for one in full(7) if one.own_lane]
    runs_s = sum(one.seconds + ALONE_S for one in runs) + SERVED_S + ERASED_S
    lanes_s = max(lane_s(lane, 7) for lane in shared_out([*apart, CONTROL, *MUTANTS], 7))
    parts_s = PARTS_S * (2 + sum(bool(one.parts) for one in runs))
    assert runs_s + lanes_s + parts_s < 20 * 60
