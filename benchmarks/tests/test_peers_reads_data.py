from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.peers.reads_data import FEATURES, ReadData, project
from tidemill.project import loads, normalise
from tidemill_common import events
from tidemill_common.feature_views import stream_spec

DATA = ReadData(entities=20, at_us=1_767_571_200_000_000)


def test_every_store_is_given_the_same_rows(tmp_path: Path) -> None:
    loaded = loads(project("readings"))
    assert not loaded.problems
    spec = stream_spec(normalise(loaded.project), "readings")
    batch = events.decode(DATA.record(spec, np.arange(20)), events.event_schema(spec.columns))
    DATA.write(tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    for name in ("entity", *FEATURES):
        assert batch.column(name).to_pylist() == table.column(name).to_pylist()
    assert batch.column("_time").to_pylist() == table.column("event_timestamp").to_pylist()
