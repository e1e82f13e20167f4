"""Build a training set: f(definitions, cut, delay, span), the same rows and hash at every repeat.

1 spine     the rows of the spine stream below the cut     4 on demand  expressions over both
2 labels    joined by key within the maximum delay          5 table      inputs in frozen order
3 features  replayed at each row's time by the engine       6 profile    of the raw fields
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from tidemill.errors import FailedPrecondition, NotFound
from tidemill.project import model_inputs
from tidemill_common.events import TIMESTAMP
from tidemill_common.feature_views import stream_spec, view_specs
from tidemill_common.on_demand import OnDemand, feature_array, numbers
from tidemill_features.ahead import ahead
from tidemill_features.ordering import Order
from tidemill_features.pointintime import Features, Past, columns_of, past_of
from tidemill_features.profile import Profile, field_bins, profiled
from tidemill_features.spine import Exclusion, Labels, Spine, asked, kept, label_fields, spine_of
from tidemill_features.unions import merged, view_past
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2 as pb
    from tidemill.project import ModelInputs
    from tidemill.project.inputs import ResolvedInput
    from tidemill_common.feature_views import ViewSpec
    from tidemill_features.profile import Column
    from tidemill_tiles.replay import Run

    Say = Callable[[str, int, int], None]

A = TypeVar("A")
B = TypeVar("B")

SEEN: Final = (int(Verdict.APPLIED), int(Verdict.LATE))
"""Spine rows and labels count when they are no duplicates, however late they came."""
APPLIED: Final = (int(Verdict.APPLIED),)
CHUNK_ROWS: Final = 65_536
"""Rows that are worked on together: memory follows it, the rows do not."""


class Each(Protocol):
    """Does something with each thing, like `map`, and gives the results in their order."""

    def __call__(self, work: Callable[[A], B], things: Iterable[A], /) -> Iterable[B]:
        """Begin, in threads or not."""


class Stream(Protocol):
    """The archived events of one stream below the cut."""

    def batches(self, columns: Sequence[str], verdicts: Sequence[int]) -> Iterator[pa.Table]:
        """Give all of these verdicts, in any order."""

    def in_order(
        self,
        columns: Sequence[str],
        verdicts: Sequence[int],
        *,
        by: Order,
        keep: Callable[[pa.Table], npt.NDArray[np.bool_]] | None = None,
    ) -> Iterator[pa.Table]:
        """Give those to `keep`, in an order."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, apart from the cut, which the reader of the archive knows."""

    project: pb.Project
    model: str
    from_us: int | None = None
    to_us: int | None = None
    delay_us: int = 0
    exclusions: Sequence[Exclusion] = field(default_factory=tuple)
    max_rows: int = 0
    unlabelled: bool = False


@dataclass(slots=True)
class Built:
    """How many rows were written, from when to when, and the newest label."""

    rows: int = 0
    oldest_us: int = 0
    newest_us: int = 0
    label_us: int = 0

    def add(self, spine: Spine) -> None:
        """Count rows that are no earlier than those before."""
        if not self.rows:
            self.oldest_us = int(spine.time_us[0])
        self.rows += len(spine)
        self.newest_us = int(spine.time_us[-1])
        self.label_us = max(self.label_us, int(spine.label_us.max()))


@dataclass(frozen=True, slots=True)
class Means:
    """What a build works with: none of it changes a row."""

    folder: Path
    chunk_rows: int = CHUNK_ROWS
    shards: int = 1
    run: Run = map


def build(
    wanted: Wanted,
    archive: Callable[[str], Stream],
    means: Means,
    write: Callable[[pa.Table], None],
    say: Say,
) -> Built:
    """Build the rows and write them, piece by piece; memory follows the state of the views."""
    project = wanted.project
    model = model_of(project, wanted.model)
    inputs = model_inputs(project, model)
    say("labels", 0, 0)
    skipped = 0
    if wanted.max_rows:
        with contextlib.ExitStack() as stack:
            count = sum(map(len, _spine(wanted, model, inputs, archive, means, stack)))
        skipped = max(0, count - wanted.max_rows)
    built = Built()
    with contextlib.ExitStack() as stack:
        features = _features(wanted, model, inputs, archive, means, stack)
        spines = _spine(wanted, model, inputs, archive, means, stack)
        for spine in _without(stack.enter_context(ahead(spines)), skipped):
            write(_table(inputs, spine, features.at(spine)))
            built.add(spine)
            say("features", built.rows, 0)
    if not built.rows:
        raise FailedPrecondition(
            f"no row of {model.spine.stream} with a label lies below the cut",
            hint="wait until labels have arrived, or widen the span",
        )
    return built


