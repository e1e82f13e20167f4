"""Promises of the package files that training writes and serving reads."""

from __future__ import annotations

import numpy as np
import pytest

from tidemill.errors import Corrupt, Invalid
from tidemill_common.ids import digest
from tidemill_common.model_package import (
    File,
    Golden,
    Manifest,
    golden_from_json,
    golden_to_json,
    manifest_from_json,
    manifest_to_json,
)

A_DIGEST = digest(b"a")


def a_golden(rows: int = 2, categories: int = 1) -> Golden:
    features = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    features[0, 1] = np.nan
    return Golden(
        features,
        np.ones((rows, categories), dtype=np.int64),
        np.full(rows, 0.25, dtype=np.float32),
    )


def test_a_manifest_survives_json_and_has_one_form_in_bytes() -> None:
    one = Manifest("m", {"b": File(A_DIGEST, 2), "a": File(A_DIGEST, 1)})
    other = Manifest("m", {"a": File(A_DIGEST, 1), "b": File(A_DIGEST, 2)})
    assert manifest_to_json(one) == manifest_to_json(other)
    assert manifest_from_json(manifest_to_json(one)) == one


@pytest.mark.parametrize("categories", [0, 1, 3])
def test_golden_answers_survive_json_bit_for_bit(categories: int) -> None:
    golden = a_golden(categories=categories)
    back = golden_from_json(golden_to_json(golden))
    assert back.features.tobytes() == golden.features.tobytes()
    assert back.categories.tolist() == golden.categories.tolist()
    assert back.categories.shape == golden.categories.shape
    assert back.outputs.tobytes() == golden.outputs.tobytes()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format":2}'])
def test_what_is_none_is_called_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        manifest_from_json(data)
    with pytest.raises(Corrupt):
        golden_from_json(data)


def test_a_manifest_without_digests_is_corrupt() -> None:
    with pytest.raises(Corrupt, match=r"model\.onnx"):
        manifest_from_json(manifest_to_json(Manifest("m", {"model.onnx": File("../x", 1)})))


def test_golden_answers_that_are_not_numbers_are_refused() -> None:
    golden = a_golden()
    with pytest.raises(Invalid):
        Golden(golden.features, golden.categories, np.array([np.nan, 0], dtype=np.float32))
