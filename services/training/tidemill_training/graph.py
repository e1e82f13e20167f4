"""The served graph: network, calibration and output in one ONNX file, checked against torch."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import onnxruntime
import torch
from torch import nn

from tidemill.errors import FailedPrecondition
from tidemill_common.preprocessing import CATEGORIES, FEATURES, OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_training.calibration import Platt
    from tidemill_training.encoding import Arrays

OPSET: Final = 18
TOLERANCE: Final = 1e-5
MAX_BYTES: Final = 2 << 30
_EXAMPLE_ROWS: Final = 3
_PARITY_ROWS: Final = 512
_SCORE_ROWS: Final = 8192
_TEMPLATES: Final = 8
_POSITIVE: Final = 0.5
"""Chance weights are from here on: no two equal, none that folds away."""


class Served(nn.Module):
    """What clients are answered by: a probability for a binary task, the value for a regression."""

    def __init__(self, network: nn.Module, platt: Platt, task: str) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("scale", torch.tensor(platt.scale, dtype=torch.float32))
        self.register_buffer("shift", torch.tensor(platt.shift, dtype=torch.float32))
        self._binary = task == "binary"

    def forward(self, features: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        """Return the answer [n, 1]."""
        raw = self.network(features, categories) * self.scale + self.shift
        return torch.sigmoid(raw) if self._binary else raw


@dataclass(frozen=True, slots=True)
class Scorer:
    """An ONNX graph that scores rows; one thread, so that it disturbs no neighbour."""

    session: onnxruntime.InferenceSession

    def score(self, arrays: Arrays) -> npt.NDArray[np.float32]:
        """Return one answer a row."""
        parts = [
            self.session.run(
                None,
                {
                    FEATURES: arrays.features[start : start + _SCORE_ROWS],
                    CATEGORIES: arrays.categories[start : start + _SCORE_ROWS],
                },
            )[0][:, 0]
            for start in range(0, len(arrays.features), _SCORE_ROWS)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def scorer(graph: bytes) -> Scorer:
    """Open a graph for scoring."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return Scorer(onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"]))


def export(served: Served, task: str, arrays: Arrays) -> bytes:
    """Export to ONNX with a dynamic batch; the bytes hold everything, no external data.

    Exporting takes seconds and depends on the architecture only. So what is exported is a twin with
    chance weights, once per architecture, and the weights are put in by name; `parity` then proves
    the result. A network whose weights are not found again by name is exported as it is.
    """
    served = served.to("cpu").eval()
    widths = (arrays.features.shape[1], arrays.categories.shape[1])
    state = served.state_dict()
    key = repr((served, task, widths, [(name, tuple(t.shape)) for name, t in state.items()]))
    if key not in _templates:
        while len(_templates) >= _TEMPLATES:
            _templates.pop(next(iter(_templates)))
        _templates[key] = _template(served, task, widths)
    template = _templates[key]
    if template is None:
        return bytes(_exported(served, task, widths).SerializeToString())
    return _filled(template, state)


_templates: dict[str, bytes | None] = {}


def _template(served: Served, task: str, widths: tuple[int, int]) -> bytes | None:
    """Export a twin with chance weights; None if a weight of it is not found again."""
    twin = copy.deepcopy(served)
    chance = torch.Generator().manual_seed(0)
    for tensor in twin.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=chance) + _POSITIVE)
    model = _exported(twin, task, widths)
    found = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    for name, tensor in twin.state_dict().items():
        if name not in found or not np.array_equal(found[name], tensor.numpy()):
            return None
    return bytes(model.SerializeToString())


def _filled(template: bytes, state: Mapping[str, torch.Tensor]) -> bytes:
    model = onnx.load_from_string(template)
    for one in model.graph.initializer:
        if one.name in state:
            one.CopyFrom(onnx.numpy_helper.from_array(state[one.name].numpy(), one.name))
    return bytes(model.SerializeToString())


def _exported(served: nn.Module, task: str, widths: tuple[int, int]) -> onnx.ModelProto:
    features = torch.zeros((_EXAMPLE_ROWS, widths[0]), dtype=torch.float32)
    categories = torch.zeros((_EXAMPLE_ROWS, widths[1]), dtype=torch.int64)
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            served,
            (features, categories),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[FEATURES, CATEGORIES],
            output_names=[OUTPUTS[task]],
            dynamic_shapes={"features": {0: batch}, "categories": {0: batch}},
        )
    if program is None:
        raise FailedPrecondition("torch.onnx gave no program")
    model: onnx.ModelProto = program.model_proto
    graph = model.graph
    parts: list[Any] = [*graph.node, *graph.value_info, *graph.input, *graph.output, graph, model]
    for part in parts:
        del part.metadata_props[:]  # where the sources lay on this machine is nobody's business
        part.doc_string = ""
    return model


class _quiet:  # noqa: N801 (reads as a word in `with`)
    """Keep the exporter's progress out of the logs."""

    def __enter__(self) -> None:
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(logging.NOTSET)


def parity(served: Served, graph: Scorer, arrays: Arrays) -> float:
    """Return the largest difference between torch and onnxruntime; refuse one above TOLERANCE."""
    from tidemill_training.loop import outputs

    some = _sample(arrays)
    ours = outputs(served, some, torch.device("cpu"))
    worst = 0.0
    for rows in (1, 7, len(some.features)):
        part = type(some)(some.features[:rows], some.categories[:rows])
        theirs = graph.score(part).astype(np.float64)
        worst = max(worst, float(np.abs(theirs - ours[:rows]).max(initial=0.0)))
    limit = TOLERANCE * max(1.0, float(np.abs(ours).max(initial=0.0)))
    if not worst <= limit:
        raise FailedPrecondition(f"ONNX differs from torch by {worst:.3g}, allowed is {limit:.3g}")
    return worst


def _sample(arrays: Arrays) -> Arrays:
    """Return rows spread over all, one of them with every number missing."""
    chosen = np.linspace(0, len(arrays.features) - 1, _PARITY_ROWS).astype(np.int64)
    features = arrays.features[chosen].copy()
    features[0] = np.nan
    return type(arrays)(features, arrays.categories[chosen])