def profile_of(
    wanted: Wanted,
    archive: Callable[[str], Stream],
    folder: Path,
    built: Built,
    run: Each = map,
) -> tuple[dict[str, Any], int]:
    """Return the profile, and how many events below the cut the views were computed from.

    `run` looks at every stream, and then at every field, in threads if it likes.
    """
    model = model_of(wanted.project, wanted.model)
    inputs = model_inputs(wanted.project, model)
    newest = max(built.newest_us, built.label_us)
    profile = Profile(built.oldest_us, newest, wanted.exclusions, folder)
    views = view_specs(wanted.project)
    used = {stream for name, _ in inputs.entities for stream in views[name].streams}

    def seen(name: str) -> tuple[list[Column], int]:
        spec = stream_spec(wanted.project, name)
        counted = _Counted(archive(name).batches(["_time", *profiled(spec)], APPLIED))
        columns = profile.columns(spec, counted)
        return columns, counted.rows if name in used else 0

    found = list(run(seen, streams_of(wanted.project, model.name)))
    columns = [one for columns, _ in found for one in columns]
    return profile.to_dict(run(field_bins, columns)), sum(rows for _, rows in found)


def streams_of(project: pb.Project, model_name: str) -> tuple[str, ...]:
    """Return the streams that a training set of this model reads."""
    model = model_of(project, model_name)
    views = view_specs(project)
    names = [name for name, _ in model_inputs(project, model).entities]
    used = [stream for name in names for stream in views[name].streams]
    return tuple(dict.fromkeys([model.spine.stream, model.label.stream, *used]))


def model_of(project: pb.Project, name: str) -> pb.Model:
    """Return a model of the project; NotFound if there is none of that name."""
    for model in project.models:
        if model.name == name:
            return model
    raise NotFound(f"the project has no model {name!r}")


def _spine(
    wanted: Wanted,
    model: pb.Model,
    inputs: ModelInputs,
    archive: Callable[[str], Stream],
    means: Means,
    stack: contextlib.ExitStack,
) -> Iterator[Spine]:
    """Give the rows with their labels, in their order; no piece is empty.

    Both streams are read in threads of their own until `stack` ends.
    """
    columns = ["_time", *label_fields(wanted.project, model)]
    events = archive(model.label.stream).in_order(columns, SEEN, by=Order("_time"))
    labels = Labels(wanted.project, model, stack.enter_context(ahead(events)))

    def keep(table: pa.Table) -> npt.NDArray[np.bool_]:
        return asked(model, table, wanted.from_us, wanted.to_us)

    moment = model.spine.time or "_time"
    columns = ["_id", moment, *(one.name for one in inputs.fields), *model.spine.key]
    tables = archive(model.spine.stream).in_order(columns, SEEN, by=Order(moment), keep=keep)
    # Labels are looked through for every piece, so a piece is not much smaller than they are; what
    # follows the join takes memory by the rows of a piece, so there they are small again.
    pieces = _gathered(
        stack.enter_context(ahead(tables)), lambda: max(means.chunk_rows, labels.held)
    )
    spines = (labels.join(spine_of(model, piece)) for piece in pieces)
    spines = (kept(one, wanted.exclusions, unlabelled=wanted.unlabelled) for one in spines)
    return (part for spine in spines for part in spine.cut(means.chunk_rows) if len(part))


