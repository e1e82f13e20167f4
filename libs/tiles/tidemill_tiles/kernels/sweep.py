"""Training sets: events and label rows in one sweep of time, through the same apply and merge."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill_tiles.kernels import layout as at
from tidemill_tiles.kernels.compiling import (
    B2,
    EVENTS,
    F2,
    I1,
    I2,
    INT,
    LAYOUT,
    RI1,
    RT1,
    RU2,
    TABLE,
    kernel,
    types,
)
from tidemill_tiles.kernels.merge import INTERMEDIATE, PLAN, clear, merge_entity
from tidemill_tiles.kernels.rows import room_for
from tidemill_tiles.kernels.update import apply_event
from tidemill_tiles.kernels.values import finish_entity

LABELS = types.Tuple((RU2, RI1, RI1))
"""hashes, times, order in which to answer"""
SEEN = types.Tuple((RI1, RT1))
"""when each event becomes visible, whether it is kept"""
OUTPUT = types.Tuple((I2, F2, F2, B2, I1))
"""outputs, numbers, values, statuses, event times"""
NO_ROOM, NO_EVENTS, DONE = range(3)


@kernel(
    types.UniTuple(INT, 3),
    TABLE,
    LAYOUT,
    PLAN,
    EVENTS,
    SEEN,
    LABELS,
    INTERMEDIATE,
    OUTPUT,
    types.UniTuple(INT, 5),
)
def sweep(
    state: Any,
    laid: Any,
    plan: Any,
    events: Any,
    seen: Any,
    labels: Any,
    found: Any,
    output: Any,
    progress: Any,
) -> Any:
    """Answer labels in order of time, each after the events that were visible by then.

    progress: next event, next label, label to stop at, whether more events come, time to live.
    Stops there, when an event does not fit, or when the events end and more come. Returns why,
    the next event and the next label.
    """
    event, label, until, more, ttl = progress
    hashes, times, order = labels
    outputs, numbers, values, status, event_times = output
    visible, keep = seen
    while label < until:
        row = order[label]
        time = times[row]
        while event < len(keep) and visible[event] <= time:
            if keep[event]:
                if not room_for(state, len(laid[0])):
                    return NO_ROOM, event, label
                apply_event(state, laid, events, event)
            event += 1
        if event == len(keep) and more != 0:
            return NO_EVENTS, event, label
        first, second = np.int64(hashes[row, 0]), np.int64(hashes[row, 1])
        clear(plan, found, 0)
        merge_entity(state, plan, found, 0, first, second, time)
        oldest = time - ttl if ttl >= 0 else at.NOTHING
        finish_entity(outputs, numbers, found, 0, time, oldest, values, status, row)
        event_times[row] = found[3][0]
        label += 1
    return DONE, event, label
