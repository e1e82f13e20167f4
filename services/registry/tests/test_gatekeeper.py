"""Test rows are read from the package; what cannot be used is said."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import Corrupt, NotFound
from tidemill_common.artifacts import Artifacts
from tidemill_registry.gatekeeper import load_rows
from tidemill_registry.versions import Artifact, Version


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path.as_uri())


def a_version(artifacts: Artifacts, content: bytes, name: str = "evaluation.parquet") -> Version:
    file = Artifact(name, artifacts.put(content), len(content))
    return Version("late", 1, "d" * 64, "run", (file,), b"", {}, datetime(2013, 1, 1, tzinfo=UTC))


def parquet(**columns: Sequence[float | str | None]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_rows_keep_their_order_and_a_row_without_a_champion_is_nan(artifacts: Artifacts) -> None:
    content = parquet(label=[0.0, 1.0], candidate=[0.1, 0.9], champion=[0.2, None])
    rows = load_rows(artifacts, a_version(artifacts, content))
    assert rows.label.tolist() == [0.0, 1.0]
    assert rows.candidate.tolist() == [0.1, 0.9]
    assert rows.champion is not None
    assert np.isnan(rows.champion[1])


def test_a_champion_column_of_nulls_is_no_champion(artifacts: Artifacts) -> None:
    content = parquet(label=[0.0], candidate=[0.1], champion=[None])
    assert load_rows(artifacts, a_version(artifacts, content)).champion is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1 is not enough PAR1", "cannot be read"),
        (parquet(label=[0.0]), "has no column candidate"),
        (parquet(label=["a"], candidate=[0.1]), "label is no column of numbers"),
        (parquet(label=[0.0], candidate=[float("nan")]), "that are no numbers"),
    ],
)
def test_rows_that_cannot_be_used_are_corrupt(
    artifacts: Artifacts, content: bytes, said: str
) -> None:
    with pytest.raises(Corrupt, match=said):
        load_rows(artifacts, a_version(artifacts, content))


def test_a_package_without_rows_says_so(artifacts: Artifacts) -> None:
    with pytest.raises(NotFound, match=r"no evaluation\.parquet"):
        load_rows(artifacts, a_version(artifacts, b"{}", "evaluation.json"))
