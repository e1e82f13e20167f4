"""The stages of a run: data, training, calibration, export, evaluation, package. Knows no service.

Everything comes from the artefact store and goes into it; a stage that is repeated writes the same
blobs. The only thing outside the bits of the result is when checkpoints are written.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import torch

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import Invalid
from tidemill_common.ids import digest, digest_json
from tidemill_training import checkpoint, encoding, graph, provenance, trainer
from tidemill_training.calibration import Platt, fit_platt
from tidemill_training.checkpoint import Checkpoint, Cursor
from tidemill_training.dataset import Rows, Split, read_rows, split_by_time
from tidemill_training.encoding import Arrays
from tidemill_training.loop import Loop, Part, outputs
from tidemill_training.package import Trained, build
from tidemill_training.trainer import Shape

if TYPE_CHECKING:
    from tidemill_common.artifacts import Artifacts
    from tidemill_common.preprocessing import Preprocessing
    from tidemill_training.gang import Gang
    from tidemill_training.job import Job, Result

Report = Callable[[str, float, Mapping[str, float]], None]
Recorded = Callable[[str, int], None]

DEFAULT_FRACTION: Final = 0.15
_FLOOR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Data:
    """The rows of a run, split and encoded."""

    task: str
    rows: Rows
    split: Split
    preprocessing: Preprocessing
    arrays: Arrays
    specs: tuple[encoding.InputSpec, ...]

    def part(self, indices: npt.NDArray[np.int64], location: float, scale: float) -> Part:
        """Return the rows of one part, labels standardised by (label - location) / scale."""
        return Part(
            Arrays(self.arrays.features[indices], self.arrays.categories[indices]),
            (self.rows.label[indices] - location) / scale,
            self.rows.time_us[indices],
        )


def run(
    job: Job, artifacts: Artifacts, gang: Gang, report: Report, recorded: Recorded
) -> Result | None:
    """Train one version and store its package; only rank 0 returns a result."""
    report("load", 0.0, {})
    data = load(job, artifacts)
    report("train", 0.05, {"rows": float(data.rows.count)})
    network, platt, cursor = train(job, data, artifacts, gang, report, recorded)
    if gang.rank != 0:
        return None
    report("export", 0.85, {"epochs": float(cursor.epoch)})
    served = graph.Served(network, platt, data.task)
    onnx = graph.export(served, data.task, data.arrays)
    scorer = graph.scorer(onnx)
    difference = graph.parity(served, scorer, data.arrays)
    report("evaluate", 0.92, {"parity": difference})
    trained = Trained(served, onnx, scorer, cursor, difference)
    result = build(job, data, trained, artifacts, gang)
    report("package", 0.98, result.metrics)
    return result


def load(job: Job, artifacts: Artifacts) -> Data:
    """Fetch the training set by its digest, split it by time, fit and apply the encoding."""
    model = job.model
    with tempfile.TemporaryDirectory(prefix="tidemill-set-") as folder:
        path = artifacts.fetch(str(job.training_set["digest"]), Path(folder) / "set.parquet")
        rows = read_rows(path, job.bad_labels)
    settings = model.trainer
    split = split_by_time(
        rows.time_us,
        settings.validation_fraction or DEFAULT_FRACTION,
        settings.test_fraction or DEFAULT_FRACTION,
    )
    task = task_of(model)
    _check_labels(task, rows.label[split.train])
    specs = encoding.input_specs(model)
    preprocessing = encoding.fit(model.name, task, specs, rows.table, split.train)
    arrays = encoding.encode(preprocessing, rows.table)
    return Data(task, rows, split, preprocessing, arrays, specs)


def _check_labels(task: str, label: npt.NDArray[np.float64]) -> None:
    values = np.unique(label[:1_000_000])
    if task == "binary" and not np.isin(values, (0.0, 1.0)).all():
        raise Invalid(f"a binary label is 0 or 1, not {values[~np.isin(values, (0.0, 1.0))][0]:g}")
    if values.size < 2:
        raise Invalid(f"every label of the training rows is {values[0]:g}: nothing can be learnt")


def train(
    job: Job, data: Data, artifacts: Artifacts, gang: Gang, report: Report, recorded: Recorded
) -> tuple[torch.nn.Module, Platt, Cursor]:
    """Train or go on training; return the best network and what calibrates it."""
    model = job.model
    chosen = {**model.trainer.parameters, **job.overrides}
    maker = trainer.find(model.trainer.name)
    parameters = trainer.loop_parameters(chosen)
    network_parameters = trainer.network_parameters(maker, chosen)
    location, scale = _target(data)
    torch.manual_seed(job.seed)
    loop = Loop(
        maker.network(shape_of(data), network_parameters),
        parameters,
        data.task,
        job.seed,
        data_hash(job),
        gang,
    )
    saver = _Saver(job, artifacts, loop, recorded, report, parameters.epochs, gang)
    saver.resume()
    rows = data.part(data.split.train, location, scale)
    validation = data.part(data.split.validation, location, scale)
    fitted = loop.run(rows, validation, saver.offer)
    if data.task == "regression":
        return fitted.network, Platt(scale, location), fitted.cursor
    raw = outputs(fitted.network, validation.arrays, gang.device)
    platt = fit_platt(raw, validation.label, shift=bool(parameters.calibrate_shift))
    return fitted.network, platt, fitted.cursor


class _Saver:
    """Writes a checkpoint when the last one is old enough, and resumes from one."""

    def __init__(
        self,
        job: Job,
        artifacts: Artifacts,
        loop: Loop,
        recorded: Recorded,
        report: Report,
        epochs: int,
        gang: Gang,
    ) -> None:
        self._job = job
        self._artifacts = artifacts
        self._loop = loop
        self._recorded = recorded
        self._report = report
        self._epochs = epochs
        self._rank = gang.rank
        self._config = config_digest(job)
        self._due = time.monotonic() + job.checkpoint_seconds

    def resume(self) -> None:
        """Go on from the job's checkpoint; one of another configuration only fixes the data."""
        if not self._job.checkpoint:
            return
        saved = checkpoint.read(self._job.checkpoint, self._artifacts)
        if saved.tensors and saved.config_digest == self._config:
            self._loop.restore(saved.cursor, saved.tensors)
            self._report(
                "train", self._share(saved.cursor), {"resumed_step": float(saved.cursor.step)}
            )

    def offer(self, cursor: Cursor) -> None:
        """Take a checkpoint of this step if one is due."""
        if cursor.batch == 0:
            self._report("train", self._share(cursor), {"validation_loss": cursor.history[-1]})
        if self._rank != 0 or time.monotonic() < self._due:
            return
        saved = Checkpoint(self._job.training_set, cursor, self._config, self._loop.state())
        self._recorded(checkpoint.write(saved, self._artifacts), cursor.step)
        self._due = time.monotonic() + self._job.checkpoint_seconds

    def _share(self, cursor: Cursor) -> float:
        return 0.05 + 0.8 * min(cursor.epoch / self._epochs, 1.0)


