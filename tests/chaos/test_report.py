"""A report says how to do a run again, and its table is one; a watch knows silence and lag."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.chaos.checkers import Finding, Seen
from tests.chaos.mutants import MUTANTS, caught
from tests.chaos.report import HEADS, Report, facts, merged, read, table, write
from tests.chaos.traffic import PROJECT
from tests.chaos.watching import Watch
from tidemill.project import loads, normalise
from tidemill_common.feature_views import view_specs
from tidemill_common.kafka import TopicPartition

RAW = TopicPartition("events.s", 0)
C3 = Finding("C3 effect", 2, "missing in the late topic: (0, 1, 2)")


def a_report(*findings: Finding, mutant: str = "", settled: float | None = 1.5) -> Report:
    return Report(
        scenario="storm",
        promises="P17",
        seed=7,
        mutant=mutant,
        when="2030-01-01T00:00:00+00:00",
        hardware="2 cores",
        load={
            "published": 1000,
            "events_per_s": 10,
            "attempts": {"ok": 990, "fail": 5, "unknown": 5},
        },
        rows={"raw": 1000, "applied": 900, "duplicate": 80, "late": 10, "dead": 10},
        faults=[
            {"fault": "kill", "judged": False, "recovered_after_s": None, "longest_silence_s": 9.0},
            {"fault": "stop", "judged": True, "recovered_after_s": 2.0, "longest_silence_s": 3.0},
        ],
        settled_s={"server": settled, "follower": 1.0},
        slower=1.0,
        findings=list(findings),
        wall_s=60.0,
    )


def a_watch() -> Watch:
    spec = view_specs(normalise(loads(PROJECT.format(stream="s")).project))["s_users"]
    return Watch([spec], [RAW])


def test_a_failure_names_the_seed_and_every_finding() -> None:
    text = a_report(C3).text()
    assert "CHAOS_SEED=7: FAILED" in text
    assert C3.text in text


def test_the_clock_of_a_whole_run_is_not_the_sum_of_its_scenarios() -> None:
    both = [a_report(), a_report(C3)]
    assert "2 minutes of scenarios, some of them beside others; 1.5 by the clock." in facts(
        both, 90.0
    )
    assert "2 minutes of scenarios, some of them beside others. " in facts(both)
    assert "findings in 1 scenarios" in facts(both)


def test_every_line_of_the_table_has_a_cell_for_every_head() -> None:
    lines = [line for line in table([a_report()]).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines[:3]} == {len(HEADS) + 1}


def test_what_a_scenario_measures_besides_is_a_line_of_its_own() -> None:
    text = table([replace(a_report(), figures={"vectors": 105_965, "values that differ": 0})])
    assert "- **storm**: vectors 105,965; values that differ 0." in text


def test_what_ran_again_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    old = [a_report(C3), a_report(mutant="no-fence")]
    write(old, tmp_path / "report.json")
    assert read(tmp_path / "report.json") == old
    again, another = a_report(), replace(a_report(), scenario="network")
    assert merged(old, [another, again]) == [again, old[1], another]


def test_only_faults_that_were_judged_count_for_the_slowest_recovery() -> None:
    assert "| 2.0 s | 3.0 s |" in table([a_report()])


def test_a_mutant_is_caught_by_a_checker_that_can_know_and_by_no_other() -> None:
    late = Finding("C5 outputs", 1, "never")
    for name in MUTANTS:
        assert caught(a_report(C3, mutant=name))
        assert not caught(a_report(late, mutant=name))
        assert not caught(a_report(mutant=name))


def test_what_is_missing_while_work_is_left_catches_only_mutants_that_never_end_it() -> None:
    for name, mutant in MUTANTS.items():
        unsettled = a_report(C3, mutant=name, settled=None)
        assert caught(unsettled) is not mutant.settles
        assert caught(replace(unsettled, settled_s={})) is not mutant.settles


def test_a_log_that_ends_in_the_middle_was_silent_to_the_end() -> None:
    watch = a_watch()
    quiet, other = min(watch.logs), TopicPartition("another", 0)
    watch.seen[quiet] = [Seen(0, 1, 0, "1", 1_000), Seen(1, 2, 0, "1", 3_000)]
    watch.seen[other] = [Seen(0, 1, 0, "1", time) for time in range(1_000, 9_001, 1_000)]
    assert watch.silence_s(1_000, 60_000) == 6.0
    assert watch.silence_s(1_000, 3_500) == 2.0


def test_a_position_is_that_of_the_slowest_view() -> None:
    watch = a_watch()
    (log,) = watch.logs
    assert watch.position(RAW) == 0
    watch.seen[log] = [Seen(0, 5, 0, "1", 0)]
    assert watch.position(RAW) == 5
