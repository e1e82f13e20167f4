"""Context travels in W3C form, spans reach a collector, and a dead collector harms nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill_common import telemetry

GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_context_goes_through_headers_and_metadata_unchanged() -> None:
    for context in (
        telemetry.from_headers([("x", b""), ("traceparent", GOOD.encode())]),
        telemetry.from_metadata([("traceparent", GOOD)]),
    ):
        assert context is not None
        with telemetry.exporting("test"), telemetry.span("child", parent=context):
            assert telemetry.traceparent().split("-")[1] == GOOD.split("-")[1]
            assert dict(telemetry.to_headers())["traceparent"].decode() == telemetry.traceparent()


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?"))
def test_no_text_breaks_the_reader(text: str) -> None:
    telemetry.from_metadata([("traceparent", text)])


@pytest.mark.parametrize(
    "text",
    ["", "00", GOOD.upper(), GOOD + "-x", GOOD.replace("0af7", "0000")[:30], "ff" + GOOD[2:],
     "00-" + "0" * 32 + GOOD[35:]],
)  # fmt: skip
def test_what_is_malformed_is_no_context(text: str) -> None:
    assert telemetry.from_headers([("traceparent", text.encode())]) is None


def test_only_a_sampled_source_is_linked_to() -> None:
    assert telemetry.link_to([("traceparent", GOOD.encode())]) is not None
    assert telemetry.link_to([("traceparent", (GOOD[:-1] + "0").encode())]) is None
    assert telemetry.link_to([]) is None


class Collector(BaseHTTPRequestHandler):
    """Keeps the spans that were posted."""

    spans: list[dict[str, object]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.spans.extend(json.loads(body))
        self.send_response(202)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_spans_reach_zipkin_with_links_searchable_and_failures_without_their_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[dict[str, object]] = []
    monkeypatch.setattr(Collector, "spans", kept, raising=False)
    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with telemetry.exporting("test", f"http://127.0.0.1:{server.server_port}", ratio=1.0):
        link = telemetry.link_to([("traceparent", GOOD.encode())])
        with pytest.raises(KeyError), telemetry.span("process x", links=[link]):
            raise KeyError("personal data")
    server.shutdown()
    server.server_close()
    thread.join()
    [found] = kept
    tags = found["tags"]
    assert isinstance(tags, dict)
    assert tags["tidemill.links"] == GOOD.split("-")[1]
    assert tags["error.type"] == "KeyError"
    assert "personal" not in json.dumps(found)


def test_a_collector_that_is_away_costs_two_seconds_at_the_end_and_nothing_before(
    free_port: int,
) -> None:
    began = time.monotonic()
    with telemetry.exporting("test", f"http://127.0.0.1:{free_port}", ratio=1.0):
        for _ in range(5000):
            with telemetry.span("x"):
                pass
        during = time.monotonic() - began
    assert during < 3
    assert time.monotonic() - began < during + 3


def test_a_collector_that_never_answers_costs_two_seconds_at_the_end() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with telemetry.exporting("test", f"http://127.0.0.1:{silent.getsockname()[1]}", ratio=1.0):
            for _ in range(100):
                with telemetry.span("x"):
                    pass
            assert time.monotonic() - began < 1
        assert time.monotonic() - began < 4
