"""Test a version in the real model server, beside those that take traffic, for the server gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.errors import Invalid, Violation
from tidemill_common.ids import is_digest
from tidemill_serving.predictor import ModelFailed
from tidemill_serving.routing import Pin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_serving.fleet import Fleet
    from tidemill_serving.versions import Loader

DEFAULT_REQUESTS: Final = 200
MAX_REQUESTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured. Latencies are those of single rows, one after the other, in seconds."""

    rows: int
    max_difference: float
    requests: int
    p50: float
    p99: float


async def evaluate(fleet: Fleet, loader: Loader, model: str, pin: Pin, requests: int) -> Evaluation:
    """Load (unless it is), compare with the golden answers, measure, let go.

    Rejected when the version itself is at fault, Transient when the model server is.
    """
    if not is_digest(pin.digest) or pin.number < 1:
        raise Invalid(violations=[Violation("digest", "number and digest of a version are wanted")])
    wanted = min(requests or DEFAULT_REQUESTS, MAX_REQUESTS)
    try:
        held = await fleet.hold(model, pin)
        held.borrowed += 1
        try:
            parity = await loader.parity(held.package)
            latencies = await loader.latencies(held.package, wanted)
        finally:
            held.borrowed -= 1
            fleet.release_later(model)
    except ModelFailed as error:
        # It says something about the version, for ever: not an outage to wait for.
        raise Invalid(f"version {pin.number} of {model!r}: {error.message}") from error
    return Evaluation(
        parity.rows,
        parity.max_difference,
        wanted,
        quantile(latencies, 0.5),
        quantile(latencies, 0.99),
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]
