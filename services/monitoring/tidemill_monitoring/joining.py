"""The label join: rows of a step are added to its three sides, new matches are published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill_common import events, metrics, topics
from tidemill_monitoring import rows

if TYPE_CHECKING:
    from tidemill_monitoring.decoding import Decoded
    from tidemill_monitoring.definitions import ModelDefinition
    from tidemill_monitoring.store import Step

CHUNK = 2_000
MARGIN_US = 3_600_000_000


async def join(step: Step, model: ModelDefinition, decoded: Decoded) -> int:
    """Add a step's rows of one model and publish every spine row whose label is now known.

    Only rows that are new touch a key, so a duplicate publishes nothing. A row is published again
    when its prediction comes after its label. Gives the number of published rows.
    """
    touched: set[str] = set()
    if model.spine_stream in decoded.events:
        spine = rows.spine_rows(model, decoded.events[model.spine_stream])
        touched |= await step.add_spine(model.name, spine)
    if model.label_stream in decoded.events:
        labels = rows.label_rows(model, decoded.events[model.label_stream])
        touched |= await step.add_labels(model.name, labels)
    if model.name in decoded.predictions:
        answers = decoded.predictions[model.name].rows.to_arrow()
        touched |= await step.add_predictions(model.name, answers)
    if not touched:
        return 0
    joined = await step.joined(model.name, touched, model.max_delay_us)
    topic = topics.labels(model.name).name
    for start in range(0, len(joined), CHUNK):
        batch = rows.label_batch(joined[start : start + CHUNK])
        await step.announce(topic, model.name, events.encode(batch))
    metrics.counter("tidemill_labels_total", model=model.name).inc(len(joined))
    return len(joined)


def horizon_us(model: ModelDefinition, stream_us: int) -> int:
    """Give the time before which no row of the join is needed any more.

    A cohort is looked at until its last label may have come, so a window more than the delay.
    """
    return stream_us - model.max_delay_us - 2 * model.window_us - MARGIN_US
