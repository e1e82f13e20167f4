"""Promises of how inputs become tensors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Invalid
from tidemill_training import encoding
from tidemill_training.encoding import InputSpec
from tidemill_training.testing import a_model, a_table

ALL = np.arange(200)


def test_inputs_keep_the_order_of_the_definition() -> None:
    names = [spec.name for spec in encoding.input_specs(a_model())]
    assert names == ["arrivals__mean_delay_1h", "hour", "carrier"]


def test_an_alias_names_an_input_in_place_of_its_view() -> None:
    model = project_pb2.Model()
    feature = model.inputs.add().feature
    feature.view, feature.name, feature.alias = "weather", "last_temp_3h", "at_origin"
    assert encoding.input_specs(model)[0].name == "at_origin__last_temp_3h"


def test_an_input_that_is_not_expanded_is_refused() -> None:
    model = project_pb2.Model()
    model.inputs.add().feature.view = "weather"
    with pytest.raises(Invalid, match="normalised"):
        encoding.input_specs(model)


def test_a_vocabulary_knows_only_what_the_training_rows_have() -> None:
    table = pa.table({"c": ["a", "a", "b", "b", "b", "late"]})
    fitted = encoding.fit("m", "binary", [InputSpec("c", categorical=True)], table, np.arange(5))
    assert fitted.categories[0].vocabulary == ("b", "a")
    assert encoding.encode(fitted, table).categories[:, 0].tolist() == [2, 2, 1, 1, 1, 0]


def test_rare_and_excess_values_share_the_index_of_the_unknown() -> None:
    table = pa.table({"c": ["a", "a", "b", "b", "rare"]})
    rare = InputSpec("c", categorical=True, min_count=2)
    assert encoding.fit("m", "binary", [rare], table, np.arange(5)).categories[0].size == 3
    small = InputSpec("c", categorical=True, max_vocabulary=1)
    assert encoding.fit("m", "binary", [small], table, np.arange(5)).categories[0].size == 2


def test_columns_are_encoded_as_serving_encodes_requests() -> None:
    table = a_table(200)
    fitted = encoding.fit("m", "binary", encoding.input_specs(a_model()), table, ALL)
    ours = encoding.encode(fitted, table)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    features, categories = fitted.encode(columns, 200)
    assert np.array_equal(ours.features, features, equal_nan=True)
    assert np.array_equal(ours.categories, categories)


def test_an_embedding_has_room_for_a_vocabulary_that_grows() -> None:
    assert encoding.capacity(InputSpec("c", categorical=True, max_vocabulary=128), 17) == 129
    assert encoding.capacity(InputSpec("c", categorical=True, buckets=8)) == 9
    large = InputSpec("c", categorical=True, max_vocabulary=100_000)
    assert encoding.capacity(large, 17) == encoding.capacity(large) == 512
    assert encoding.capacity(large, 600) == 1_024
    assert encoding.capacity(large, 100_001) == 100_001


def test_a_missing_column_and_text_as_a_number_are_refused_by_name() -> None:
    table = a_table(200)
    with pytest.raises(Invalid, match="no column gust"):
        encoding.fit("m", "binary", [InputSpec("gust")], table, ALL)
    fitted = encoding.fit("m", "binary", [InputSpec("carrier")], table, ALL)
    with pytest.raises(Invalid, match="carrier is text"):
        encoding.encode(fitted, table)
