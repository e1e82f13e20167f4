"""Figures of processes: added up over all of them, compared between two moments."""

from __future__ import annotations

import math

import pytest

from tidemill.cli.exposition import Samples, added, fetch, quantile, rate, read

TEXT = """\
# HELP tidemill_events_applied_total events
# TYPE tidemill_events_applied_total counter
tidemill_events_applied_total{stream="visits"} 10.0
tidemill_events_applied_total{stream="a \\"quoted\\", one"} 1.5e+03
tidemill_runs_open 2.0
"""


def a_histogram(**counts: float) -> str:
    bounds = {"small": "0.01", "large": "0.1", "all": "+Inf"}
    return "".join(
        f'flush_bucket{{le="{bounds[name]}",stream="s"}} {count}\n'
        for name, count in counts.items()
    )


def test_samples_are_read_with_their_labels() -> None:
    assert list(read(TEXT)) == [
        ("tidemill_events_applied_total", (("stream", "visits"),), 10.0),
        ("tidemill_events_applied_total", (("stream", 'a \\"quoted\\", one'),), 1500.0),
        ("tidemill_runs_open", (), 2.0),
    ]


def test_processes_are_added_up_and_labels_choose() -> None:
    both = added(0.0, [TEXT, TEXT])
    assert both.total("tidemill_events_applied_total", stream="visits") == 20.0
    assert both.total("tidemill_events_applied_total") == 3020.0
    assert both.total("tidemill_nothing_total") is None
    assert both.of("tidemill_runs_open") == [({}, 4.0)]


def test_a_counter_grows_so_much_a_second() -> None:
    before, after = added(10.0, ['c{s="a"} 4']), added(12.0, ['c{s="a"} 10', 'c{s="b"} 9'])
    assert rate(before, after, "c", s="a") == 3.0
    assert rate(before, after, "c", s="b") == 4.5
    assert rate(before, after, "c", s="x") is None
    assert rate(after, added(14.0, ['c{s="a"} 1']), "c", s="a") is None
    assert rate(after, after, "c", s="a") is None


def test_a_quantile_is_that_of_the_time_between_the_two_moments() -> None:
    before = added(0.0, [a_histogram(small=90, large=100, all=100)])
    after = added(1.0, [a_histogram(small=90, large=110, all=110)])
    assert quantile(before, after, "flush", 0.5, stream="s") == pytest.approx(0.055)
    assert quantile(before, before, "flush", 0.5, stream="s") == pytest.approx(0.01 * 50 / 90)


def test_a_quantile_beyond_the_bounds_is_the_last_bound_and_of_nothing_there_is_none() -> None:
    nothing = Samples(0.0)
    slow = added(1.0, [a_histogram(small=0, large=0, all=5)])
    assert quantile(nothing, slow, "flush", 0.99, stream="s") == 0.1
    assert quantile(nothing, nothing, "flush", 0.5) is None
    assert not math.isnan(quantile(nothing, slow, "flush", 0.0) or 0.0)


def test_a_process_that_is_away_is_left_out() -> None:
    assert fetch(["127.0.0.1:1"]).values == {}
