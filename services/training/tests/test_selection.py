"""Promises of what a run leaves out."""

from __future__ import annotations

from dataclasses import replace

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill_training import selection
from tidemill_training.selection import Span, excluded
from tidemill_training.signals import Alert, AlertState, Kind

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_000 * DAY


def a_project() -> pb.Project:
    project = pb.Project(name="p")
    for name in ("scheduled", "arrived", "weather", "unused"):
        project.streams.add(name=name)
    arrivals = project.views.add(name="arrivals", stream="arrived", entity=["carrier"])
    mean = arrivals.aggregations.add(function=pb.FUNCTION_MEAN, field="delay")
    for hours in (6, 168):
        mean.windows.add().length.FromSeconds(hours * 3600)
    mean.windows.add()
    taxi = arrivals.aggregations.add(function=pb.FUNCTION_MAX, field="taxi")
    taxi.windows.add().length.FromSeconds(3600)
    sky = project.views.add(name="sky", stream="weather", entity=["origin"])
    rain = sky.aggregations.add(function=pb.FUNCTION_COUNT, filter="precip > 0.1")
    rain.windows.add().length.FromSeconds(3 * 3600)
    project.on_demand.add(name="wet", expression="sky__count_3h > 1")
    model = project.models.add(name="m")
    model.spine.stream, model.label.stream = "scheduled", "arrived"
    model.inputs.add().feature.view = "arrivals"
    model.inputs.add().on_demand = "wet"
    return project


def an_alert(subject: str = "arrived.delay", **facts: object) -> Alert:
    alert = Alert(
        "a1",
        "m",
        Kind.DATA,
        AlertState.OK,
        subject,
        bad_from_us=START,
        bad_to_us=START + 3 * DAY,
        fired=True,
    )
    return replace(alert, **facts)  # type: ignore[arg-type]


def of(alert: Alert) -> selection.Excluded:
    project = a_project()
    return excluded(project, project.models[0], [alert])


def test_rows_are_left_out_until_the_longest_window_that_read_the_field_has_passed() -> None:
    (span,) = of(an_alert()).rows
    assert (span.from_us, span.to_us) == (START, START + 3 * DAY + 7 * DAY)


def test_a_field_that_only_a_short_window_reads_is_left_out_shortly() -> None:
    (span,) = of(an_alert("arrived.taxi")).rows
    assert span.to_us == START + 3 * DAY + HOUR


def test_a_field_in_a_filter_is_read_and_an_on_demand_feature_uses_its_view() -> None:
    (span,) = of(an_alert("weather.precip")).rows
    assert span.to_us == START + 3 * DAY + 3 * HOUR


def test_a_wrong_entity_key_is_wrong_in_every_window_of_its_view() -> None:
    (span,) = of(an_alert("arrived.carrier")).rows
    assert span.to_us == START + 10 * DAY


def test_labels_that_became_known_from_wrong_events_are_left_out() -> None:
    (span,) = of(an_alert()).labels
    assert (span.from_us, span.to_us) == (START, START + 3 * DAY)
    assert of(an_alert("weather.precip")).labels == ()


def test_an_alert_that_still_fires_has_no_end() -> None:
    (span,) = of(an_alert(state=AlertState.FIRING, bad_to_us=None)).rows
    assert span.to_us > START + 3_000 * DAY


def test_a_suspicion_counts_while_it_lasts_and_leaves_nothing_out_when_it_went_away() -> None:
    suspicion = an_alert(state=AlertState.SUSPECT, fired=False)
    assert len(of(suspicion).rows) == 1
    assert of(replace(suspicion, state=AlertState.OK)) == selection.Excluded()


def test_a_stream_that_the_model_does_not_read_changes_nothing() -> None:
    assert of(an_alert("unused.x")) == selection.Excluded()


def test_other_kinds_and_alerts_without_a_first_bad_event_change_nothing() -> None:
    assert of(an_alert(kind=Kind.FEATURE_DRIFT)) == selection.Excluded()
    assert of(an_alert(bad_from_us=None)) == selection.Excluded()


def test_the_reason_names_field_and_alert() -> None:
    assert of(an_alert()).rows[0] == Span(START, START + 10 * DAY, "arrived.delay: alert a1")


def test_the_order_of_alerts_changes_nothing() -> None:
    project = a_project()
    alerts = [an_alert(alert_id=str(i), bad_from_us=START + i * DAY) for i in range(4)]
    model = project.models[0]
    assert excluded(project, model, alerts) == excluded(project, model, alerts[::-1])


def test_a_wrong_field_stands_in_what_is_computed_from_it_too() -> None:
    project = a_project()
    view = project.views[0]
    view.columns.add(name="hours", expression="minutes / 60")
    ewma = view.aggregations.add(function=pb.FUNCTION_EWMA, field="hours")
    ewma.windows.add().length.FromSeconds(2 * 3600)
    model = project.models[0]
    assert selection.longest_window(project, model, "arrived", "minutes") == 2 * HOUR
    assert selection.longest_window(project, model, "arrived", "hour") == 0
    view.filter = "hours > 1"
    assert selection.longest_window(project, model, "arrived", "minutes") == 7 * DAY


def test_a_field_of_one_of_several_streams_stands_where_its_source_maps_it() -> None:
    project = a_project()
    view = project.views[0]
    view.stream = ""
    view.sources.add(stream="arrived", columns={"carrier": "airline"}, filter="gate IS NOT NULL")
    view.sources.add(
        stream="weather", columns={"delay": "wait / 60", "taxi": "0", "carrier": "who"}
    )
    model = project.models[0]
    assert selection.streams_of(project, model) == {"scheduled", "arrived", "weather"}
    windows = {
        name: selection.longest_window(project, model, *name.split("."))
        for name in (
            *("weather.wait", "weather.who", "weather.delay"),
            *("arrived.taxi", "arrived.airline", "arrived.gate", "arrived.wait"),
        )
    }
    assert windows == {
        "weather.wait": 7 * DAY,
        "weather.who": 7 * DAY,
        "weather.delay": 0,  # its own `delay` is not read
        "arrived.taxi": HOUR,
        "arrived.airline": 7 * DAY,
        "arrived.gate": 7 * DAY,
        "arrived.wait": 0,
    }
