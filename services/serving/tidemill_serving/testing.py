"""For tests and benchmarks: real, tiny model packages. Needs the package onnx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tidemill_common import preprocessing
from tidemill_common.model_package import (
    GOLDEN,
    MODEL,
    PREPROCESSING,
    File,
    Golden,
    Manifest,
    golden_to_json,
    manifest_to_json,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_common.artifacts import Artifacts
    from tidemill_common.ids import Digest
    from tidemill_common.preprocessing import Category, Preprocessing

ROWS = 8
_OPSET = 17
_IR = 8


def put_package(
    artifacts: Artifacts,
    model: str,
    numeric: Sequence[str],
    categories: Sequence[Category],
    *,
    constant: float | None = None,
    golden_shift: float = 0.0,
    brittle: bool = False,
) -> tuple[Digest, dict[str, File]]:
    """Store a package whose graph gives sigmoid(sum of features + sum of categories).

    With `constant` it gives that number instead, which tells versions apart. `golden_shift` makes
    its golden answers wrong by so much. A `brittle` graph fails on every category index above 1,
    which no golden row has.
    """
    made = preprocessing.Preprocessing(model, "binary", tuple(numeric), tuple(categories))
    golden = _golden(made, constant, golden_shift)
    contents = {
        MODEL: graph(made, constant, brittle=brittle),
        PREPROCESSING: preprocessing.to_json(made),
        GOLDEN: golden_to_json(golden),
    }
    files = {name: File(artifacts.put(data), len(data)) for name, data in contents.items()}
    return artifacts.put(manifest_to_json(Manifest(model, files))), files


def graph(made: Preprocessing, constant: float | None, *, brittle: bool = False) -> bytes:
    """Build the ONNX graph."""
    from onnx import TensorProto, checker, helper

    def value(name: str, kind: int, width: int) -> Any:
        return helper.make_tensor_value_info(name, kind, ["n", width])

    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["known"]),
        helper.make_node("ReduceSum", ["known", "axes"], ["numbers"], keepdims=1),
    ]
    inputs = [value("features", TensorProto.FLOAT, len(made.numeric))]
    if made.categories:
        inputs.append(value("categories", TensorProto.INT64, len(made.categories)))
        nodes += [
            helper.make_node("Gather", ["known_kinds", "categories"], ["looked_up"])
            if brittle
            else helper.make_node("Identity", ["categories"], ["looked_up"]),
            helper.make_node("Cast", ["looked_up"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["cast", "axes"], ["kinds"], keepdims=1),
            helper.make_node("Add", ["numbers", "kinds"], ["sum"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["numbers"], ["sum"]))
    initializers = [zero, axes]
    if brittle:
        initializers.append(helper.make_tensor("known_kinds", TensorProto.INT64, [2], [0, 1]))
    if constant is None:
        nodes.append(helper.make_node("Sigmoid", ["sum"], [made.output]))
    else:
        initializers.append(helper.make_tensor("constant", TensorProto.FLOAT, [1], [constant]))
        nodes += [
            helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "constant"], [made.output]),
        ]
    output = [value(made.output, TensorProto.FLOAT, 1)]
    body = helper.make_graph(nodes, "tiny", inputs, output, initializers)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR
    checker.check_model(model)
    return bytes(model.SerializeToString())


def _golden(made: Preprocessing, constant: float | None, shift: float) -> Golden:
    random = np.random.default_rng(7)
    features = random.normal(size=(ROWS, len(made.numeric))).astype(np.float32)
    features[0, :1] = np.nan
    categories = random.integers(0, 2, size=(ROWS, len(made.categories)))
    total = np.nansum(features, axis=1) + categories.sum(axis=1)
    outputs = 1 / (1 + np.exp(-total)) if constant is None else np.full(ROWS, constant)
    return Golden(features, categories.astype(np.int64), (outputs + shift).astype(np.float32))
