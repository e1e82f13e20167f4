"""A point-in-time join by pandas.merge_asof, from Parquet to Parquet."""

from __future__ import annotations

import sys
from pathlib import Path

# The folder of this file has the library's own name: it must not come first on the path.
sys.path[0] = str(Path(__file__).parents[1])

import pandas as pd
from program import options, say


def main() -> None:
    """Join once."""
    given = options()
    say("begun")
    labels = pd.read_parquet(given["labels"])
    features = pd.read_parquet(given["features"])
    joined = pd.merge_asof(
        labels.sort_values("event_timestamp"),
        features.sort_values("event_timestamp"),
        on="event_timestamp",
        by="entity",
        allow_exact_matches=False,
    )
    joined.to_parquet(given["results"])
    say("done")


main()
