"""The pasts of several streams as one past of a view over them: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from tidemill_features.pointintime import Past
from tidemill_tiles.columns import view_rows
from tidemill_tiles.definitions import read_types
from tidemill_tiles.fixed import ARROW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tidemill_tiles.definitions import ViewDefinition


def view_past(definition: ViewDefinition, stream: str, pieces: Iterator[Past]) -> Iterator[Past]:
    """Turn a stream's events into rows with the view's columns; no piece is empty."""
    schema = pa.schema([(name, ARROW[kind]) for name, kind in read_types(definition).items()])
    for piece in pieces:
        found = view_rows(definition, piece.table, piece.ids, stream)
        table = pa.table(found.columns).cast(schema)
        rows = Past(table, piece.visible_us, piece.time_us, found.tie)
        if found.keep is not None:
            rows = _taken(rows, np.flatnonzero(found.keep))
        if len(rows):
            yield rows


def merged(pasts: Sequence[Iterator[Past]]) -> Iterator[Past]:
    """Give the rows of several pasts in the order in which they become visible.

    Rows that become visible together come in no promised order: values depend on the set of them.
    """
    ahead = [(piece, past) for past in pasts if (piece := next(past, None)) is not None]
    while ahead:
        limit = min(piece.visible_us[-1] for piece, _ in ahead)
        parts, left = [], []
        for piece, past in ahead:
            count = int(np.searchsorted(piece.visible_us, limit, side="right"))
            parts.append(piece.rows(0, count))
            rest = piece.rows(count, len(piece)) if count < len(piece) else next(past, None)
            if rest is not None:
                left.append((rest, past))
        yield _joined([part for part in parts if len(part)])
        ahead = left


def _joined(parts: Sequence[Past]) -> Past:
    if len(parts) == 1:
        return parts[0]
    whole = Past(
        pa.concat_tables([part.table for part in parts]),
        np.concatenate([part.visible_us for part in parts]),
        np.concatenate([part.time_us for part in parts]),
        np.concatenate([part.ids for part in parts]),
    )
    return _taken(whole, np.argsort(whole.visible_us, kind="stable"))


def _taken(past: Past, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Past:
    table = past.table.take(pa.array(rows)).combine_chunks()
    return Past(table, past.visible_us[rows], past.time_us[rows], past.ids[rows])
