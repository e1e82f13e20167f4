"""Records of topics become the columns of the join."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest

from tidemill.project.load import load
from tidemill.project.normalise import normalise
from tidemill_common import events, prediction_rows
from tidemill_common.kafka import Record, TopicPartition
from tidemill_monitoring import rows
from tidemill_monitoring.decoding import Decoded, decode
from tidemill_monitoring.definitions import Watch, watch_of

FLIGHTS = Path(__file__).parents[3] / "examples" / "flights" / "tidemill.yaml"
HOUR_US = 3_600_000_000
BASE_US = 1_357_000_000_000_000


@pytest.fixture(scope="module")
def watch() -> Watch:
    return watch_of(normalise(load(FLIGHTS)), "g")


def a_batch(watch: Watch, stream: str, given: list[dict[str, object]]) -> bytes:
    schema = events.event_schema(watch.streams[stream].columns)
    plain = {f.name: pa.int64() if pa.types.is_timestamp(f.type) else f.type for f in schema}
    arrays = [
        pa.array([row.get(f.name) for row in given], plain[f.name]).cast(f.type) for f in schema
    ]
    return events.encode(pa.RecordBatch.from_arrays(arrays, schema=schema))


def arrival(flight: str | None, delay: float | None, at: int, **more: object) -> dict[str, object]:
    texts = dict.fromkeys(("carrier", "origin", "dest", "route"), "X")
    return {
        "_id": f"a-{flight}",
        "_source": "demo",
        "_time": at,
        "_available": at + HOUR_US,
        "event_id": f"a-{flight}",
        "flight_id": flight or "",
        "arrived_at": at,
        "arr_delay": delay,
        **texts,
        **more,
    }


def a_record(
    topic: str, value: bytes, offset: int = 0, append_us: int = 2 * BASE_US
) -> tuple[TopicPartition, Record]:
    record = Record(topic, 1, offset, append_us // 1_000, None, value, ())
    return TopicPartition(topic, 1), record


def arrivals(watch: Watch, given: list[dict[str, object]]) -> Decoded:
    value = a_batch(watch, "flight_arrived", given)
    return decode(watch, [a_record("events.flight_arrived", value, 7)])


def test_a_label_is_the_models_expression_and_null_is_no_label(watch: Watch) -> None:
    given = [
        arrival("f1", 20.0, BASE_US),
        arrival("f2", 3.0, BASE_US),
        arrival("f3", None, BASE_US),
    ]
    found = rows.label_rows(
        watch.models["late_arrival"], arrivals(watch, given).events["flight_arrived"]
    )
    assert found["key"].to_pylist() == ["f1", "f2"]
    assert found["value"].to_pylist() == [1.0, 0.0]
    assert found["available"].to_pylist() == [BASE_US + HOUR_US] * 2


def test_stream_time_runs_at_most_five_minutes_ahead_of_the_append(watch: Watch) -> None:
    value = a_batch(watch, "flight_arrived", [arrival("f1", 1.0, BASE_US)])
    late = decode(watch, [a_record("events.flight_arrived", value)])
    early = decode(watch, [a_record("events.flight_arrived", value, append_us=BASE_US)])
    tp = TopicPartition("events.flight_arrived", 1)
    assert late.clocks[tp] == BASE_US + HOUR_US
    assert early.clocks[tp] == BASE_US + rows.SKEW_US


def test_what_cannot_be_read_is_counted_and_its_offset_moves_on(watch: Watch) -> None:
    good = a_batch(watch, "flight_arrived", [arrival("f1", 1.0, BASE_US)])
    decoded = decode(
        watch,
        [
            a_record("events.flight_arrived", b"poison", 7),
            a_record("events.flight_arrived", good, 8),
            a_record("predictions.late_arrival", good, 3),
        ],
    )
    assert decoded.refused == 2
    assert decoded.offsets[TopicPartition("events.flight_arrived", 1)] == 9
    assert decoded.events["flight_arrived"].table.num_rows == 1


def test_a_raw_row_keeps_its_place(watch: Watch) -> None:
    given = [arrival("f1", 1.0, BASE_US), arrival("f2", 2.0, BASE_US + 1)]
    found = arrivals(watch, given).events["flight_arrived"]
    kept = rows.watched_rows(watch.streams["flight_arrived"].watched, found)
    assert kept["_partition"].to_list() == [1, 1]
    assert kept["_offset"].to_list() == [7, 7]
    assert kept["_row"].to_list() == [0, 1]
    assert kept["arr_delay"].to_list() == [1.0, 2.0]


def test_spine_rows_without_a_time_are_left_out(watch: Watch) -> None:
    texts = dict.fromkeys(("carrier", "origin", "dest", "route"), "X")
    given: list[dict[str, object]] = [
        {
            "_id": f"s{i}",
            "_source": "demo",
            "_time": BASE_US,
            "_available": BASE_US,
            "event_id": f"s{i}",
            "flight_id": f"f{i}",
            "announced_at": BASE_US,
            "predict_at": BASE_US + HOUR_US,
            **texts,
        }
        for i in range(2)
    ]
    value = a_batch(watch, "flight_scheduled", given)
    decoded = decode(watch, [a_record("events.flight_scheduled", value)])
    found = rows.spine_rows(watch.models["late_arrival"], decoded.events["flight_scheduled"])
    assert found["t"].to_pylist() == [BASE_US + HOUR_US] * 2
    assert found["key"].to_pylist() == ["f0", "f1"]


def test_keys_of_several_fields_are_the_canonical_ones() -> None:
    keys = rows.join_keys([pa.array(["a", None]), pa.array([1, 2]), pa.array([True, False])])
    assert keys.to_pylist() == ["a\x1f1\x1ftrue", None]


def answers(n: int, **columns: list[object]) -> pa.Table:
    base: dict[str, list[object]] = {
        "_prediction_id": [f"p{i}" for i in range(n)],
        "_request_id": [None] * n,
        "_time": [BASE_US] * n,
        "_logged": [BASE_US] * n,
        "_spine_key": [f"f{i}" for i in range(n)],
        "_version": [1] * n,
        "_digest": ["d"] * n,
        "_variant": ["champion"] * n,
        "_propensity": [1.0] * n,
        "_status": ["OK"] * n,
        "_score": [0.5] * n,
        "_outputs": [None] * n,
        "_latency_us": [1] * n,
        "_sampled": [False] * n,
        "_vector": [None] * n,
        "_request": [None] * n,
        "_positions": [None] * n,
        **columns,
    }
    arrays = [
        pa.array(base[f.name], pa.int64()).cast(f.type)
        if pa.types.is_timestamp(f.type)
        else pa.array(base[f.name], f.type)
        for f in prediction_rows.SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=prediction_rows.SCHEMA)


def test_failed_answers_are_not_judged() -> None:
    table = answers(3, _status=["OK", "ERROR", "OK"], _score=[0.1, None, None])
    assert rows.predictions(table).rows["id"].to_list() == ["p0"]


def test_categories_are_the_texts_that_training_used() -> None:
    request = orjson.dumps({"weekday": 3, "carrier": "UA", "dest": None}).decode()
    table = answers(1, _sampled=[True], _vector=[[1.0, np.nan]], _request=[request])
    found = rows.categories(rows.predictions(table).sampled, ["weekday", "carrier", "dest"])
    assert found == {"weekday": ["3"], "carrier": ["UA"], "dest": [None]}


def test_a_label_record_has_the_agreed_columns() -> None:
    joined = [("s1", "f1", BASE_US, BASE_US + 1, BASE_US + 2, 1.0, None, None, None)]
    batch = rows.label_batch(joined)
    assert batch.schema == rows.LABELS
    assert batch.num_rows == 1
    assert events.decode(events.encode(batch)).num_rows == 1


def test_the_flights_project_is_watched_as_it_says(watch: Watch) -> None:
    model = watch.models["late_arrival"]
    assert (model.spine_stream, model.spine_time, model.label_key) == (
        "flight_scheduled",
        "predict_at",
        ("flight_id",),
    )
    assert "flight_arrived.arr_delay" in model.fields
    assert watch.streams["flight_arrived"].watched.numeric == ("arr_delay",)
    assert "event_id" not in watch.streams["flight_arrived"].watched.strings
    assert "weekday" in model.categorical
    assert model.window_us % (24 * HOUR_US) == 0
