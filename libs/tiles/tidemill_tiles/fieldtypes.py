"""Names shared by definitions, columns and expressions."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NO_TIME: Final = -(2**63)
"""A time before every time: no event yet."""


class FieldType(StrEnum):
    """The types of a stream's fields."""

    BOOL = "bool"
    INT64 = "int64"
    FLOAT64 = "float64"
    STRING = "string"
    TIMESTAMP = "timestamp"
