"""The first version's answers to every later question: what no retraining would give.

The inputs of each flight come from a point-in-time set of the platform over all announced flights,
the answers from the first version's own package: its encoding and its ONNX graph.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import onnxruntime
import polars as pl
from replay import MODEL

from tidemill.aio import AsyncClient
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill_common import model_package, preprocessing
from tidemill_common.artifacts import Artifacts
from tidemill_common.preprocessing import Preprocessing

CHUNK = 4096


async def inputs(
    client: AsyncClient, artifacts: Artifacts
) -> tuple[pl.DataFrame, features_pb.TrainingSet]:
    """Return the inputs of every announced flight as they were at its prediction's time."""
    request = features_pb.BuildTrainingSetRequest(model=MODEL, unlabelled=True)
    built = await client.build_training_set(request)
    return pl.read_parquet(io.BytesIO(artifacts.get(built.digest))), built


def scores(version: registry_pb.Version, rows: pl.DataFrame, artifacts: Artifacts) -> pl.DataFrame:
    """Return flight_id (`_spine_key`) and the score that `version` gives."""
    digests = {artifact.name: artifact.sha256 for artifact in version.artifacts}
    encoding = preprocessing.from_json(artifacts.get(digests[model_package.PREPROCESSING]))
    session = onnxruntime.InferenceSession(
        artifacts.get(digests[model_package.MODEL]), providers=["CPUExecutionProvider"]
    )
    parts = [
        _score(session, encoding, rows.slice(start, CHUNK))
        for start in range(0, rows.height, CHUNK)
    ]
    return rows.select(flight_id="_spine_key").with_columns(
        first_score=pl.Series(np.concatenate(parts))
    )


def _score(
    session: onnxruntime.InferenceSession, encoding: Preprocessing, rows: pl.DataFrame
) -> npt.NDArray[np.float64]:
    names = (*encoding.numeric, *(category.name for category in encoding.categories))
    columns = {name: rows[name].to_list() for name in names}
    features, categories = encoding.encode(columns, rows.height)
    given = {"features": features, "categories": categories}
    wanted = {one.name for one in session.get_inputs()}
    tensors = {name: value for name, value in given.items() if name in wanted}
    return np.asarray(session.run([encoding.output], tensors)[0], dtype=np.float64).reshape(-1)
