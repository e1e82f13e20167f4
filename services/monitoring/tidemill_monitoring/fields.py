"""Raw fields of a stream: which are wrong, since which record, in which part of the traffic.

A fault of a publisher (another unit, a shifted scale, values gone) shows within a few rows as many
values where the stream has never had any; weather, holidays and storms do not do that. So a field
is judged on short spans of its newest rows, all together and per segment, against the stream's
own past (and the champion's profile): the share of values *far* outside of what is known, the share
of values far too small, the share of missing ones.

Rows wait a day before they become part of the past, and rows of a bad span never do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import special

from tidemill_monitoring import signedlog
from tidemill_monitoring.signedlog import Floats

if TYPE_CHECKING:
    from tidemill_common.reference import NumericBins

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
TAIL = 0.005
HALF_LIFE_DAYS = 14.0
READY_ROWS = 200
READY_US = 2 * DAY_US
READY_NONZERO = 100

MIN_FAR_ROWS = 10
MIN_FAR = 3
FAR_SHARE = 0.15
MIN_MANY_ROWS = 30
MIN_GONE_ROWS = 50
SMALL_SHARE = 0.8
MISSING_EXCESS = 0.5
USUAL_SMALL = 0.3
USUAL_MODE = 0.5
USUAL_MISSING = 0.05
SMALLER = 16.0
SIGNIFICANT = 1e-6
CERTAIN = 1e-8
CERTAIN_EXCESS = 0.2

STANDS_OUT = 2.0 / 3.0

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Past:
    """What the values of a field usually are: counts with a half-life, over signed-log cells."""

    counts: Floats = field(default_factory=lambda: np.zeros(signedlog.CELLS))
    missing: float = 0.0
    first_us: int = 0
    last_us: int = 0

    @property
    def rows(self) -> float:
        """How many values, without missing ones, are remembered."""
        return float(self.counts.sum())

    @property
    def ready(self) -> bool:
        """Whether this is enough to judge by."""
        return self.rows >= READY_ROWS and self.last_us - self.first_us >= READY_US

    def add(self, values: Floats, oldest_us: int, newest_us: int) -> Past:
        """Remember `values` (NaN: missing), and let the older ones fade up to `newest_us`."""
        days = max(0, newest_us - self.last_us) / DAY_US if self.last_us else 0.0
        kept = 0.5 ** (days / HALF_LIFE_DAYS)
        return Past(
            counts=self.counts * kept + signedlog.count(values),
            missing=self.missing * kept + float(np.count_nonzero(np.isnan(values))),
            first_us=self.first_us or oldest_us,
            last_us=max(self.last_us, newest_us),
        )


@dataclass(frozen=True, slots=True)
class Usual:
    """The bounds that follow from the past, ready to be compared with."""

    counts: Floats
    low: float
    high: float
    far_low: float
    far_high: float
    small: float
    rows: float
    far_rate: float
    small_rate: float
    missing_rate: float
    mode: float


def usual(past: Past, profile: NumericBins | None = None) -> Usual | None:
    """Give what is usual by the stream's past and the champion's profile; None: not known yet."""
    counts, missing = past.counts, past.missing
    if not past.ready:
        if profile is None or not profile.edges:
            return None
        counts, missing = _spread(profile), float(profile.missing)
    low, high = _bounds(counts)
    if profile is not None and profile.edges:
        low, high = min(low, profile.low), max(high, profile.high)
    margin = max(high - low, abs(low), abs(high))
    small = signedlog.quantile(signedlog.magnitudes(counts), 0.5) / SMALLER
    rows = float(counts.sum())
    far = _share(counts, low - margin, high + margin)
    return Usual(
        counts=counts,
        low=low,
        high=high,
        far_low=low - margin,
        far_high=high + margin,
        small=small,
        rows=rows,
        far_rate=max(1.0 - far, 1.0 / (rows + 1.0), 1e-4),
        small_rate=max(_share(counts, -small, small), 1.0 / (rows + 1.0)),
        missing_rate=max(missing / (rows + missing), 1.0 / (rows + 1.0)),
        mode=float(counts.max() / rows) if rows else 1.0,
    )


def _bounds(counts: Floats) -> tuple[float, float]:
    """Give the extreme quantiles; of a field that is mostly 0 (rain), those of its other values."""
    tail = counts
    if counts[signedlog.ZERO] > counts.sum() / 2.0:
        tail = counts.copy()
        tail[signedlog.ZERO] = 0.0
        if tail.sum() < READY_NONZERO:
            return -np.inf, np.inf
    low, high = (signedlog.quantile(tail, level) for level in (TAIL, 1.0 - TAIL))
    return (low, high) if tail is counts else (min(low, 0.0), max(high, 0.0))


def _spread(profile: NumericBins) -> Floats:
    """Turn quantile cells into signed-log counts: each cell's values evenly over the cell."""
    edges = np.asarray(profile.edges)
    inner = np.asarray(profile.counts[1:-1], dtype=np.float64)
    points = 8
    steps = (np.arange(points) + 0.5) / points
    values = edges[:-1, None] + (edges[1:] - edges[:-1])[:, None] * steps
    cells = np.searchsorted(signedlog.EDGES, values.ravel(), side="left")
    weights = np.repeat(inner / points, points)
    return np.bincount(cells, weights=weights, minlength=signedlog.CELLS).astype(np.float64)