def _gathered(tables: Iterator[pa.Table], rows: Callable[[], int]) -> Iterator[pa.Table]:
    """Cut tables anew, into pieces of so many rows."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += len(table)
        while count >= (size := rows()):
            whole = pa.concat_tables(held)
            yield whole.slice(0, size).combine_chunks()
            held, count = [whole.slice(size)], count - size
    if count:
        yield pa.concat_tables(held).combine_chunks()


def _without(spines: Iterator[Spine], skipped: int) -> Iterator[Spine]:
    """Leave out the first rows."""
    for spine in spines:
        if skipped < len(spine):
            yield spine.rows(skipped) if skipped else spine
        skipped = max(0, skipped - len(spine))


def _features(
    wanted: Wanted,
    model: pb.Model,
    inputs: ModelInputs,
    archive: Callable[[str], Stream],
    means: Means,
    stack: contextlib.ExitStack,
) -> Features:
    """Let each stream be read once, with the columns that all its views need.

    A view over several streams has a past of its own.
    """
    views = view_specs(wanted.project)
    strict_stream = "" if model.spine.include_self else model.spine.stream

    def past(stream: str, used: Sequence[ViewSpec]) -> Iterator[Past]:
        columns, by = columns_of(used, stream), Order("_available", ties=False)
        for table in archive(stream).in_order(columns, APPLIED, by=by):
            yield past_of(table, delay_us=wanted.delay_us, strict=stream == strict_stream)

    pasts: dict[tuple[str, ...], Iterator[Past]] = {}
    for streams, used in _views_together(inputs, views):
        read = [past(stream, used) for stream in streams]
        if used[0].definition.sources:
            pairs = zip(streams, read, strict=True)
            read = [view_past(used[0].definition, stream, one) for stream, one in pairs]
        whole = read[0] if len(read) == 1 else merged(read)
        pasts[tuple(view.name for view in used)] = stack.enter_context(ahead(whole))
    return Features(inputs, views, pasts, shards=means.shards, run=means.run)


def _views_together(
    inputs: ModelInputs, views: Mapping[str, ViewSpec]
) -> Iterator[tuple[tuple[str, ...], list[ViewSpec]]]:
    """Give the views whose rows are made of the same pasts: a view with sources is alone."""
    plain: dict[str, list[ViewSpec]] = {}
    for name in dict.fromkeys(name for name, _ in inputs.entities):
        if views[name].definition.sources:
            yield views[name].streams, [views[name]]
        else:
            plain.setdefault(views[name].streams[0], []).append(views[name])
    for stream, used in plain.items():
        yield (stream,), used


def _table(
    inputs: ModelInputs, spine: Spine, features: Mapping[str, npt.NDArray[np.float64]]
) -> pa.Table:
    computed = OnDemand.of(inputs)
    known: dict[str, pa.Array] = {
        name: feature_array(found) for name, found in features.items() if name in computed.columns
    }
    known.update({one.name: spine.table[one.name].combine_chunks() for one in inputs.fields})
    known.update(computed.compute(known))
    has_label = np.isfinite(spine.label)
    columns: dict[str, pa.Array] = {
        "_spine_id": spine.table["_id"].combine_chunks(),
        "_spine_key": spine.key,
        "_time": pa.array(spine.time_us).cast(TIMESTAMP),
        "_label": pa.array(spine.label, mask=~has_label),
        "_label_time": pa.array(spine.label_us, mask=~has_label).cast(TIMESTAMP),
    }
    for one in inputs.inputs:
        columns[one.name] = _input(one, known, features)
    return pa.table(columns)


def _input(
    one: ResolvedInput,
    known: Mapping[str, pa.Array],
    features: Mapping[str, npt.NDArray[np.float64]],
) -> pa.Array:
    """Return an input as it is stored: a number that is no field has NaN where it has no value."""
    if one.kind == "feature":
        values = features[one.name]
        return feature_array(values) if one.categorical else pa.array(values)
    column = known[one.name]
    return column if one.kind == "field" or one.categorical else pa.array(numbers(column))


@dataclass(slots=True)
class _Counted:
    """Tables, counting their rows as they are taken."""

    tables: Iterator[pa.Table]
    rows: int = 0

    def __iter__(self) -> Iterator[pa.Table]:
        for table in self.tables:
            self.rows += len(table)
            yield table
