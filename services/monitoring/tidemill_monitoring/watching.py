"""The watch over raw fields, with its state in the database and its sightings as findings."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tidemill_common.kafka import Record
from tidemill_common.telemetry import link_to
from tidemill_monitoring import fieldstate, fieldwatch, findings, reportrows, rows
from tidemill_monitoring.fieldstate import FieldState, Sighting

if TYPE_CHECKING:
    from opentelemetry.trace import Link

    from tidemill_common.reference import NumericBins
    from tidemill_monitoring.alerts import Alert, Moment
    from tidemill_monitoring.announcing import Announcer
    from tidemill_monitoring.decoding import Decoded
    from tidemill_monitoring.definitions import StreamDefinition, Watch
    from tidemill_monitoring.store import Step, Store


class FieldWatches:
    """One watch per stream."""

    def __init__(self, watch: Watch, states: dict[str, FieldState]) -> None:
        """Go on from `states`, by stream."""
        self._watch = watch
        self._states = states
        self._kept: set[str] = set()
        self._links: dict[str, list[Link]] = {}

    @staticmethod
    async def load(watch: Watch, store: Store) -> FieldWatches:
        """Read the state of every stream that has fields to judge."""
        states = {}
        for stream in watch.streams.values():
            if stream.watched.numeric:
                found = await store.fields(stream.watched)
                states[stream.name] = found or fieldstate.empty(stream.watched)
        return FieldWatches(watch, states)

    async def step(
        self,
        step: Step,
        decoded: Decoded,
        announcer: Announcer,
        frontier_us: int,
        at: Moment,
        profiles: Mapping[str, Mapping[str, NumericBins]],
    ) -> None:
        """Add the rows of a step, look at fields that are due by the frontier, tell findings."""
        for name in self._states:
            stream = self._watch.streams[name]
            found = decoded.events.get(name)
            if found is not None:
                rows_of_step = rows.watched_rows(stream.watched, found)
                self._states[name], new = fieldstate.append(self._states[name], rows_of_step)
                await step.add_field_rows(name, new)
                self._links[name] = _links(found.records) or self._links.get(name, [])
            await self._look(step, stream, announcer, frontier_us, at, profiles)

    async def _look(
        self,
        step: Step,
        stream: StreamDefinition,
        announcer: Announcer,
        frontier_us: int,
        at: Moment,
        profiles: Mapping[str, Mapping[str, NumericBins]],
    ) -> None:
        """Look as often as is due: once when live, hour by hour when catching up."""
        state, looked = self._states[stream.name], False
        known = _profiles_of(stream.name, profiles)
        while (now_us := fieldwatch.next_look(state, frontier_us)) is not None:
            state, sightings = await asyncio.to_thread(
                fieldwatch.judge, stream.watched, state, now_us, known
            )
            moment = replace(at, stream_us=now_us)
            for sighting in sightings:
                state = await self._tell(step, stream, state, sighting, announcer, moment)
            looked = True
        if looked:
            await step.save_field_state(stream.name, state)
        self._states[stream.name] = state

    async def _tell(
        self,
        step: Step,
        stream: StreamDefinition,
        state: FieldState,
        sighting: Sighting,
        announcer: Announcer,
        at: Moment,
    ) -> FieldState:
        """Tell every model that uses the field; when none has an open alert the span is over."""
        name = f"{stream.name}.{sighting.field}"
        told = [
            findings.data_finding(model.name, stream.name, sighting)
            for model in self._watch.models.values()
            if name in model.fields
        ]
        await announcer.tell(step, told, at, self._links.get(stream.name, []))
        for finding in told:
            await self._keep(step, stream, state, announcer.firing(finding.subject))
        if any(announcer.is_open(finding.subject) for finding in told):
            return state
        return fieldstate.close(state, sighting.field)

    async def _keep(
        self, step: Step, stream: StreamDefinition, state: FieldState, alert: Alert | None
    ) -> None:
        """Keep what the report of a firing alert will compare, once."""
        if alert is None or alert.bad_from_us is None or alert.alert_id in self._kept:
            return
        self._kept.add(alert.alert_id)
        segment = alert.causes[0].segment if alert.causes else {}
        both = reportrows.field_rows(stream.watched, state.rows, alert.bad_from_us, segment)
        await step.add_report_rows(alert.alert_id, *both)


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


def _links(records: tuple[Record, ...]) -> list[Link]:
    """Give links to the newest sampled sources."""
    links = [link_to(record.headers) for record in reversed(records[-8:])]
    return [link for link in links if link is not None][:1]
