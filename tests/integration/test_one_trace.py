"""One trace leads from a publish call to the prediction, and from a run's cause to its version."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from tests.integration.conftest import FirstVersion
from tests.integration.driver import MODEL, Platform, eventually
from tidemill.monitoring.v1 import monitoring_service_pb2 as pb
from tidemill_common import telemetry
from tidemill_common.kafka import Broker, producing

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


@dataclass(frozen=True, slots=True)
class Span:
    """One span as Zipkin shows it; Zipkin writes names in small letters."""

    id: str
    parent: str
    name: str
    service: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one trace."""

    spans: list[Span]

    def the(self, name: str, service: str = "") -> Span:
        """Return the first span of that name."""
        found = [s for s in self.spans if s.name == name and service in ("", s.service)]
        assert found, f"no span {name!r} among {sorted((s.service, s.name) for s in self.spans)}"
        return found[0]

    def above(self, span: Span) -> list[str]:
        """Return the names of the spans that a span is inside of, nearest first."""
        by_id = {one.id: one for one in self.spans if one.service == span.service}
        by_id |= {one.id: one for one in self.spans if one.id not in by_id}
        names: list[str] = []
        while span.parent in by_id and len(names) < len(self.spans):
            span = by_id[span.parent]
            names.append(span.name)
        return names


def trace(platform: Platform, trace_id: str, *wanted: str) -> Trace:
    """Wait until Zipkin has a trace with the `wanted` spans; return it."""
    zipkin = platform.stack.address("zipkin").rstrip("/")
    seen: set[str] = set()

    def known() -> Trace | None:
        url = f"{zipkin}/api/v2/trace/{trace_id}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310 - our own loopback
                found = Trace([_span(one) for one in json.load(reply)])
        except OSError:  # not found yet
            return None
        seen.update(span.name for span in found.spans)
        return found if set(wanted) <= seen else None

    return eventually(known, f"{sorted(wanted)}", 30.0)


def _span(raw: dict[str, object]) -> Span:
    endpoint, tags = raw.get("localEndpoint"), raw.get("tags")
    return Span(
        id=str(raw["id"]),
        parent=str(raw.get("parentId", "")),
        name=str(raw.get("name", "")),
        service=str(endpoint.get("serviceName", "")) if isinstance(endpoint, dict) else "",
        tags={str(k): str(v) for k, v in tags.items()} if isinstance(tags, dict) else {},
    )


def traced(platform: Platform, name: str, do: Callable[[], object]) -> str:
    """Do something inside a span of an app of a user's; return the id of its trace."""
    zipkin = platform.stack.address("zipkin")
    with (
        telemetry.exporting("shop-app", zipkin, ratio=1.0),
        telemetry.span(name) as span,
    ):
        do()
        return f"{span.get_span_context().trace_id:032x}"


PUBLISH = "tidemill.ingestion.v1.ingestionservice/publish"
PREDICT = "tidemill.serving.v1.servingservice/predict"
SEND, PROCESS = "send events.visit", "process events.visit"
COALESCE = f"coalesce {MODEL}"


def test_one_trace_leads_from_the_publish_call_to_the_prediction(
    first_version: FirstVersion,
) -> None:
    platform = first_version.platform
    [visit], _ = first_version.visitors.come(1)

    def visiting() -> None:
        token = platform.publish([visit])
        platform.predict([visit], token=token)

    trace_id = traced(platform, "a visit", visiting)
    found = trace(platform, trace_id, "a visit", PUBLISH, SEND, PROCESS, PREDICT, COALESCE)
    assert found.above(found.the(PROCESS, "features")) == [SEND, PUBLISH, "a visit"]
    assert found.above(found.the(COALESCE, "serving")) == [PREDICT, "a visit"]


