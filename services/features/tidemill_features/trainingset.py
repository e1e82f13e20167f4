"""Build a training set: f(definitions, cut, delay, span), the same rows and hash at every repeat.

1 spine     the rows of the spine stream below the cut     4 on demand  expressions over both
2 labels    joined by key within the maximum delay          5 table      inputs in frozen order
3 features  replayed at each row's time by the engine       6 profile    of the raw fields
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from tidemill.errors import FailedPrecondition, NotFound
from tidemill.project import model_inputs
from tidemill_common.events import TIMESTAMP
from tidemill_common.feature_views import stream_spec, view_specs
from tidemill_common.on_demand import OnDemand, feature_array, numbers
from tidemill_features.pointintime import Past, columns_of, features_at, past_of
from tidemill_features.profile import profile_of
from tidemill_features.rowhash import row_hash
from tidemill_features.spine import Exclusion, Spine, kept, labelled, spine_of
from tidemill_tiles.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2 as pb
    from tidemill.project import ModelInputs
    from tidemill_common.feature_views import ViewSpec

    ReadArchive = Callable[[str, Sequence[str], Sequence[int]], pa.Table]
    Say = Callable[[str, int, int], None]

SEEN: Final = (int(Verdict.APPLIED), int(Verdict.LATE))
"""Spine rows and labels count when they are no duplicates, however late they came."""


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


@dataclass(frozen=True, slots=True)
class Built:
    """A training set in memory."""

    table: pa.Table
    row_hash: str
    profile: dict[str, Any]
    events: int
    newest_us: int


def build(wanted: Wanted, read: ReadArchive, say: Say) -> Built:
    """Build the rows; `read(stream, columns, verdicts)` gives archived rows below the cut."""
    project = wanted.project
    model = model_of(project, wanted.model)
    inputs = model_inputs(project, model)
    spine = _spine(wanted, model, inputs, read)
    say("labels", len(spine), 0)
    if not len(spine):
        raise FailedPrecondition(
            f"no row of {model.spine.stream} with a label lies below the cut",
            hint="wait until labels have arrived, or widen the span",
        )
    views = view_specs(project)
    pasts = _pasts(inputs, views, read)
    events = sum(len(past.available_us) for past in pasts.values())
    say("features", len(spine), events)
    features = features_at(
        inputs,
        views,
        pasts,
        spine,
        delay_us=wanted.delay_us,
        strict_stream="" if model.spine.include_self else model.spine.stream,
    )
    table = _table(inputs, spine, features)
    say("profile", len(spine), events)
    profile = _profile(wanted, model, pasts, read, spine)
    return Built(table, row_hash(table), profile, events, int(spine.time_us[-1]))


def streams_of(project: pb.Project, model_name: str) -> tuple[str, ...]:
    """Return the streams that a training set of this model reads."""
    model = model_of(project, model_name)
    views = view_specs(project)
    used = [views[name].streams[0] for name, _ in model_inputs(project, model).entities]
    return tuple(dict.fromkeys([model.spine.stream, model.label.stream, *used]))


def model_of(project: pb.Project, name: str) -> pb.Model:
    """Return a model of the project; NotFound if there is none of that name."""
    for model in project.models:
        if model.name == name:
            return model
    raise NotFound(f"the project has no model {name!r}")


def _spine(wanted: Wanted, model: pb.Model, inputs: ModelInputs, read: ReadArchive) -> Spine:
    fields = [one.name for one in inputs.fields]
    columns = ["_id", "_time", "_available", *fields, *model.spine.key]
    if model.spine.time:
        columns.append(model.spine.time)
    table = read(model.spine.stream, list(dict.fromkeys(columns)), SEEN)
    spine = spine_of(model, table, wanted.from_us, wanted.to_us)
    label = stream_spec(wanted.project, model.label.stream)
    columns = ["_time", "_available", *(one.name for one in label.columns)]
    spine = labelled(wanted.project, model, spine, read(model.label.stream, columns, SEEN))
    return kept(spine, wanted.exclusions, unlabelled=wanted.unlabelled, max_rows=wanted.max_rows)


def _pasts(
    inputs: ModelInputs, views: Mapping[str, ViewSpec], read: ReadArchive
) -> dict[str, Past]:
    """Read and order each stream once, with the columns that all its views need."""
    used = [views[name] for name in dict.fromkeys(name for name, _ in inputs.entities)]
    pasts = {}
    for stream in dict.fromkeys(view.streams[0] for view in used):
        columns = columns_of([view for view in used if stream in view.streams])
        pasts[stream] = past_of(read(stream, columns, (int(Verdict.APPLIED),)))
    return pasts


def _table(
    inputs: ModelInputs, spine: Spine, features: Mapping[str, npt.NDArray[np.float64]]
) -> pa.Table:
    known: dict[str, pa.Array] = {name: feature_array(found) for name, found in features.items()}
    known.update({one.name: spine.table[one.name].combine_chunks() for one in inputs.fields})
    known.update(OnDemand.of(inputs).compute(known))
    has_label = np.isfinite(spine.label)
    columns: dict[str, pa.Array] = {
        "_spine_id": spine.table["_id"].combine_chunks(),
        "_spine_key": spine.key,
        "_time": pa.array(spine.time_us).cast(TIMESTAMP),
        "_label": pa.array(spine.label, mask=~has_label),
        "_label_time": pa.array(spine.label_us, mask=~has_label).cast(TIMESTAMP),
    }
    for one in inputs.inputs:
        columns[one.name] = _input(one.kind, known[one.name], categorical=bool(one.categorical))
    return pa.table(columns)


def _input(kind: str, column: pa.Array, *, categorical: bool) -> pa.Array:
    """Return an input as it is stored: a computed number has NaN where it has no value."""
    if kind == "field" or categorical:
        return column
    return pa.array(numbers(column))


def _profile(
    wanted: Wanted,
    model: pb.Model,
    pasts: Mapping[str, Past],
    read: ReadArchive,
    spine: Spine,
) -> dict[str, Any]:
    streams = {}
    for name in streams_of(wanted.project, model.name):
        spec = stream_spec(wanted.project, name)
        columns = ["_time", *(one.name for one in spec.columns)]
        streams[name] = (spec, read(name, columns, (int(Verdict.APPLIED),)))
    del pasts
    newest = max(int(spine.time_us[-1]), int(spine.label_us.max(initial=0)))
    return profile_of(streams, int(spine.time_us[0]), newest, wanted.exclusions)
