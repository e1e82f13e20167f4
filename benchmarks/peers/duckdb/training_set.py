"""A point-in-time join by DuckDB's ASOF LEFT JOIN, from Parquet to Parquet."""

from __future__ import annotations

import sys
from pathlib import Path

# The folder of this file has the library's own name: it must not come first on the path.
sys.path[0] = str(Path(__file__).parents[1])

import duckdb
from program import options, say

QUERY = """
COPY (
  SELECT l.label_id, l.event_timestamp, f.* EXCLUDE (entity, event_timestamp)
  FROM read_parquet($labels) AS l
  ASOF LEFT JOIN read_parquet($features) AS f
    ON l.entity = f.entity AND l.event_timestamp > f.event_timestamp
) TO '{results}' (FORMAT parquet)
"""


def main() -> None:
    """Join once."""
    given = options()
    connection = duckdb.connect(config={"threads": 2})
    say("begun")
    files = {"labels": given["labels"], "features": given["features"]}
    connection.execute(QUERY.format(results=given["results"]), files)
    say("done")


main()
