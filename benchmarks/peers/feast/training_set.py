"""A point-in-time join by Feast's historical retrieval: file source, dask offline store."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

# The folder of this file has the library's own name: it must not come first on the path.
sys.path[0] = str(Path(__file__).parents[1])

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64
from program import options, say

FEATURES = [f"f{number:02}" for number in range(20)]


def main() -> None:
    """Retrieve once; setting the store up is not measured."""
    given = options()
    state = Path(given["state"])
    state.mkdir(parents=True)
    store = FeatureStore(
        config=RepoConfig(
            project="peers",
            provider="local",
            registry=str(state / "registry.db"),
            offline_store={"type": "dask"},
            online_store={"type": "sqlite", "path": str(state / "online.db")},
            entity_key_serialization_version=3,
        )
    )
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.INT64)
    view = FeatureView(
        name="readings",
        entities=[entity],
        ttl=timedelta(days=3_650),
        schema=[Field(name=name, dtype=Float64) for name in FEATURES],
        source=FileSource(path=given["features"], timestamp_field="event_timestamp"),
    )
    store.apply([entity, view])
    say("begun")
    labels = pd.read_parquet(given["labels"])
    job = store.get_historical_features(labels, [f"readings:{name}" for name in FEATURES])
    job.to_df().to_parquet(given["results"])
    say("done")


main()
