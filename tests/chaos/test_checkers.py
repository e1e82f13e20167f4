"""Each checker passes what may be and finds what may not: a checker that cannot fail proves nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from tests.chaos.checkers import (
    Letter,
    Recovery,
    Sample,
    Seen,
    effect,
    leaks,
    liveness,
    lost,
    order,
    outputs,
    phantom,
    recovered_after,
    stateless,
)
from tests.chaos.faults import NOTICED_S, RECOVERY_S, Do, Fault
from tests.chaos.ledger import Ledger, Outcome
from tests.chaos.neighbours import Took, compared, p99
from tests.chaos.oracle import Applied, Expected
from tests.chaos.pace import WINDOW, Pace
from tests.chaos.particular import (
    Compared,
    Forgotten,
    Neighbours,
    Replayed,
    Slowed,
    counted,
    forgotten,
    neighbours,
    replayed,
    slow,
    stopped,
    vectors,
)
from tests.chaos.proxy import Mode
from tests.chaos.striking import Struck, alone

ONE = ((1.0, 250.0, 250.0), (1.0, 250.0, 250.0))
TWO = ((2.0, 500.0, 250.0), (2.0, 500.0, 250.0))


def a_ledger(**told: str) -> Ledger:
    ledger = Ledger()
    for event_id, outcomes in told.items():
        for one in outcomes.split():
            ledger.note(event_id, Outcome(one))
    return ledger


def a_seen(offset: int, position: int, watermark: int = 0, generation: str = "1") -> Seen:
    return Seen(offset, position, watermark, generation, 0)


def samples(*lags: float, every_s: float = 0.5) -> list[Sample]:
    return [Sample(i * every_s, i * every_s + lag) for i, lag in enumerate(lags)]


def test_one_acknowledged_attempt_makes_an_event_ok_whatever_the_others_were_told() -> None:
    ledger = a_ledger(a="unknown ok fail", b="unknown fail", c="fail fail")
    assert ledger.ids(Outcome.OK) == {"a"}
    assert ledger.ids(Outcome.UNKNOWN) == {"b"}
    assert ledger.ids(Outcome.FAIL) == {"c"}


def test_an_acknowledged_event_that_is_not_in_the_topic_is_lost() -> None:
    ledger = a_ledger(a="ok", b="unknown ok", c="unknown", d="fail")
    assert lost(ledger, Counter(a=1, b=2)) == []
    (finding,) = lost(ledger, Counter(a=1))
    assert (finding.checker, finding.count) == ("C1 lost", 1)
    assert "b" in finding.text


def test_an_unknown_event_may_be_there_or_not_a_refused_one_may_not() -> None:
    ledger = a_ledger(a="ok", b="unknown", c="fail")
    assert phantom(ledger, Counter(a=1)) == phantom(ledger, Counter(a=1, b=3)) == []
    assert [one.count for one in phantom(ledger, Counter(a=1, c=1))] == [1]


def test_an_event_that_nobody_sent_is_a_phantom() -> None:
    assert phantom(a_ledger(a="ok"), Counter(a=1, ghost=1))[0].count == 1


def test_state_equal_to_the_recomputation_passes() -> None:
    expected = Expected(late={(0, 1, 2)}, dead={(0, 3, None): b"x"})
    late, dead = [Letter((0, 1, 2), b"id")], [Letter((0, 3, None), b"x")]
    assert effect(expected, {"users": ({"u1": ONE}, {"u1": ONE})}, late, dead) == []


def test_a_lost_and_a_doubled_event_show_in_the_state() -> None:
    for found in ({}, {"u1": TWO}):
        (finding,) = effect(Expected(), {"users": (found, {"u1": ONE})}, [], [])
        assert finding.checker == "C3 effect"


def test_an_entity_that_no_event_made_shows() -> None:
    assert effect(Expected(), {"users": ({"ghost": ONE}, {})}, [], [])


def test_late_rows_are_on_the_late_topic_exactly_once() -> None:
    expected, letter = Expected(late={(0, 1, 2)}), Letter((0, 1, 2), b"id")
    assert effect(expected, {}, [letter], []) == []
    assert "missing" in effect(expected, {}, [], [])[0].text
    assert "more than once" in effect(expected, {}, [letter, letter], [])[0].text
    assert "unwanted" in effect(Expected(), {}, [letter], [])[0].text


def test_dead_letters_have_the_original_bytes() -> None:
    expected = Expected(dead={(0, 3, None): b"original"})
    (finding,) = effect(expected, {}, [], [Letter((0, 3, None), b"changed")])
    assert "other bytes" in finding.text


def test_a_reader_may_see_a_position_twice_but_never_go_back() -> None:
    assert order({"log/0": [a_seen(0, 5), a_seen(2, 5), a_seen(4, 9, 7)]}) == []
    for last in (a_seen(4, 4, 7), a_seen(4, 9, 6), a_seen(2, 9, 7), a_seen(4, 9, 7, "0")):
        assert order({"log/0": [a_seen(0, 1, 0), a_seen(2, 5, 7), last]})


def test_a_replica_that_is_late_or_never_there_is_found() -> None:
    assert outputs({}, {"server": 4.9}, 5.0) == []
    assert outputs({}, {"server": 5.1}, 5.0)
    assert outputs({}, {"server": None}, 5.0)


def test_a_replica_that_differs_is_found() -> None:
    assert outputs({"server": {"users": ({"u1": TWO}, {"u1": ONE})}}, {}, 5.0)


def test_recovery_counts_from_the_end_of_the_fault_to_a_steady_small_lag() -> None:
    fault = Recovery("kill", 1.0, 3.0)
    found = samples(0.1, 0.1, 0.1, 6.0, 5.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)
    assert recovered_after(fault, found) == 1.5
    assert liveness([fault], found) == []


def test_the_moment_after_a_fault_is_no_recovery() -> None:
    assert recovered_after(Recovery("kill", 0.0, 1.0), samples(0.1, 0.1, 4.0, 3.0)) is None


def test_a_lag_that_stays_is_found() -> None:
    fault = Recovery("kill", 0.0, 3.0)
    assert liveness([fault], samples(*[2.0] * 20))
    assert liveness([fault], [Sample(0.0, None)])
    assert liveness([fault], samples(*[2.0] * 8, *[0.1] * 8))


def test_a_personal_value_in_a_log_is_found() -> None:
    assert leaks({"worker.log": b"nothing"}, "canary-") == []
    assert leaks({"worker.log": b'{"email": "canary-7@example.org"}'}, "canary-")[0].count == 1


def test_a_file_that_a_process_keeps_is_found() -> None:
    assert stateless([]) == []
    assert stateless(["worker-a/state.db"])[0].count == 1


def test_counters_tell_of_every_row_and_of_none_twice() -> None:
    expected = Expected(
        applied=[Applied("a", 0, "u1", None, 1, 0, 0)], duplicates=2, late={(0, 1, 2)}, dead={}
    )
    told = {
        "tidemill_events_applied_total": 1.0,
        "tidemill_duplicates_total": 2.0,
        "tidemill_events_late_total": 1.0,
    }
    assert counted(expected, told) == []
    for wrong in ({"tidemill_duplicates_total": 3.0}, {"tidemill_dead_letters_total": 1.0}):
        assert counted(expected, told | wrong)[0].count == 1
    assert counted(expected, {})[0].count == 3


def test_a_partition_stops_where_it_must_and_nowhere_else() -> None:
    quiet, loud = {"worker-a": b"{}"}, {"worker-a": b'{"event":"partition.stopped"}'}
    assert stopped(quiet, wanted=False) == stopped(loud, wanted=True) == []
    assert stopped(loud, wanted=False)
    assert stopped(quiet, wanted=True)


def test_a_slow_worker_may_not_grow_nor_leave_nor_hold_publishers_up() -> None:
    well = Slowed("worker-a", 10.0, 20.0, 100, 120, 0, 3)
    told = {"tidemill_partition_held": 0.0}
    quick, late, later = Sample(11.0, 11.5), Sample(11.0, 13.0), Sample(21.0, 29.0)
    assert slow([well], [quick, later], 1.0, told) == []
    assert slow([well], [late], 1.0, told)
    assert slow([well], [Sample(11.0, None)], 1.0, told)
    assert slow([replace(well, resident_peak=121)], [], 1.0, told)
    assert slow([replace(well, rebalances=1)], [], 1.0, told)


def test_a_slow_worker_pauses_partitions_and_resumes_all_of_them() -> None:
    well = Slowed("worker-a", 10.0, 20.0, 100, 120, 0, 3)
    assert slow([well], [], 1.0, {"tidemill_partition_held": 0.0}) == []
    assert slow([replace(well, holds=0)], [], 1.0, {"tidemill_partition_held": 0.0})
    assert slow([well], [], 1.0, {"tidemill_partition_held": 1.0})
    assert slow([well], [], 1.0, {})


def test_a_letter_that_is_put_back_counts_once_and_the_tool_must_have_died() -> None:
    once = Expected(applied=[Applied(one, 0, "u1", None, 1, 0, 0) for one in ("a", "b")])
    well = Replayed(("a", "b"), cut_off=2, refused=0, second=0)
    assert replayed(once, [well]) == []
    assert replayed(Expected(applied=once.applied[:1]), [well])[0].count == 1
    assert replayed(Expected(applied=[*once.applied, once.applied[0]]), [well])[0].count == 1
    for wrong in (replace(well, cut_off=0), replace(well, refused=1), replace(well, second=1)):
        assert replayed(once, [wrong])[0].count == 1


def a_struck(began_s: float, ended_s: float) -> Struck:
    return Struck(Fault(began_s, Do.KILL, "worker-a"), began_s, ended_s, 0.0, 0.0)


def test_a_fault_that_another_follows_too_soon_is_not_judged_alone() -> None:
    first, second, third = a_struck(0.0, 1.0), a_struck(10.0, 11.0), a_struck(40.0, 41.0)
    assert alone([first, second, third], 1.0) == [second, third]
    assert alone([first, second, third], 2.0) == [third]


def test_faults_that_hold_up_different_things_or_end_together_are_judged_apart() -> None:
    def struck(target: str, began_s: float, ended_s: float) -> Struck:
        return Struck(Fault(began_s, Do.NETWORK, target), began_s, ended_s, 0.0, 0.0)

    publisher, registry = struck("publisher", 0.0, 3.0), struck("registry", 5.0, 8.0)
    assert alone([publisher, registry], 1.0) == [publisher, registry]
    together = [struck("worker-a", 0.0, 3.0), struck("server", 0.0, 3.1)]
    assert alone(together, 1.0) == together
    assert alone([*together, registry], 1.0) == [*together, registry]
    reader = struck("reader", 5.0, 8.0)
    assert alone([*together, reader], 1.0) == [reader]


def test_nobody_can_know_at_once_of_a_connection_that_is_half_open() -> None:
    fault = Fault(0.0, Do.NETWORK, "publisher", mode=Mode.HALF_OPEN)
    struck = Struck(fault, 0.0, 0.0, 0.0, 0.0)
    assert struck.recovery(2.0).limit_s == NOTICED_S + 2.0 * RECOVERY_S["publisher"]
    assert replace(struck, fault=replace(fault, mode=Mode.RESET)).recovery(2.0).limit_s == 16.0


def test_a_starved_machine_is_seen_over_ten_seconds_not_in_a_moment() -> None:
    pace = Pace()
    for ratio in [1.0] * (WINDOW - 1) + [41.0]:
        pace.note(ratio)
    assert pace.worst == 2.0


def a_comparison(**changes: Any) -> Compared:
    same = {"vectors": 10, "values": 120, "mismatches": 0, "examples": [], "logged": 10}
    return Compared(**{**same, "differing": [], **changes})


def test_vectors_are_enough_all_are_recomputed_and_none_differs() -> None:
    assert vectors(a_comparison(), 10) == []
    for wrong in (
        {"mismatches": 1, "examples": ["p1 count: served 2.0, recomputed 1.0"]},
        {"vectors": 9},
        {"vectors": 9, "logged": 9},
        {"differing": ["u1 at 0: [1.0], not [2.0]"]},
    ):
        assert vectors(a_comparison(**wrong), 10) != []


def a_forgetting(**changes: Any) -> Forgotten:
    well = {"places": (), "accepted_for_s": 0.5, "completed_after_s": 30.0, "refused": 9}
    return Forgotten(**{**well, "put_back": 0, **changes})


def test_nothing_is_left_of_the_erased_and_nothing_of_theirs_gets_in() -> None:
    assert forgotten(a_forgetting(), 1.0) == []
    for wrong in (
        {"places": ("1 records of events.s",)},
        {"accepted_for_s": 3.0},
        {"completed_after_s": None},
        {"completed_after_s": 61.0},
        {"refused": 0},
        {"put_back": 1},
    ):
        assert forgotten(a_forgetting(**wrong), 1.0) != []
    assert forgotten(a_forgetting(completed_after_s=61.0), 2.0) == []


def test_neighbours_of_a_stopped_partition_are_at_most_twice_as_slow() -> None:
    well = Neighbours(looks=(90, 90), read_p99_s=(0.001, 0.03), readable_p99_s=(0.05, 0.09))
    assert neighbours(well, 1.0) == []
    assert neighbours(replace(well, read_p99_s=(0.001, 0.05)), 1.0) != []
    assert neighbours(replace(well, readable_p99_s=(0.05, 0.11)), 1.0) != []
    assert neighbours(replace(well, readable_p99_s=(0.05, 0.11)), 2.0) == []
    assert neighbours(replace(well, looks=(90, 3)), 1.0) != []


def test_looks_are_compared_from_before_a_burst_and_from_then_until_the_next_fault() -> None:
    def struck(do: Do, began_s: float, ended_s: float) -> Struck:
        return Struck(Fault(0.0, do), began_s, ended_s, 0.0, 0.0)

    faults = [struck(Do.BURST, 10.0, 12.0), struck(Do.STOP, 20.0, 21.0)]
    took = [Took(at, at / 100, at / 10) for at in (1.0, 9.0, 11.0, 13.0, 19.0, 25.0)]
    found = compared(took, faults)
    assert found.looks == (2, 2)
    assert found.read_p99_s == (0.09, 0.19)
    assert found.readable_p99_s == (0.9, 1.9)
    assert p99([float(number) for number in range(1, 201)]) == 198.0
