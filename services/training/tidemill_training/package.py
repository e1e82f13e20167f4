"""Build a model package: the graph, what encodes, what monitors, what proves, and the manifest."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import save

from tidemill.errors import Corrupt, NotFound
from tidemill_common import model_package, reference
from tidemill_common import preprocessing as common_preprocessing
from tidemill_common.ids import canonical_json
from tidemill_common.model_package import File, Golden, Manifest
from tidemill_training import encoding, graph, metrics, provenance
from tidemill_training.dataset import TIMESTAMP, raw_numbers, raw_values
from tidemill_training.encoding import Arrays
from tidemill_training.job import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from tidemill_common.artifacts import Artifacts
    from tidemill_training.checkpoint import Cursor
    from tidemill_training.gang import Gang
    from tidemill_training.job import Job
    from tidemill_training.stages import Data

WEIGHTS: Final = "weights.safetensors"
REFERENCE: Final = "reference.json"
EVALUATION: Final = "evaluation.json"
EVALUATION_ROWS: Final = "evaluation.parquet"
FORMAT: Final = 1
GOLDEN_ROWS: Final = 32
_IMPORTANCE_ROWS: Final = 4_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained and exported network."""

    served: graph.Served
    onnx: bytes
    scorer: graph.Scorer
    cursor: Cursor
    parity: float


def build(job: Job, data: Data, trained: Trained, artifacts: Artifacts, gang: Gang) -> Result:
    """Evaluate the graph on the test rows, write every file and the manifest that names them."""
    test = data.split.test
    label = data.rows.label[test]
    arrays = Arrays(data.arrays.features[test], data.arrays.categories[test])
    candidate = trained.scorer.score(arrays).astype(np.float64)
    measured = metrics.evaluate(data.task, label, candidate)
    champion = champion_scores(job, data, artifacts)
    evaluation = _evaluation(job, data, trained, measured, champion)
    contents = {
        model_package.MODEL: trained.onnx,
        model_package.PREPROCESSING: common_preprocessing.to_json(data.preprocessing),
        model_package.GOLDEN: model_package.golden_to_json(golden(data, trained.scorer)),
        WEIGHTS: save(_weights(trained.served)),
        REFERENCE: reference.to_json(_reference(job, data, trained, measured, artifacts)),
        EVALUATION: canonical_json(evaluation),
        EVALUATION_ROWS: _parquet(label, candidate, champion, data.rows.time_us[test]),
    }
    files = {name: File(artifacts.put(content), len(content)) for name, content in contents.items()}
    manifest = model_package.manifest_to_json(Manifest(job.model.name, files))
    return Result(
        manifest=artifacts.put(manifest),
        files={name: (file.sha256, file.size) for name, file in files.items()},
        metrics={**measured, "test_rows": float(label.size), "rows": float(data.rows.count)},
        data_time_us=int(data.rows.time_us[-1]),
        code_digest=provenance.code_digest(),
        environment_digest=provenance.environment_digest(gang.device.type, _threads()),
        rows=data.rows.count,
    )


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _weights(served: graph.Served) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in served.state_dict().items()}


def champion_scores(job: Job, data: Data, artifacts: Artifacts) -> Floats | None:
    """Score the test rows by the champion's own graph and encoding; None when that cannot be.

    It cannot be when there is no champion, when its package is gone, or when it needs an input
    that this model's rows do not have any more.
    """
    if job.champion is None:
        return None
    try:
        theirs = common_preprocessing.from_json(artifacts.get(job.champion.preprocessing))
        onnx = artifacts.get(job.champion.onnx, at_most=graph.MAX_BYTES)
    except (NotFound, Corrupt):
        return None
    needed = {*theirs.numeric, *(category.name for category in theirs.categories)}
    if theirs.task != data.task or not needed <= set(data.rows.table.column_names):
        return None
    rows = data.rows.table.take(pa.array(data.split.test))
    return graph.scorer(onnx).score(encoding.encode(theirs, rows)).astype(np.float64)


