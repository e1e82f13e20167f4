"""Findings become alerts: the state machine, the rows, the events and the metrics of each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from tidemill_common import metrics, telemetry
from tidemill_common.ids import new_id
from tidemill_common.topics import ALERTS
from tidemill_monitoring import alerts, convert
from tidemill_monitoring.alerts import Alert, Change, Finding, Kind, Moment, State, Subject

if TYPE_CHECKING:
    from opentelemetry.trace import Link

    from tidemill_monitoring.store import Step

REPORT_SEVERITY = 2
NUMBER = {State.OK: 0, State.SUSPECT: 1, State.FIRING: 2, State.RECOVERING: 3}
logger = logging.getLogger(__name__)


class Announcer:
    """The open alerts, kept as the database has them."""

    def __init__(self, opened: Iterable[Alert]) -> None:
        """Go on with what is open."""
        self._open = {alert.subject: alert for alert in opened}

    def open(self) -> list[Alert]:
        """Give the alerts that are not over."""
        return list(self._open.values())

    def is_open(self, subject: Subject) -> bool:
        """Say whether a subject has an open alert."""
        return subject in self._open

    def firing(self, subject: Subject) -> Alert | None:
        """Give the alert of a subject if it fires."""
        alert = self._open.get(subject)
        return alert if alert and alert.machine.state is State.FIRING else None

    def data_is_bad(self, model: str) -> bool:
        """Say whether a raw field of the model's streams is wrong: that explains much drift."""
        return any(
            subject.kind is Kind.DATA
            and subject.model == model
            and alert.machine.state is State.FIRING
            for subject, alert in self._open.items()
        )

    async def tell(
        self, step: Step, findings: Sequence[Finding], at: Moment, links: Sequence[Link] = ()
    ) -> None:
        """Fold findings into alerts; write and announce what changed."""
        for finding in findings:
            change = alerts.apply(self._open.get(finding.subject), finding, at, new_id())
            if change.alert is not None:
                await self._save(step, change.alert, change, links)

    async def dismiss(self, step: Step, gone: Iterable[Alert], at: Moment) -> None:
        """End alerts that nothing will judge any more."""
        for alert in gone:
            change = alerts.dismiss(alert, at)
            if change.alert is not None:
                await self._save(step, change.alert, change, ())

    async def _save(self, step: Step, alert: Alert, change: Change, links: Sequence[Link]) -> None:
        """Write one alert; a change of state is announced inside a span that begins its trace."""
        fires = change.announced and alert.machine.state is State.FIRING
        wanted = "wanted" if fires and alert.severity <= REPORT_SEVERITY else ""
        if not change.announced:
            alert = await step.save_alert(alert, wanted)
        else:
            attributes = {"tidemill.alert.subject": alert.subject.name}
            parent = telemetry.from_headers([("traceparent", _context_of(alert).encode())])
            with telemetry.span(
                f"alert {alert.subject.kind.value}",
                attributes=attributes,
                parent=parent,
                links=links,
            ):
                if not alert.traceparent:
                    alert = replace(alert, traceparent=telemetry.traceparent())
                alert = await step.save_alert(alert, wanted)
                event = convert.to_changed(alert, change.previous)
                await step.announce(ALERTS.name, alert.alert_id, event.SerializeToString())
            self._note(alert, change)
        if alert.machine.open:
            self._open[alert.subject] = alert
        else:
            self._open.pop(alert.subject, None)

    def _note(self, alert: Alert, change: Change) -> None:
        subject = alert.subject
        logger.info(
            "alert.changed",
            extra={
                "alert_id": alert.alert_id,
                "kind": subject.kind.value,
                "model": subject.model,
                "version": subject.version,
                "subject": subject.name,
                "from": change.previous.value,
                "to": alert.machine.state.value,
                "summary": alert.summary,
            },
        )
        state = alert.machine.state
        metrics.counter("tidemill_alerts_total", model=subject.model, state=state.value).inc()
        gauge = metrics.gauge(
            "tidemill_drift_alert_state", model=subject.model, feature=subject.name
        )
        gauge.set(NUMBER[state])


def _context_of(alert: Alert) -> str:
    """Give the context in which an alert's changes are traced: all of them, whatever the ratio."""
    return alert.traceparent or f"00-{uuid4().hex}-{uuid4().hex[:16]}-01"
