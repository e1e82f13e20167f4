"""How far each feature may be from a plain computation over the same events, in words."""

from __future__ import annotations

import math
from typing import Final

from tidemill_tiles.definitions import Aggregation, Function, error_of, precision_of

EXACT: Final = "exact"
_FIXED: Final = {
    Function.MEAN: "one rounding of exact sums",
    Function.VAR: "one rounding of exact sums",
    Function.STD: "one rounding of exact sums",
    Function.RATE: "one rounding of an exact sum",
    Function.RATIO: "one rounding, beside the bounds of its two features",
    Function.DIFFERENCE: "one rounding, beside the bounds of its two features",
    Function.EWMA: "2^-26 of the largest |value|",
}


def error_bound(one: Aggregation) -> str:
    """Return the bound of one feature, of values as they are after rounding to their resolution.

    What an estimate may be off is one standard deviation.
    """
    match one.function:
        case Function.DISTINCT:
            return f"exact up to {one.bound} in the window, beyond it about {_estimate(one.bound)}"
        case Function.QUANTILE:
            return f"{error_of(precision_of(one.error)):.3%} of the value"
        case Function.TOP_K:
            return f"exact up to {one.bound} different values, null beyond"
        case function:
            return _FIXED.get(function, EXACT)


def _estimate(bound: int) -> str:
    """Return the relative deviation of an estimate from the bound + 1 smallest hashes."""
    return f"{1 / math.sqrt(max(bound - 1, 1)):.1%}"
