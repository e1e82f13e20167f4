"""Recompute logged vectors from the archive at the positions they were read at: pure.

The engine, the verdicts and the positions decide a value, so a difference of one bit is a bug.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from tidemill.project import model_inputs
from tidemill_common.clock import to_us
from tidemill_common.feature_views import view_specs
from tidemill_common.on_demand import OnDemand, feature_array, field_array, numbers
from tidemill_features.past import PartitionPast, partition_pasts
from tidemill_tiles.keys import key_column
from tidemill_tiles.reads import read as read_tables
from tidemill_tiles.table import TileTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2 as pb
    from tidemill.project import ModelInputs
    from tidemill_common.feature_views import ViewSpec

    ReadArchive = Callable[[str, Sequence[str], Sequence[int]], pa.Table]

MAX_EXAMPLES: Final = 20
ALL: Final = (0, 1, 2)


@dataclass(slots=True)
class Verified:
    """What was compared, and what differed."""

    vectors: int = 0
    values: int = 0
    mismatches: int = 0
    skipped: int = 0
    by_feature: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Chain:
    """Tables that were moved forward to `at`; positions on one chain never go back."""

    pasts: Sequence[PartitionPast]
    tables: list[TileTable]
    at: list[int]

    def can_reach(self, positions: Sequence[int]) -> bool:
        return all(here <= there for here, there in zip(self.at, positions, strict=True))

    def move(self, positions: Sequence[int]) -> None:
        for number, (past, table) in enumerate(zip(self.pasts, self.tables, strict=True)):
            past.apply(table, self.at[number], positions[number])
            self.at[number] = positions[number]


def verify(project: pb.Project, model: str, predictions: pa.Table, read: ReadArchive) -> Verified:
    """Compare every sampled vector whose views are those of this project."""
    inputs = model_inputs(project, model)
    views = view_specs(project)
    rows = [
        _Row(*values)
        for values in zip(
            predictions["_prediction_id"].to_pylist(),
            predictions["_time"].cast(pa.int64()).to_pylist(),
            predictions["_vector"].to_pylist(),
            map(json.loads, predictions["_request"].to_pylist()),
            map(json.loads, predictions["_positions"].to_pylist()),
            strict=True,
        )
    ]
    used = {log.name for name, _ in inputs.entities for log in views[name].logs()}
    found = Verified()
    known = [row for row in rows if row.fits(used, len(inputs.numeric))]
    found.skipped = len(rows) - len(known)
    if known:
        _compare(inputs, known, _recomputed(inputs, views, known, read), found)
    return found


@dataclass(frozen=True, slots=True)
class _Row:
    """One logged vector."""

    prediction: str
    time_us: int
    vector: Sequence[float | None]
    request: Mapping[str, Any]
    positions: Mapping[str, Sequence[int]]

    def fits(self, logs: set[str], inputs: int) -> bool:
        """Say whether it was made from these views, and by a version with these inputs."""
        return logs <= set(self.positions) and len(self.vector) == inputs


def _recomputed(
    inputs: ModelInputs, views: Mapping[str, ViewSpec], rows: Sequence[_Row], read: ReadArchive
) -> dict[str, npt.NDArray[np.float64]]:
    """Return the numeric inputs again, by name."""
    fields = {
        one.name: field_array(one, [_field(one, row.request.get(one.name)) for row in rows])
        for one in inputs.fields
    }
    known: dict[str, pa.Array] = dict(fields)
    for name, entity in inputs.entities:
        view = views[name]
        values = _view_values(view, entity, rows, fields, read)
        for one in inputs.features:
            if one.view == name and one.entity == entity:
                known[one.name] = feature_array(values[:, view.features.index(one.feature)])
    known.update(OnDemand.of(inputs).compute(known))
    return {one.name: numbers(known[one.name]) for one in inputs.numeric}


def _field(declared: pb.Field, value: Any) -> Any:
    """Read a request field as it was sent: times are RFC 3339 text."""
    from tidemill.definitions.v1 import project_pb2

    if declared.type == project_pb2.FIELD_TYPE_TIMESTAMP and isinstance(value, str):
        return to_us(datetime.fromisoformat(value))
    return value


def _view_values(
    view: ViewSpec,
    entity: Sequence[tuple[str, str]],
    rows: Sequence[_Row],
    fields: Mapping[str, pa.Array],
    read: ReadArchive,
) -> npt.NDArray[np.float64]:
    """Read one view for every row at its time and its positions."""
    logs = [log.name for log in view.logs()]
    keys = key_column([fields[source] for _, source in entity])
    at = np.array([row.time_us for row in rows], dtype=np.int64)
    pasts = [
        past
        for stream in view.streams
        for past in partition_pasts(view, stream, read(stream, (), ALL))
    ]
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, row in enumerate(rows):
        positions = tuple(position for log in logs for position in row.positions[log])
        groups.setdefault(positions, []).append(index)
    values = np.full((len(rows), len(view.features)), np.nan)
    chains: list[_Chain] = []
    for positions in sorted(groups, key=lambda one: (sum(one), one)):
        chain = next((one for one in chains if one.can_reach(positions)), None)
        if chain is None:
            tables = [TileTable(view.plan) for _ in pasts]
            chain = _Chain(pasts, tables, [0] * len(pasts))
            chains.append(chain)
        chain.move(positions)
        members = np.array(groups[positions], dtype=np.int64)
        hashes = np.ascontiguousarray(keys.hashes[members])
        values[members] = read_tables(view.plan, chain.tables, hashes, at[members]).values
    values[~keys.valid] = np.nan
    return values


def _compare(
    inputs: ModelInputs,
    rows: Sequence[_Row],
    again: Mapping[str, npt.NDArray[np.float64]],
    found: Verified,
) -> None:
    logged = np.array(
        [[np.nan if one is None else one for one in row.vector] for row in rows], dtype=np.float64
    ).reshape(len(rows), len(inputs.numeric))
    found.vectors, found.values = len(rows), logged.size
    for place, one in enumerate(inputs.numeric):
        served = np.ascontiguousarray(logged[:, place])
        offline = np.ascontiguousarray(again[one.name])
        both_missing = np.isnan(served) & np.isnan(offline)
        differs = (served.view(np.int64) != offline.view(np.int64)) & ~both_missing
        count = int(np.count_nonzero(differs))
        found.mismatches += count
        found.by_feature[one.name] = count
        for index in np.flatnonzero(differs)[: MAX_EXAMPLES - len(found.examples)]:
            found.examples.append(
                f"{rows[index].prediction} {one.name}: served {served[index]!r}, "
                f"recomputed {offline[index]!r} at {dict(rows[index].positions)}"
            )