def test_calls_that_share_a_record_are_linked(first_version: FirstVersion) -> None:
    platform = first_version.platform
    visits, _ = first_version.visitors.come(2)
    ids = [traced(platform, "a visit", partial(platform.publish, [visit])) for visit in visits]
    for trace_id in ids:
        found = trace(platform, trace_id, PUBLISH)
        assert found.the(PUBLISH, "ingestion")
        assert eventually(partial(reached, platform, trace_id), "a features span", 30.0)


def reached(platform: Platform, trace_id: str) -> bool:
    """Tell whether a features span is in the trace, or names it among its links."""
    names = [span.name for span in trace(platform, trace_id, PUBLISH).spans]
    return PROCESS in names or linked(platform, "features", trace_id) == PROCESS


def test_the_trace_of_a_version_is_that_of_its_run(first_version: FirstVersion) -> None:
    platform = first_version.platform
    version = platform.client.version(MODEL, first_version.number)
    run = platform.client.run(version.lineage.run_id)
    trace_id = version.traceparent.split("-")[1]
    assert run.traceparent.split("-")[1] == trace_id
    train, gates = f"train {MODEL}", f"gates {MODEL}"
    register = "tidemill.registry.v1.registryservice/registerversion"
    evaluate = "tidemill.serving.v1.servingservice/evaluate"
    found = trace(platform, trace_id, f"open run {MODEL}", train, register, gates, evaluate)
    assert f"open run {MODEL}" in found.above(found.the(train))
    assert train in found.above(found.the(register, "registry"))
    assert gates in found.above(found.the(evaluate, "serving"))
    assert found.the(train).tags["tidemill.run.id"] == run.run_id


def test_what_is_decided_about_an_alert_is_linked_to_its_trace(first_version: FirstVersion) -> None:
    platform = first_version.platform
    ids: list[str] = []
    for state in (pb.ALERT_STATE_FIRING, pb.ALERT_STATE_OK):
        change = pb.AlertChanged(alert=an_alert(first_version, state))
        announced = partial(announce, platform, change)
        ids.append(traced(platform, "alert prediction_drift", announced))
    decided = partial(linked, platform, "training", ids[0])
    assert eventually(decided, "the span of a decision", 30.0) == "process alerts"


def an_alert(first_version: FirstVersion, state: pb.AlertState) -> pb.Alert:
    """A drift of the predictions, on which the shop's policy neither fires nor holds."""
    alert = pb.Alert(
        alert_id=f"trace-{first_version.number}",
        kind=pb.ALERT_KIND_PREDICTION_DRIFT,
        model=MODEL,
        version=first_version.number,
        subject="score",
        state=state,
        severity=3,
    )
    later = timedelta(seconds=int(state == pb.ALERT_STATE_OK))
    alert.opened_stream_time.FromDatetime(first_version.visitors.at)
    alert.changed_stream_time.FromDatetime(first_version.visitors.at + later)
    return alert


def announce(platform: Platform, change: pb.AlertChanged) -> None:
    """Publish a change of an alert as monitoring does: with the trace that it belongs to."""

    async def send(headers: list[tuple[str, bytes]]) -> None:
        broker = Broker(platform.stack.address("kafka"), "test")
        async with producing(broker) as producer:
            value = change.SerializeToString()
            key = change.alert.alert_id.encode()
            await producer.send("alerts", value, key=key, headers=headers)

    asyncio.run(send(telemetry.to_headers()))


def linked(platform: Platform, service: str, trace_id: str) -> str:
    """Return the name of a service's span that links to a trace, empty if there is none."""
    zipkin = platform.stack.address("zipkin").rstrip("/")
    query = f"serviceName={service}&limit=500&lookback=600000"
    with urllib.request.urlopen(f"{zipkin}/api/v2/traces?{query}", timeout=10) as reply:  # noqa: S310
        spans = [_span(one) for spans in json.load(reply) for one in spans]
    found = [one.name for one in spans if trace_id in one.tags.get("tidemill.links", "")]
    return next(iter(found), "")
