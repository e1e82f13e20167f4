"""Builders for tests: a small training set with a pattern to learn, and the job that learns it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tidemill.definitions.v1 import project_pb2
from tidemill_training.dataset import TIMESTAMP
from tidemill_training.job import Job

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill_common.artifacts import Artifacts

START_US: Final = 1_356_998_400_000_000
MINUTE_US: Final = 60_000_000
CARRIERS: Final = ("AA", "B6", "DL", "UA")
PARAMETERS: Final = {
    "hidden": 16,
    "layers": 1,
    "epochs": 4,
    "batch_size": 128,
    "learning_rate": 0.02,
}


def a_table(rows: int = 1_200, seed: int = 1, *, task: str = "binary") -> pa.Table:
    """Return rows whose label depends on a number with gaps, a category, and chance."""
    random = np.random.default_rng(seed)
    delay = random.normal(10, 20, rows)
    carrier = random.integers(0, len(CARRIERS), rows)
    hour = random.integers(0, 24, rows)
    pull = (delay - 10) / 20 + (carrier - 1.5) * 0.5 + random.normal(0, 0.5, rows)
    label = (pull > 0).astype(np.float64) if task == "binary" else 100 + 10 * pull
    time = START_US + np.arange(rows) * MINUTE_US
    return pa.table(
        {
            "_spine_id": pa.array([f"row-{i:06d}" for i in range(rows)]),
            "_spine_key": pa.array([f"key-{i:06d}" for i in range(rows)]),
            "_time": pa.array(time).cast(TIMESTAMP),
            "_label": pa.array(label),
            "_label_time": pa.array(time + 30 * MINUTE_US).cast(TIMESTAMP),
            "arrivals__mean_delay_1h": pa.array(delay, mask=random.random(rows) < 0.1),
            "hour": pa.array(hour),
            "carrier": pa.array([CARRIERS[i] for i in carrier]),
        }
    )


def a_model(
    parameters: Mapping[str, float] | None = None, *, task: str = "binary", processes: int = 1
) -> project_pb2.Model:
    """Return the definition that fits `a_table`."""
    model = project_pb2.Model(name="late")
    feature = model.inputs.add().feature
    feature.view, feature.name = "arrivals", "mean_delay_1h"
    hour = model.inputs.add()
    hour.field = "hour"
    hour.categorical.hash_buckets = 8
    carrier = model.inputs.add()
    carrier.field = "carrier"
    carrier.categorical.max_vocabulary = 10
    regression = task == "regression"
    model.label.task = project_pb2.TASK_REGRESSION if regression else project_pb2.TASK_BINARY
    model.trainer.name = "tabular"
    model.trainer.parameters.update({**PARAMETERS, **(parameters or {})})
    model.trainer.resources.processes = processes
    return model


def store(table: pa.Table, artifacts: Artifacts) -> str:
    """Put a training set into the store and return its digest."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return artifacts.put(sink.getvalue())


def a_job(artifacts: Artifacts, table: pa.Table | None = None, **facts: Any) -> Job:
    """Return a job on a stored set; `facts` replace what it says."""
    digest = store(a_table() if table is None else table, artifacts)
    model = facts.pop("model", None) or a_model()
    return Job(
        **{
            "run_id": "run-1",
            "definition": model.SerializeToString(deterministic=True),
            "training_set": {"digest": digest, "row_hash": "hash-of-rows"},
            "seed": 7,
            "checkpoint_seconds": 0.0,
            **facts,
        }
    )
