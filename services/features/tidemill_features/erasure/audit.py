"""Which logged vectors can be recomputed no more: they saw events that have been erased. Pure.

Vectors of the erased entity itself. And those of others that read a view which counts events of
many entities: it keeps what it counted when one of them is erased, and the archive has those events
no more. Until they have left its longest window, the two differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from tidemill.project.naming import features, longest_window_us
from tidemill.project.view_sources import view_streams
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common.erasures import request_table
from tidemill_common.feature_views import duration_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from tidemill.definitions.v1 import project_pb2
    from tidemill.project import ModelInputs
    from tidemill_common.erasures import Erased

FOR_EVER_US: Final = 2**62
SETTLED_US: Final = 60_000_000
Span = tuple[int, int]


def blind_spans(project: project_pb2.Project, erasures: Iterable[pb.Erasure]) -> list[Span]:
    """Return the spans of time, both ends in, whose vectors the archive cannot give again."""
    return [
        span
        for erasure in erasures
        for view in project.views
        if not set(erasure.fields) <= set(view.entity)
        for stream in view_streams(view)
        if (span := _span(erasure, view, _place(erasure, stream))) is not None
    ]


def of_erased(
    inputs: ModelInputs, spine: str, requests: Sequence[str], erased: Erased
) -> npt.NDArray[np.bool_]:
    """Say which vectors are of erased entities, by the request fields that name their entities.

    These are called as in the stream of the `spine`.
    """
    mine = np.zeros(len(requests), dtype=np.bool_)
    if not (erased and requests):
        return mine
    table = request_table(requests)
    mine |= erased.of_stream(spine).rows(table)
    for _, entity in inputs.entities:
        known = {name: table[source] for name, source in entity if source in table.schema.names}
        if known:
            mine |= erased.rows(pa.table(known))
    return mine


def seen_again(spans: Iterable[Span], time_us: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Say which times lie in no span."""
    seen = np.ones(len(time_us), dtype=np.bool_)
    for begin, end in spans:
        seen &= (time_us < begin) | (time_us > end)
    return seen


def _place(erasure: pb.Erasure, stream: str) -> pb.ErasurePlace | None:
    """Return what was said of a stream's archive; None while it was not rewritten."""
    for report in erasure.reports:
        for place in report.places:
            if (place.kind, place.name) == ("archive", stream) and place.gone:
                return place
    return None


def _span(
    erasure: pb.Erasure, view: project_pb2.FeatureView, place: pb.ErasurePlace | None
) -> Span | None:
    if place is None:
        return -FOR_EVER_US, FOR_EVER_US
    if not place.HasField("oldest_time"):
        return None
    began = max(erasure.requested_time, erasure.reopened_time, key=lambda one: one.ToMicroseconds())
    asked = began.ToMicroseconds() + SETTLED_US
    newest = max(place.newest_time.ToMicroseconds(), asked)
    return place.oldest_time.ToMicroseconds(), newest + _memory_us(view)


def _memory_us(view: project_pb2.FeatureView) -> int:
    """Return how long an event matters to a view: its longest window with the hop before it."""
    for one in features(view):
        if one.window is not None and not duration_us(one.window.length):
            return FOR_EVER_US
    return 2 * longest_window_us(view)
