"""The served graph: network, calibration and output in one ONNX file, checked against torch."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import nn

from tidemill.errors import FailedPrecondition
from tidemill_common.preprocessing import CATEGORIES, FEATURES, OUTPUTS

if TYPE_CHECKING:
    from tidemill_training.calibration import Platt
    from tidemill_training.encoding import Arrays

OPSET: Final = 18
TOLERANCE: Final = 1e-5
MAX_BYTES: Final = 2 << 30
_EXAMPLE_ROWS: Final = 3
_PARITY_ROWS: Final = 512
_SCORE_ROWS: Final = 8192


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


def scorer(onnx: bytes) -> Scorer:
    """Open a graph for scoring."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return Scorer(onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"]))


def export(served: Served, task: str, arrays: Arrays) -> bytes:
    """Export to ONNX with a dynamic batch; the bytes hold everything, no external data."""
    served = served.to("cpu").eval()
    features = torch.zeros((_EXAMPLE_ROWS, arrays.features.shape[1]), dtype=torch.float32)
    categories = torch.zeros((_EXAMPLE_ROWS, arrays.categories.shape[1]), dtype=torch.int64)
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
    return bytes(program.model_proto.SerializeToString())


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
