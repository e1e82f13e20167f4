"""Promises of the on-demand features that training sets and requests share."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tidemill.project import load, model_inputs
from tidemill_common.on_demand import OnDemand, feature_array, numbers

FLIGHTS = Path(__file__).parents[3] / "examples" / "flights" / "tidemill.yaml"


@pytest.fixture(scope="module")
def flights() -> OnDemand:
    return OnDemand.of(model_inputs(load(FLIGHTS), "late_arrival"))


def test_a_difference_of_features_is_computed_row_by_row(flights: OnDemand) -> None:
    columns = {
        "origin_departures__mean_dep_delay_1h": feature_array(np.array([3.0, np.nan])),
        "origin_departures__mean_dep_delay_3h": feature_array(np.array([1.0, 1.0])),
    }
    trend = flights.compute(columns)["delay_trend"]
    assert trend.to_pylist() == [2.0, None]
    assert flights.columns == frozenset(columns)


def test_a_missing_feature_is_null_to_sql_and_nan_to_the_model() -> None:
    column = feature_array(np.array([1.5, np.nan]))
    assert column.null_count == 1
    assert numbers(column)[0] == 1.5
    assert math.isnan(numbers(column)[1])


def test_times_are_seconds_and_text_is_no_number() -> None:
    assert numbers(pa.array([1_500_000], type=pa.timestamp("us", "UTC"))).tolist() == [1.5]
    assert np.isnan(numbers(pa.array(["x"]))).all()
    assert numbers(pa.array([True, None])).tolist()[0] == 1.0
