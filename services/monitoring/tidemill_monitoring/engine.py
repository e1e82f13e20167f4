"""One step of monitoring: records in; joins, counts, findings and offsets in one transaction.

1. read the records and load what their versions looked like in training;
2. begin, and make sure that no newer process has taken over;
3. join labels, count drift, watch raw fields, each with the rows of this step;
4. judge the windows and cohorts that are over by the frontier;
5. forget what nothing needs, move the offsets, commit.

After any error the engine must be thrown away and loaded again: memory may be ahead of what
was committed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tidemill_common import metrics
from tidemill_common.erasures import NOTHING_ERASED, Erased
from tidemill_monitoring import joining
from tidemill_monitoring.alerts import Alert, Kind, Moment
from tidemill_monitoring.announcing import Announcer
from tidemill_monitoring.decoding import Decoded, decode
from tidemill_monitoring.judging import Cohorts, Drifts
from tidemill_monitoring.watching import FieldWatches

if TYPE_CHECKING:
    from tidemill_common.clock import Clock
    from tidemill_common.kafka import Record, TopicPartition
    from tidemill_monitoring.definitions import ModelDefinition, Watch
    from tidemill_monitoring.references import References
    from tidemill_monitoring.store import Step, Store

FORGET_PARTS = 4
EVER = 2**62
logger = logging.getLogger(__name__)


class Engine:
    """The state of monitoring in memory, as the database has it."""

    def __init__(
        self,
        watch: Watch,
        store: Store,
        references: References,
        clock: Clock,
        erased: Erased = NOTHING_ERASED,
    ) -> None:
        """Monitor what `watch` says; call `load` first. Erased entities are passed over."""
        self._erased = erased
        self._watch = watch
        self._store = store
        self._references = references
        self._clock = clock
        self._fence = 0
        self._stream_us = 0
        self._clocks: dict[TopicPartition, int] = {}
        self._forgotten: dict[str, int] = {}

    async def load(self) -> None:
        """Take over from whoever wrote before, and read where it stood."""
        self._fence, self._stream_us = await self._store.take_over()
        self._announcer = Announcer(await self._store.open_alerts())
        self._fields = await FieldWatches.load(self._watch, self._store)
        counts = await self._store.drift_counts()
        self._drifts = Drifts(counts, await self._store.windows_judged())
        for name, version, _ in counts:
            await self._references.load(name, version)
        self._cohorts = Cohorts()
        for model in self._watch.models.values():
            oldest = joining.horizon_us(model, self._stream_us) - 14 * model.window_us
            self._cohorts.load(await self._store.cohorts(model.name, oldest, EVER))

    @property
    def stream_us(self) -> int:
        """The stream time up to which records were handled."""
        return self._stream_us

    async def step(
        self, records: Sequence[tuple[TopicPartition, Record]], lagging: Iterable[TopicPartition]
    ) -> Decoded:
        """Handle records; `lagging` names the partitions that have more to read already."""
        decoded = await asyncio.to_thread(decode, self._watch, records, self._erased)
        for model, found in decoded.predictions.items():
            for version in sorted(found.rows["version"].unique()):
                await self._references.load(model, version)
        self._clocks |= decoded.clocks
        self._stream_us = max([self._stream_us, *decoded.clocks.values()])
        frontier = min([self._stream_us, *(self._clocks.get(tp, 0) for tp in self._late(lagging))])
        at = Moment(self._stream_us, self._clock.now_us())
        async with self._store.step() as step:
            await step.hold(self._fence, self._stream_us)
            await self._announcer.dismiss(step, self._unwatched(), at)
            for model_definition in self._watch.models.values():
                await joining.join(step, model_definition, decoded)
                await self._drifts.count(step, model_definition, decoded, self._references)
            profiles = {name: self._references.profiles(name) for name in self._watch.models}
            await self._fields.step(step, decoded, self._announcer, frontier, at, profiles)
            for model_definition in self._watch.models.values():
                await self._judge(step, model_definition, frontier, at)
            await step.consumed(decoded.offsets)
        _count(decoded)
        return decoded

    def _unwatched(self) -> list[Alert]:
        """Give open alerts about what this generation of the project does not watch."""
        models = self._watch.models
        return [
            alert
            for alert in self._announcer.open()
            if alert.subject.model not in models
            or (
                alert.subject.kind is Kind.DATA
                and alert.subject.name not in models[alert.subject.model].fields
            )
        ]

    def _late(self, lagging: Iterable[TopicPartition]) -> list[TopicPartition]:
        """Give the partitions of streams that hold the frontier back (answers have no clock)."""
        raw = {stream.topic.name for stream in self._watch.streams.values()}
        return [tp for tp in lagging if tp.topic in raw]

    async def _judge(
        self, step: Step, model: ModelDefinition, frontier_us: int, at: Moment
    ) -> None:
        arguments = (step, model, self._references, self._announcer, frontier_us, at)
        await self._drifts.judge(*arguments)
        await self._cohorts.judge(*arguments)
        horizon = joining.horizon_us(model, frontier_us)
        if horizon - self._forgotten.get(model.name, 0) >= model.window_us // FORGET_PARTS:
            self._forgotten[model.name] = horizon
            await step.forget(model.name, horizon, horizon - 2 * model.window_us)


def _count(decoded: Decoded) -> None:
    consumed: dict[str, int] = {}
    for tp in decoded.offsets:
        consumed[tp.topic] = consumed.get(tp.topic, 0) + 1
    for topic, count in consumed.items():
        metrics.counter(
            "messaging_client_consumed_messages_total", topic=topic, group="monitoring"
        ).inc(count)
    if decoded.refused:
        logger.warning("records.refused", extra={"records": decoded.refused})
