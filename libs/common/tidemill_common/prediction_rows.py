"""The rows of `predictions.<model>`: written by serving, read by monitoring and the vector audit.

`_vector` holds the numeric inputs in the order of the version's preprocessing (`_digest` names it),
as float64 before any rounding, NaN where there was no value; `_request` all request fields as one
JSON object (times as RFC 3339 text, null where missing); `_positions` a JSON object: feature log
topic -> position of each partition that the vector was read at. The three are null unless
`_sampled`. `_score` and `_outputs` are null unless `_status` is "OK".
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

OK: Final = "OK"
_TIME: Final = pa.timestamp("us", "UTC")

SCHEMA: Final = pa.schema(
    [
        pa.field("_prediction_id", pa.string(), nullable=False),
        pa.field("_request_id", pa.string()),
        pa.field("_time", _TIME, nullable=False),
        pa.field("_logged", _TIME, nullable=False),
        pa.field("_spine_key", pa.string()),
        pa.field("_version", pa.int64(), nullable=False),
        pa.field("_digest", pa.string(), nullable=False),
        pa.field("_variant", pa.string(), nullable=False),
        pa.field("_propensity", pa.float64(), nullable=False),
        pa.field("_status", pa.string(), nullable=False),
        pa.field("_score", pa.float64()),
        pa.field("_outputs", pa.list_(pa.float64())),
        pa.field("_latency_us", pa.int64(), nullable=False),
        pa.field("_sampled", pa.bool_(), nullable=False),
        pa.field("_vector", pa.list_(pa.float64())),
        pa.field("_request", pa.string()),
        pa.field("_positions", pa.string()),
    ]
)
