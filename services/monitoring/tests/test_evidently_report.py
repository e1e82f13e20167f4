"""Evidently as the oracle of our drift on bins, and the page that a person reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tidemill_common.reference import numeric_bins
from tidemill_monitoring import drift
from tidemill_monitoring.evidently_report import main

ORACLE = """
import json, sys
from pathlib import Path
import polars as pl
from tidemill_monitoring.evidently_report import build, drift_report
build(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
frames = [pl.read_ipc(path).to_pandas() for path in sys.argv[1:3]]
found = drift_report(*frames).dict()["metrics"]
print(json.dumps({
    m["config"]["column"]: m["value"] for m in found if "column" in m.get("config", {})
}, default=float))
"""


def frames(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    generator = np.random.default_rng(4)
    n = 3_000
    shifts = {"same": 0.0, "small": 0.1, "half": 0.5}
    reference = pl.DataFrame({name: generator.normal(size=n) for name in shifts})
    current = pl.DataFrame({name: generator.normal(by, size=n) for name, by in shifts.items()})
    paths = []
    for name, frame in (("reference", reference), ("current", current)):
        frame.write_ipc(folder / f"{name}.arrow")
        paths.append(str(folder / f"{name}.arrow"))
    return reference, current, paths


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_evidently_agrees_with_our_drift_on_bins_and_writes_its_page_whole(tmp_path: Path) -> None:
    reference, current, paths = frames(tmp_path)
    out = tmp_path / "page.html"
    program = [sys.executable, "-c", ORACLE, *paths, str(out)]
    done = subprocess.run(program, check=True, capture_output=True, text=True)
    assert "half" in out.read_text(errors="replace")
    assert not out.with_suffix(".part").exists()
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    for name in reference.columns:
        bins = numeric_bins(name, reference[name].to_numpy())
        _, ours = drift.ks(bins.vector()[:-1], bins.count(current[name].to_numpy())[:-1])
        assert (ours < 1e-3) == (theirs[name] < 1e-3)
        assert ours >= theirs[name] * 0.9


def test_a_wrong_call_says_how_it_is_called() -> None:
    assert main(["only-one"]) == 2
