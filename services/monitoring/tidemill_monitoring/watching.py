"""The watch over raw fields, with its state in the database and its sightings as findings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from tidemill_common.kafka import Record
from tidemill_common.telemetry import link_to
from tidemill_monitoring import fieldwatch, findings, rows
from tidemill_monitoring.fieldwatch import FieldState

if TYPE_CHECKING:
    from opentelemetry.trace import Link

    from tidemill_common.reference import NumericBins
    from tidemill_monitoring.alerts import Moment
    from tidemill_monitoring.announcing import Announcer
    from tidemill_monitoring.decoding import Decoded, Events
    from tidemill_monitoring.definitions import StreamDefinition, Watch
    from tidemill_monitoring.store import Step, Store


class FieldWatches:
    """One watch per stream."""

    def __init__(self, watch: Watch, states: dict[str, FieldState]) -> None:
        """Go on from `states`, by stream."""
        self._watch = watch
        self._states = states

    @staticmethod
    async def load(watch: Watch, store: Store) -> FieldWatches:
        """Read the state of every stream that has fields to judge."""
        states = {}
        for stream in watch.streams.values():
            if stream.watched.numeric:
                found = await store.fields(stream.watched)
                states[stream.name] = found or fieldwatch.empty(stream.watched)
        return FieldWatches(watch, states)

    async def step(
        self,
        step: Step,
        decoded: Decoded,
        announcer: Announcer,
        at: Moment,
        profiles: Mapping[str, Mapping[str, NumericBins]],
    ) -> None:
        """Add the rows of a step, look at the fields of streams that are due, tell what is seen."""
        for name, found in decoded.events.items():
            if name in self._states:
                await self._stream(step, self._watch.streams[name], found, announcer, at, profiles)

    async def _stream(
        self,
        step: Step,
        stream: StreamDefinition,
        found: list[Events],
        announcer: Announcer,
        at: Moment,
        profiles: Mapping[str, Mapping[str, NumericBins]],
    ) -> None:
        before = self._states[stream.name]
        state = fieldwatch.append(before, _rows(stream, found))
        await step.add_field_rows(stream.name, state.rows[before.rows.height :])
        if fieldwatch.is_due(state, at.stream_us):
            known = _profiles_of(stream.name, profiles)
            state, sightings = await asyncio.to_thread(
                fieldwatch.judge, stream.watched, state, at.stream_us, known
            )
            links = _links([each.record for each in found]) if sightings else []
            for sighting in sightings:
                state = await self._tell(step, stream, state, sighting, announcer, at, links)
            await step.save_field_state(stream.name, state)
        self._states[stream.name] = state

    async def _tell(
        self,
        step: Step,
        stream: StreamDefinition,
        state: FieldState,
        sighting: fieldwatch.Sighting,
        announcer: Announcer,
        at: Moment,
        links: list[Link],
    ) -> FieldState:
        """Tell every model that uses the field; when none has an open alert the span is over."""
        name = f"{stream.name}.{sighting.field}"
        told = [
            findings.data_finding(model.name, stream.name, sighting)
            for model in self._watch.models.values()
            if name in model.fields
        ]
        await announcer.tell(step, told, at, links)
        if any(announcer.is_open(finding.subject) for finding in told):
            return state
        return fieldwatch.close(state, sighting.field)


def _rows(stream: StreamDefinition, found: list[Events]) -> pl.DataFrame:
    return pl.concat(
        [
            rows.watched_rows(
                stream.watched,
                each.batch,
                each.record.partition,
                each.record.offset,
                each.record.timestamp_ms,
            )
            for each in found
        ]
    )


def _profiles_of(
    stream: str, profiles: Mapping[str, Mapping[str, NumericBins]]
) -> dict[str, NumericBins]:
    """Give the profiles of one stream's fields, of whichever champion has them."""
    prefix = f"{stream}."
    return {
        name.removeprefix(prefix): bins
        for profile in profiles.values()
        for name, bins in profile.items()
        if name.startswith(prefix)
    }


def _links(records: list[Record]) -> list[Link]:
    """Give links to the newest sampled sources."""
    links = [link_to(record.headers) for record in reversed(records[-8:])]
    return [link for link in links if link is not None][:1]