def _share(counts: Floats, low: float, high: float) -> float:
    """Give the share of the values within [low, high], by whole cells."""
    total = counts.sum()
    if total <= 0:
        return 0.0
    first = int(np.searchsorted(signedlog.EDGES, low, side="left"))
    last = int(np.searchsorted(signedlog.EDGES, high, side="left"))
    return float(counts[first : last + 1].sum() / total)


@dataclass(frozen=True, slots=True)
class Flags:
    """Per row: what is odd about its value."""

    far: Mask
    small: Mask
    missing: Mask


def flags(values: Floats, known: Usual) -> Flags:
    """Say of each value (NaN: missing) whether it is odd."""
    missing = np.isnan(values)
    with np.errstate(invalid="ignore"):
        far = (values < known.far_low) | (values > known.far_high)
        small = np.abs(values) <= known.small
    return Flags(far & ~missing, small & ~missing, missing)


def is_worth_a_search(fresh: Floats, known: Usual) -> bool:
    """Say whether new rows have more odd values than usual, so that segments are worth counting."""
    odd = flags(fresh, known)
    return bool(
        odd.far.any()
        or np.count_nonzero(odd.small) >= MIN_FAR + 1.5 * known.small_rate * fresh.size
        or np.count_nonzero(odd.missing) >= MIN_FAR + 1.5 * known.missing_rate * fresh.size
    )


@dataclass(frozen=True, slots=True)
class Oddity:
    """One kind of odd values that is too frequent in a span of rows."""

    kind: str
    share: float
    usual_rate: float
    p_value: float

    @property
    def excess(self) -> float:
        """How much more frequent it is than usual."""
        return self.share - self.usual_rate

    @property
    def certain(self) -> bool:
        """Whether one look is enough."""
        return self.p_value < CERTAIN and self.excess >= CERTAIN_EXCESS


def oddity(known: Usual, rows: int, far: int, small: int, missing: int) -> Oddity | None:
    """Give what is odd about a span with these counts, or None. The worst excess speaks."""
    found = []
    present = rows - missing
    if present >= MIN_FAR_ROWS and far >= max(MIN_FAR, FAR_SHARE * present):
        found.append(_odd("far", known.far_rate, present, far))
    # A field that hardly ever varies (visibility) has no scale that could be seen to change.
    usually_large = known.small_rate <= USUAL_SMALL and known.mode <= USUAL_MODE
    if usually_large and present >= MIN_MANY_ROWS and small >= SMALL_SHARE * present:
        found.append(_odd("small", known.small_rate, present, small))
    usually_there = known.missing_rate <= USUAL_MISSING and rows >= MIN_GONE_ROWS
    if usually_there and missing >= (known.missing_rate + MISSING_EXCESS) * rows:
        found.append(_odd("missing", known.missing_rate, rows, missing))
    significant = [odd for odd in found if odd.p_value < SIGNIFICANT]
    return max(significant, key=lambda odd: odd.excess, default=None)


def _odd(kind: str, rate: float, rows: int, odd: int) -> Oddity:
    """Give the oddity with the binomial chance of at least `odd` among `rows`."""
    p_value = float(special.betainc(odd, rows - odd + 1, rate)) if odd else 1.0
    return Oddity(kind, odd / rows, rate, p_value)


def mask_of(odd: Oddity, values: Floats, known: Usual) -> Mask:
    """Mark the rows that make up an oddity; for far values the bounds are the usual ones."""
    if odd.kind == "missing":
        return np.isnan(values)
    with np.errstate(invalid="ignore"):
        if odd.kind == "small":
            return np.abs(values) <= known.small
        return (values < known.low) | (values > known.high)


def onset(mask: Mask, usual_rate: float) -> int:
    """Give the index of the first marked row from which marked rows are persistently frequent.

    That is where the cumulated excess over half way between usual and present starts to grow.
    """
    recent = float(mask[-MIN_MANY_ROWS:].mean()) if mask.size else 0.0
    threshold = (usual_rate + max(recent, usual_rate)) / 2.0
    ahead = np.cumsum((mask - threshold)[::-1])[::-1]
    start = int(np.argmax(ahead))
    marked = np.flatnonzero(mask[start:])
    return start + int(marked[0]) if marked.size else start