def _evaluation(
    job: Job, data: Data, trained: Trained, measured: Mapping[str, float], champion: Floats | None
) -> dict[str, Any]:
    test = data.split.test
    other = None
    if champion is not None and job.champion is not None:
        scores = metrics.evaluate(data.task, data.rows.label[test], champion)
        other = {"version": job.champion.version, "metrics": scores}
    return {
        "format": FORMAT,
        "model": job.model.name,
        "task": data.task,
        "metrics": dict(measured),
        "rows": int(test.size),
        "champion": other,
        "from_us": int(data.rows.time_us[test[0]]),
        "to_us": int(data.rows.time_us[test[-1]]),
        "train_rows": int(data.split.train.size),
        "validation_rows": int(data.split.validation.size),
        "training_set": {name: job.training_set[name] for name in ("digest", "row_hash")},
        "seed": job.seed,
        "epochs": trained.cursor.epoch,
        "best_epoch": trained.cursor.best_epoch,
        "validation_loss": list(trained.cursor.history),
        "parity": trained.parity,
        "code_digest": provenance.code_digest(),
        "environment": provenance.environment(),
    }


def _parquet(label: Floats, candidate: Floats, champion: Floats | None, time_us: Any) -> bytes:
    """Write the scored test rows; `champion` is null where there is none."""
    other = pa.nulls(label.size, pa.float64()) if champion is None else pa.array(champion)
    columns = {
        "label": pa.array(label),
        "candidate": pa.array(candidate),
        "champion": other,
        "time": pa.array(time_us).cast(TIMESTAMP),
    }
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def golden(data: Data, scorer: graph.Scorer) -> Golden:
    """Choose rows over the whole span, one of them all missing, with the graph's answers."""
    chosen = np.unique(np.linspace(0, data.rows.count - 1, GOLDEN_ROWS).astype(np.int64))
    features = data.arrays.features[chosen].copy()
    categories = data.arrays.categories[chosen].copy()
    features[0], categories[0] = np.nan, 0
    return Golden(features, categories, scorer.score(Arrays(features, categories)))


def _reference(
    job: Job, data: Data, trained: Trained, measured: Mapping[str, float], artifacts: Artifacts
) -> reference.Reference:
    """Bin every input over all rows, and the predictions over rows that were not trained on."""
    unseen = np.concatenate([data.split.validation, data.split.test])
    arrays = Arrays(data.arrays.features[unseen], data.arrays.categories[unseen])
    predicted = trained.scorer.score(arrays).astype(np.float64)
    return reference.Reference(
        model=job.model.name,
        inputs=tuple(_bins(spec, data.rows.table) for spec in data.specs),
        prediction=reference.numeric_bins(reference.PREDICTIONS, predicted),
        fields=raw_fields(job, artifacts),
        metrics=dict(measured),
        metric_rows=int(data.split.test.size),
        importances=importances(data, trained.scorer),
    )


def _bins(spec: encoding.InputSpec, table: pa.Table) -> reference.Bins:
    if not spec.categorical:
        return reference.numeric_bins(spec.name, raw_numbers(table, spec.name))
    texts = [common_preprocessing.category_text(v) for v in raw_values(table, spec.name)]
    return reference.categorical_bins(spec.name, texts)


def raw_fields(job: Job, artifacts: Artifacts) -> tuple[reference.Bins, ...]:
    """Take over the profile of the raw streams that was made with the training set."""
    digest = str(job.training_set.get("profile_digest", ""))
    if not digest:
        return ()
    try:
        profile = orjson.loads(artifacts.get(digest))
        listed = profile["fields"] if isinstance(profile, dict) else profile
        return tuple(reference.bins_from_dict(bins) for bins in listed)
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(
            f"the profile {digest} of the training set cannot be read: {error}"
        ) from error


def importances(data: Data, scorer: graph.Scorer) -> dict[str, float]:
    """Say by how much the loss on test rows grows when one input is shuffled among them."""
    test = data.split.test[-_IMPORTANCE_ROWS:]
    label = data.rows.label[test]
    arrays = Arrays(data.arrays.features[test], data.arrays.categories[test])
    loss = metrics.rmse if data.task == "regression" else metrics.log_loss
    base = loss(label, scorer.score(arrays).astype(np.float64))
    order = np.random.default_rng(0).permutation(test.size)
    found = {}
    for i, name in enumerate(data.preprocessing.numeric):
        shuffled = arrays.features.copy()
        shuffled[:, i] = shuffled[order, i]
        found[name] = Arrays(shuffled, arrays.categories)
    for i, category in enumerate(data.preprocessing.categories):
        indices = arrays.categories.copy()
        indices[:, i] = indices[order, i]
        found[category.name] = Arrays(arrays.features, indices)
    return {
        name: max(0.0, loss(label, scorer.score(changed).astype(np.float64)) - base)
        for name, changed in found.items()
    }
