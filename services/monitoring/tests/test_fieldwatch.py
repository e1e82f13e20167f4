"""What the watch over raw fields finds, names and forgives."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from tidemill_common.reference import numeric_bins
from tidemill_monitoring import codec, fieldstate, fieldwatch
from tidemill_monitoring.alerts import Alert, Judgement, Kind, Moment, State, apply
from tidemill_monitoring.fields import DAY_US, HOUR_US, Segment
from tidemill_monitoring.fieldstate import FieldState, Sighting, Watched
from tidemill_monitoring.findings import data_finding

WATCHED = Watched("arrived", ("delay",), ("carrier", "airport"))
CARRIERS = ("UA", "DL", "B6", "AA", "EV", "US")
ROWS_PER_HOUR = 40


def a_stream(days: int, seed: int = 1) -> pl.DataFrame:
    """Whole minutes of delay, skewed as in life, by six carriers at two airports."""
    generator = np.random.default_rng(seed)
    n = days * 24 * ROWS_PER_HOUR
    delay = np.round(
        generator.normal(-5, 12, n) + generator.exponential(20, n) * (generator.random(n) < 0.4)
    )
    time = (np.arange(n) * (HOUR_US // ROWS_PER_HOUR)).astype(np.int64) + 1
    return pl.DataFrame(
        {
            "_clock": time,
            "_time": time,
            "_partition": np.zeros(n, dtype=np.int32),
            "_offset": np.arange(n, dtype=np.int64),
            "_row": np.zeros(n, dtype=np.int32),
            "_identity": np.arange(n, dtype=np.int64),
            "delay": delay,
            "carrier": [CARRIERS[i] for i in generator.integers(0, 6, n)],
            "airport": [("EWR", "JFK")[i] for i in generator.integers(0, 2, n)],
        }
    )


def between(start_day: float, end_day: float) -> pl.Expr:
    return (pl.col("_time") >= start_day * DAY_US) & (pl.col("_time") < end_day * DAY_US)


def with_delay(rows: pl.DataFrame, where: pl.Expr, value: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(pl.when(where).then(value).otherwise(pl.col("delay")).alias("delay"))


@dataclass
class Seen:
    """What happened: sightings with their times, and the alert's changes of state."""

    sightings: list[tuple[int, Sighting]]
    changes: list[tuple[int, State, Alert]]

    def fired(self) -> tuple[int, Alert]:
        return next((at, alert) for at, state, alert in self.changes if state is State.FIRING)

    def over(self) -> Alert:
        return next(alert for _, state, alert in self.changes if state is State.OK)


def watch(
    rows: pl.DataFrame,
    every_us: int = 2 * HOUR_US,
    *,
    restart: bool = False,
    watched: Watched = WATCHED,
) -> Seen:
    """Feed rows in steps of stream time, as the service does."""
    state, alert = fieldstate.empty(watched), None
    seen = Seen([], [])
    for _, part in rows.with_columns(_step=pl.col("_clock") // every_us).group_by(
        "_step", maintain_order=True
    ):
        state, _ = fieldstate.append(state, part.drop("_step"))
        frontier = int(part["_clock"].to_numpy().max())
        if restart:
            state = stored_and_read(state, watched)
        state, alert = look(watched, state, frontier, alert, seen)
    return seen


def look(
    watched: Watched, state: FieldState, frontier: int, alert: Alert | None, seen: Seen
) -> tuple[FieldState, Alert | None]:
    while (now := fieldwatch.next_look(state, frontier)) is not None:
        state, found = fieldwatch.judge(watched, state, now, {})
        for sighting in found:
            seen.sightings.append((now, sighting))
            change = apply(alert, data_finding("m", "arrived", sighting), Moment(now, now), "a")
            alert = change.alert
            if change.announced and alert is not None:
                seen.changes.append((now, alert.machine.state, alert))
            if alert is not None and not alert.machine.open:
                alert, state = None, fieldstate.close(state, sighting.field)
    return state, alert


def stored_and_read(state: FieldState, watched: Watched) -> FieldState:
    document, pasts = codec.field_state(state)
    frames = [codec.frame_from_bytes(codec.frame_to_bytes(state.rows))]
    return codec.field_state_from(watched, frames, document, pasts)