def _target(data: Data) -> tuple[float, float]:
    """Return what standardises the labels of a regression; a binary label stays as it is."""
    if data.task == "binary":
        return 0.0, 1.0
    label = data.rows.label[data.split.train]
    return float(label.mean()), max(float(label.std()), _FLOOR)


def shape_of(data: Data) -> Shape:
    """Describe the training rows to the maker of the network."""
    numbers = data.arrays.features[data.split.train].astype(np.float64)
    present = np.isfinite(numbers)
    count = np.maximum(present.sum(axis=0), 1)
    filled = np.where(present, numbers, 0.0)
    location = filled.sum(axis=0) / count
    spread = np.sqrt((np.where(present, numbers - location, 0.0) ** 2).sum(axis=0) / count)
    rate = float(np.clip(data.rows.label[data.split.train].mean(), _FLOOR, 1 - _FLOOR))
    specs = {spec.name: spec for spec in data.specs}
    return Shape(
        data.task,
        location.astype(np.float32),
        np.where(spread > _FLOOR, spread, 1.0).astype(np.float32),
        tuple(encoding.capacity(specs[c.name], c.size) for c in data.preprocessing.categories),
        tuple(specs[one.name].embedding for one in data.preprocessing.categories),
        prior=float(np.log(rate / (1 - rate))) if data.task == "binary" else 0.0,
    )


def prepare(model: project_pb2.Model) -> None:
    """Export the architecture of a model before there are data, so that a run need not.

    It fits unless a vocabulary turns out larger than an embedding that is cheap.
    """
    specs = encoding.input_specs(model)
    numbers = sum(not spec.categorical for spec in specs)
    categories = [spec for spec in specs if spec.categorical]
    task = task_of(model)
    shape = Shape(
        task,
        np.zeros(numbers, np.float32),
        np.ones(numbers, np.float32),
        tuple(encoding.capacity(spec) for spec in categories),
        tuple(spec.embedding for spec in categories),
    )
    maker = trainer.find(model.trainer.name)
    parameters = trainer.network_parameters(maker, dict(model.trainer.parameters))
    served = graph.Served(maker.network(shape, parameters), Platt(), task)
    empty = np.zeros((1, numbers), np.float32), np.zeros((1, len(categories)), np.int64)
    graph.export(served, task, Arrays(*empty))


def task_of(model: project_pb2.Model) -> str:
    """Name what kind of value the label is."""
    return "regression" if model.label.task == project_pb2.TASK_REGRESSION else "binary"


def data_hash(job: Job) -> str:
    """Name the rows that a run trains on: the set's own hash, and what the run leaves out."""
    return digest_json([job.training_set["row_hash"], [list(span) for span in job.bad_labels]])


def config_digest(job: Job) -> str:
    """Name everything that decides a run's bits, so that a checkpoint is never mixed up."""
    return digest_json(
        {
            "definition": digest(job.definition),
            "overrides": dict(job.overrides),
            "seed": job.seed,
            "data": data_hash(job),
            "code": provenance.code_digest(),
            "threads": torch.get_num_threads(),
        }
    )
