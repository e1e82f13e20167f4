"""One trace leads from a publish call to the prediction, and from a run's cause to its version."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.integration.conftest import FirstVersion
from tests.integration.driver import MODEL, Platform, eventually
from tidemill_common import telemetry

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
    zipkin = platform.stack.address("zipkin").rstrip("/")
    names = [span.name for span in trace(platform, trace_id, PUBLISH).spans]
    if PROCESS in names:
        return True
    query = "serviceName=features&limit=200&lookback=600000"
    with urllib.request.urlopen(f"{zipkin}/api/v2/traces?{query}", timeout=10) as reply:  # noqa: S310
        spans = [_span(one) for spans in json.load(reply) for one in spans]
    return any(trace_id in span.tags.get("tidemill.links", "") for span in spans)


def test_the_trace_of_a_version_is_that_of_its_run(first_version: FirstVersion) -> None:
    platform = first_version.platform
    version = platform.client.version(MODEL, first_version.number)
    run = platform.client.run(version.lineage.run_id)
    trace_id = version.traceparent.split("-")[1]
    assert run.traceparent.split("-")[1] == trace_id
    train, gates = f"train {MODEL}", f"gates {MODEL}"
    register = "tidemill.registry.v1.registryservice/registerversion"
    found = trace(platform, trace_id, f"open run {MODEL}", train, register, gates)
    assert f"open run {MODEL}" in found.above(found.the(train, "training"))
    assert train in found.above(found.the(register, "registry"))
    assert found.the(train).tags["tidemill.run.id"] == run.run_id
    fired = [one for one in platform.client.decisions(MODEL) if one.run_id == run.run_id]
    assert fired
    assert "tidemill.links" in found.the("process labels.purchase", "training").tags