def test_a_clean_stream_is_left_alone() -> None:
    assert watch(a_stream(8)).sightings == []


@pytest.mark.parametrize("start", [3.3, 4.0, 5.71])
def test_seconds_in_place_of_minutes_are_named_with_factor_segment_and_first_row(
    start: float,
) -> None:
    clean = a_stream(9)
    bad = between(start, start + 2) & (pl.col("carrier") == "UA")
    rows = with_delay(clean, bad, pl.col("delay") * 60)
    at, alert = watch(rows).fired()
    first = rows.filter(bad & (pl.col("delay") != 0)).row(0, named=True)
    cause = alert.causes[0]
    assert (alert.subject.kind, alert.subject.name) == (Kind.DATA, "arrived.delay")
    assert (cause.shape, cause.segment) == ("scale", {"carrier": "UA"})
    assert "60" in cause.text
    assert alert.first_bad is not None
    assert alert.first_bad.offset == first["_offset"]
    assert alert.bad_from_us == first["_time"]
    assert at - first["_time"] < 6 * HOUR_US


def test_when_the_fault_ends_the_alert_ends_with_the_last_bad_row() -> None:
    bad = between(4, 6) & (pl.col("carrier") == "UA")
    rows = with_delay(a_stream(8), bad, pl.col("delay") * 60)
    last = rows.filter(bad & (pl.col("delay") != 0))["_time"][-1]
    over = watch(rows).over()
    assert over.bad_to_us is not None
    assert abs(over.bad_to_us - last) <= 2 * HOUR_US
    assert over.resolved_us is not None
    assert over.resolved_us < 7 * DAY_US


def test_rows_of_a_bad_span_never_become_what_is_usual() -> None:
    bad = pl.col("carrier") == "UA"
    once = with_delay(a_stream(12), bad & between(4, 6), pl.col("delay") * 60)
    twice = with_delay(once, bad & between(9, 11), pl.col("delay") * 60)
    fired = [state for _, state, _ in watch(twice).changes].count(State.FIRING)
    assert fired == 2


def test_a_restart_at_every_step_changes_nothing() -> None:
    bad = between(4, 5) & (pl.col("carrier") == "DL")
    rows = with_delay(a_stream(6), bad, pl.col("delay") * 60)
    kept, lost = watch(rows), watch(rows, restart=True)
    assert lost.changes == kept.changes


def test_a_whole_stream_in_another_unit_has_no_segment() -> None:
    rows = with_delay(a_stream(6), between(4, 6), pl.col("delay") * 60)
    _, alert = watch(rows).fired()
    assert alert.causes[0].segment == {}
    assert alert.causes[0].shape == "scale"


def test_values_in_a_larger_unit_are_found_too() -> None:
    bad = between(4, 6) & (pl.col("carrier") == "UA")
    rows = with_delay(a_stream(7), bad, pl.col("delay") / 60)
    _, alert = watch(rows).fired()
    assert alert.causes[0].segment == {"carrier": "UA"}
    assert alert.causes[0].shape == "scale"


def test_values_that_are_gone_are_missing() -> None:
    bad = between(4, 5) & (pl.col("airport") == "JFK")
    rows = with_delay(a_stream(6), bad, pl.lit(None, pl.Float64))
    _, alert = watch(rows).fired()
    assert (alert.causes[0].shape, alert.causes[0].segment) == ("missing", {"airport": "JFK"})


def test_a_storm_that_triples_every_delay_is_weather_and_no_fault() -> None:
    rows = with_delay(a_stream(8), between(4, 5.5), pl.col("delay").abs() * 3 + 45)
    assert watch(rows).sightings == []


def test_one_wild_value_is_no_alert() -> None:
    rows = with_delay(a_stream(6), pl.col("_offset") == 4_000, pl.lit(1e6))
    assert watch(rows).sightings == []


def test_rain_after_dry_days_is_no_fault() -> None:
    rows = with_delay(a_stream(8), pl.lit(value=True), pl.lit(0.0))
    wet = with_delay(rows, between(5, 5.5), pl.lit(0.3))
    assert watch(wet).sightings == []