@dataclass(frozen=True, slots=True)
class Shape:
    """What happened to the values: scale, shift, spike or missing; factor 0 when it is none."""

    name: str
    factor: float
    text: str


SCALE_FACTOR = 4.0
UNIT_FACTORS = (
    (86400, "days given as seconds"),
    (3600, "hours given as seconds"),
    (1000, "a thousandth of the unit"),
    (100, "a hundredth of the unit"),
    (60, "minutes given as seconds"),
    (24, "days given as hours"),
)
FITS = 0.6
FITS_SMALL = 0.35
MULTIPLES_SHARE = 0.9
MIN_MULTIPLES = 6
AGREES = 6.0  # a unit's factor is taken when the estimate lies within this multiple of it


def shape(odd: Oddity, values: Floats, known: Usual) -> Shape:
    """Say what happened to `values`, the rows since the onset."""
    if odd.kind == "missing":
        return Shape("missing", 0.0, f"{odd.share:.0%} missing, usually {odd.usual_rate:.1%}")
    finite = values[np.isfinite(values)]
    factor, before, left = signedlog.best_scale(known.counts, signedlog.count(finite))
    unit = _unit_factor(finite, factor)
    fits = max(factor, 1.0 / factor) >= SCALE_FACTOR and left <= FITS * before
    if unit or fits:
        return Shape("scale", unit or factor, _scale_text(unit or factor))
    if odd.share < 0.5:
        text = f"{odd.share:.0%} beyond {known.far_low:.4g} to {known.far_high:.4g}"
        return Shape("spike", 0.0, text)
    middle = signedlog.quantile(known.counts, 0.5)
    return Shape("shift", 0.0, f"median {middle:.4g} -> {float(np.median(finite)):.4g}")


def is_scaled_down(values: Floats, known: Usual) -> bool:
    """Say whether small values look like the usual ones in a larger unit, and not like a calm."""
    finite = values[np.isfinite(values)]
    factor, before, left = signedlog.best_scale(known.counts, signedlog.count(finite))
    return factor <= 1.0 / SCALE_FACTOR and left <= FITS_SMALL * before


def _unit_factor(values: Floats, estimate: float) -> float:
    """Give the factor between two units that nearly all values are whole multiples of, or 0."""
    whole = values[(values != 0) & (values == np.round(values))]
    if whole.size < max(MIN_MULTIPLES, MULTIPLES_SHARE * np.count_nonzero(values)):
        return 0.0
    for factor, _ in UNIT_FACTORS:
        agrees = 1.0 / AGREES < estimate / factor < AGREES
        if agrees and np.mean(whole % factor == 0) >= MULTIPLES_SHARE:
            return float(factor)
    return 0.0


def _scale_text(factor: float) -> str:
    multiple = max(factor, 1.0 / factor)
    if factor < 1.0:
        return f"values divided by about {multiple:.3g}"
    for unit, meaning in UNIT_FACTORS:
        if abs(np.log(unit / multiple)) < np.log(1.2):
            return f"values times about {unit} ({meaning}?)"
    return f"values times about {multiple:.3g}"


def while_multiples(values: Floats, factor: float) -> int:
    """Count how many values from the first on fit a unit's factor; a 0 fits only between others."""
    divisor = round(factor)
    if divisor < 2 or abs(factor - divisor) > 1e-9:
        return 0
    fitting = 0
    for index, value in enumerate(values):
        if not np.isfinite(value) or value % divisor:
            break
        fitting = index + 1 if value else fitting
    return fitting


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the traffic: rows whose `name` field has `value`; empty name: all rows."""

    name: str = ""
    value: str = ""

    def as_dict(self) -> dict[str, str]:
        """Give the form that alerts carry."""
        return {self.name: self.value} if self.name else {}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An oddity in one segment, and how much stronger it is there than in the rest."""

    segment: Segment
    rows: int
    odd: Oddity
    contrast: float


def choose(candidates: list[Candidate]) -> list[Candidate]:
    """Rank segments, the one that explains the oddity best first.

    A segment explains it when the rest has it at most a third as often; if none does, it is
    everywhere.
    """
    ranked = sorted(candidates, key=lambda c: (-c.contrast, -c.rows, c.segment.value))
    parts = [c for c in ranked if c.segment.name and c.contrast >= STANDS_OUT * c.odd.share]
    if parts:
        return parts
    whole = next((c for c in ranked if not c.segment.name), ranked[0])
    return [replace(whole, segment=Segment())]
