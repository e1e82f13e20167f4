"""Build an Evidently report, in a process of its own: importing and running it takes seconds.

    python -m tidemill_monitoring.evidently_report REFERENCE.arrow CURRENT.arrow OUT.html

The files hold at most 10,000 rows each; text columns are categories. The tests are named, because
Evidently's own choice changes with the number of rows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pandas as pd

MAX_ROWS = 10_000
NUMERIC_TEST = "ks"
CATEGORICAL_TEST = "chisquare"
NICENESS = 10


def drift_report(reference: pd.DataFrame, current: pd.DataFrame) -> Any:
    """Run the drift preset over the columns of `reference`; gives Evidently's snapshot."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    categories = list(reference.select_dtypes(exclude="number").columns)
    numbers = [name for name in reference.columns if name not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    report = Report([DataDriftPreset(num_method=NUMERIC_TEST, cat_method=CATEGORICAL_TEST)])
    return report.run(
        Dataset.from_pandas(current[list(reference.columns)], data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )


def _read(path: str) -> pl.DataFrame:
    frame = pl.read_ipc(path)
    return frame.sample(MAX_ROWS, seed=7) if frame.height > MAX_ROWS else frame


def _usable(reference: pl.DataFrame, current: pl.DataFrame) -> list[str]:
    """Leave out columns without a value on one side: there is nothing to compare."""
    return [
        name
        for name in reference.columns
        if name in current.columns
        and reference[name].drop_nulls().len() > 0
        and current[name].drop_nulls().len() > 0
    ]


def build(reference_path: str, current_path: str, out: Path) -> None:
    """Write the page; it appears whole or not at all."""
    reference, current = _read(reference_path), _read(current_path)
    names = _usable(reference, current)
    snapshot = drift_report(reference.select(names).to_pandas(), current.select(names).to_pandas())
    part = out.with_suffix(".part")
    snapshot.save_html(str(part))
    part.replace(out)


def main(arguments: list[str]) -> int:
    """Run as a program; 2 when it is called wrongly."""
    if len(arguments) != 3:
        sys.stderr.write("usage: evidently_report REFERENCE.arrow CURRENT.arrow OUT.html\n")
        return 2
    os.nice(NICENESS)
    build(arguments[0], arguments[1], Path(arguments[2]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