def test_nothing_is_judged_before_two_days_are_known_unless_a_champion_has_a_profile() -> None:
    rows = with_delay(a_stream(2), between(1, 2), pl.col("delay") * 60)
    assert watch(rows).sightings == []
    profile = {"delay": numeric_bins("delay", a_stream(5, seed=9)["delay"].to_numpy())}
    state, _ = fieldstate.append(fieldstate.empty(WATCHED), rows)
    _, found = fieldwatch.judge(WATCHED, state, 2 * DAY_US, profile)
    assert [sighting.field for sighting in found] == ["delay"]
    assert found[0].odd is not None
    assert found[0].segment == Segment()


def test_findings_of_a_certain_look_fire_at_once() -> None:
    bad = between(4, 6) & (pl.col("carrier") == "UA")
    rows = with_delay(a_stream(6), bad, pl.col("delay") * 3600)
    seen = watch(rows, every_us=6 * HOUR_US)
    judged = [data_finding("m", "arrived", s).judgement for _, s in seen.sightings]
    assert judged[0] is Judgement.CERTAIN
    assert seen.changes[0][1] is State.FIRING


def test_rows_that_nothing_needs_are_let_go() -> None:
    state = fieldstate.empty(WATCHED)
    for day in range(1, 9):
        part = a_stream(8).filter(between(day - 1, day))
        state, _ = fieldstate.append(state, part)
        state, _ = fieldwatch.judge(WATCHED, state, day * DAY_US, {})
    assert state.rows["_time"].min() > 4 * DAY_US  # type: ignore[operator]
    assert state.pasts["delay"].ready


def test_a_text_field_with_many_values_names_no_segment() -> None:
    rows = a_stream(5).with_columns(
        airport=pl.Series(
            [f"f{i}" for i in itertools.islice(itertools.count(), 5 * 24 * ROWS_PER_HOUR)]
        )
    )
    bad = between(4, 5)
    found = watch(with_delay(rows, bad, pl.col("delay") * 60)).sightings
    assert found[0][1].segment == Segment()


def test_a_duplicate_counts_once() -> None:
    rows = a_stream(1)
    once, _ = fieldstate.append(fieldstate.empty(WATCHED), rows)
    again, new = fieldstate.append(once, rows)
    both, _ = fieldstate.append(fieldstate.empty(WATCHED), pl.concat([rows, rows]))
    assert new.height == 0
    assert again.rows.equals(once.rows)
    assert both.rows.equals(once.rows)


def test_rows_of_a_fault_that_is_over_open_no_second_alert() -> None:
    bad = between(4, 5.4) & (pl.col("carrier") == "UA")
    seen = watch(with_delay(a_stream(8), bad, pl.col("delay") * 60))
    assert [state for _, state, _ in seen.changes].count(State.OK) == 1
    assert len({at for at, state, _ in seen.changes if state is State.FIRING}) == 1


def test_a_calm_in_which_every_value_is_nothing_is_no_other_unit() -> None:
    rows = with_delay(a_stream(8), pl.lit(value=True), pl.col("delay").abs() + 10)
    calm = with_delay(rows, between(5, 5.5), pl.lit(0.0))
    assert watch(calm).sightings == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_week_that_comes_at_once_and_out_of_order_is_judged_as_if_it_came_hour_by_hour(
    seed: int,
) -> None:
    bad = between(4, 6) & (pl.col("carrier") == "UA")
    rows = with_delay(a_stream(8, seed), bad, pl.col("delay") * 60)
    live, late = (
        watch(rows, HOUR_US),
        watch(rows.sample(fraction=1, shuffle=True, seed=seed), 9 * DAY_US),
    )
    assert late.changes == live.changes
    assert State.FIRING in [state for _, state, _ in late.changes]


def test_a_field_that_is_no_longer_watched_is_forgotten_with_its_bad_span() -> None:
    bad = between(4, 6) & (pl.col("carrier") == "UA")
    state, _ = fieldstate.append(
        fieldstate.empty(WATCHED), with_delay(a_stream(5), bad, pl.col("delay") * 60)
    )
    while (now := fieldwatch.next_look(state, 5 * DAY_US)) is not None:
        state, _ = fieldwatch.judge(WATCHED, state, now, {})
    assert [span.field for span in state.spans] == ["delay"]
    without = Watched("arrived", (), WATCHED.strings)
    assert stored_and_read(state, without).spans == ()
