"""Ingestion's edges on the real parts: what is taken, what is refused and how, what is never lost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator

import grpc
import psutil
import pyarrow as pa
import pytest

from tests.integration.driver import Platform, addresses, eventually
from tests.integration.edge import (
    BATCHED,
    PROJECT,
    STREAM,
    STRUCTURED,
    TOPIC,
    Edge,
    Publisher,
    a_cloud_event,
    a_reading,
    accepted,
    outcomes,
)
from tidemill import Event
from tidemill.client import connect
from tidemill.errors import Forbidden, NotFound, TidemillError, Transient
from tidemill.events import to_proto
from tidemill.ingestion.v1 import ingestion_service_pb2 as pb
from tidemill.ingestion.v1.ingestion_service_pb2_grpc import IngestionServiceStub
from tidemill.project import loads, normalise
from tidemill.transport import Method, call
from tidemill_common.kafka import Broker, producing
from tidemill_local.library import LocalStack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

SERVICES = ("registry", "ingestion", "features-worker")
UNKNOWN_AFTER_S = 4
"""Without an answer of the broker; as long as two tests wait for it to be over."""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """The parts that events pass on their way in, with a project applied."""
    stack = LocalStack(
        tmp_path_factory.mktemp("edges"), services=SERVICES, parts=("postgres", "kafka")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMILL_INGESTION_APPEND_TIMEOUT_S", str(UNKNOWN_AFTER_S))
        yield from an_edge(stack)


def an_edge(stack: LocalStack) -> Iterator[Edge]:
    with stack, connect(addresses(stack), author="test") as client:
        eventually(lambda: client.apply(normalise(loads(PROJECT).project)), "apply")
        eventually(
            lambda: accepted(client.publish([a_reading("first")]), ["first"]) == ["first"],
            "a stream",
        )
        yield Edge(stack, client)


def test_a_batch_gets_a_reply_per_event_and_bad_ones_hold_nobody_up(edge: Edge) -> None:
    batch = [
        a_reading("b1"),
        a_reading("b2", level="high"),
        a_reading("b3", level=2_000.0),
        a_reading("b4", bogus=1),
        Event(STREAM, {"level": 1.0}, id="b5", source="t"),
        Event("nothing", {}, id="b6", source="t"),
        a_reading("", level=1.0),
        a_reading("b8"),
    ]
    reply = edge.client.publish(batch)
    assert outcomes(reply.results) == ["accepted", *["rejected"] * 6, "accepted"]
    fields = [result.field for result in reply.results]
    assert fields == ["", "level", "level", "bogus", "sensor", "type", "id", ""]
    assert all(result.reason for result in reply.results[1:7])
    found = edge.ids()
    assert {one for one in found if one.startswith("b")} == {"b1", "b8"}
    first, last = reply.results[0], reply.results[7]
    ends = {p.partition: p.next_offset for p in reply.token.positions}
    assert ends == {first.partition: max(first.offset, last.offset) + 1}


def test_a_stream_of_batches_is_answered_in_order(edge: Edge) -> None:
    batches = [[a_reading(f"s{b}-{i}") for i in range(20)] for b in range(10)]
    batches[4].append(a_reading("s-bad", level=-1.0))

    async def ask(opened: grpc.aio.Channel) -> list[pb.PublishStreamResponse]:
        async def requests() -> AsyncIterator[pb.PublishStreamRequest]:
            for batch in batches:
                yield pb.PublishStreamRequest(events=map(to_proto, batch))

        stub = IngestionServiceStub(opened)
        return [reply async for reply in stub.PublishStream(requests(), timeout=30)]

    replies = edge.rpc(ask)
    assert [len(reply.results) for reply in replies] == [len(batch) for batch in batches]
    assert outcomes(replies[4].results)[-1] == "rejected"
    positions = [reply.results[0].offset for reply in replies]
    assert positions == sorted(positions)
    found = edge.ids()
    assert all(found[event.id] == 1 for batch in batches for event in batch if event.id != "s-bad")


def test_columns_are_taken_and_bad_rows_are_named(edge: Edge) -> None:
    batch = pa.RecordBatch.from_pydict(
        {"_id": ["c1", "c2", "c3"], "sensor": ["s1", "s1", None], "level": [1.0, -5.0, 1.0]}
    )
    reply = edge.client.publish_arrow(STREAM, batch, source="t")
    assert reply.accepted == 1
    assert {row.row: row.result.field for row in reply.refused} == {1: "level", 2: "sensor"}
    found = edge.ids()
    assert (found["c1"], found["c2"], found["c3"]) == (1, 0, 0)


def test_columns_that_are_no_columns_are_refused_and_ingestion_lives(edge: Edge) -> None:
    pid = edge.stack.pid("ingestion")
    good = pa.RecordBatch.from_pydict({"_id": ["x"], "bogus": [1]})
    with pytest.raises(TidemillError, match="bogus: no such field"):
        edge.client.publish_arrow(STREAM, good, source="t")
    for data in (b"", b"\x00" * 100, b"\xff\xff\xff\xff\x10\x00\x00\x00garbage" * 9):

        async def ask(opened: grpc.aio.Channel, data: bytes = data) -> object:
            request = pb.PublishArrowRequest(stream=STREAM, source="t", data=data)
            stub = IngestionServiceStub(opened)
            return await call(stub.PublishArrow, request, 10.0, "ingestion")

        with pytest.raises(TidemillError, match=r"Arrow|event record"):
            edge.rpc(ask)
    assert edge.stack.pid("ingestion") == pid


def test_a_structured_cloud_event_is_taken(edge: Edge) -> None:
    status, reply = edge.post(json.dumps(a_cloud_event("h1")).encode(), STRUCTURED)
    assert (status, reply["results"][0]["outcome"]) == (202, "accepted")
    assert edge.ids()["h1"] == 1


def test_a_batch_of_cloud_events_is_answered_per_event(edge: Edge) -> None:
    body = [
        a_cloud_event("h2"),
        a_cloud_event("h3", data={"sensor": 7}),
        {"id": "h3"},
        a_cloud_event("h3", specversion="0.3"),
        a_cloud_event("h4"),
    ]
    status, reply = edge.post(json.dumps(body).encode(), f"{BATCHED}; charset=utf-8")
    assert status == 400
    outcomes = [one["outcome"] for one in reply["results"]]
    assert outcomes == ["accepted", "rejected", "rejected", "rejected", "accepted"]
    assert reply["results"][1]["field"] == "sensor"
    assert "source" in reply["results"][2]["reason"]
    assert reply["results"][3]["field"] == "specversion"
    found = edge.ids()
    assert (found["h2"], found["h3"], found["h4"]) == (1, 0, 1)


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("body", "kind", "status", "told"),
    [
        (b"{}", "application/json", 415, "content-type 'application/json'"),
        (b"{}", "", 415, "content-type"),
        (b"{", STRUCTURED, 400, "not CloudEvents JSON"),
        (b"\xff", STRUCTURED, 400, "not CloudEvents JSON"),
        (b"[]", STRUCTURED, 400, "not CloudEvents JSON"),
        (b'{"id": "x"}', STRUCTURED, 400, "source"),
        (DEEP, BATCHED, 400, "not CloudEvents JSON"),
        (b'{"data":' + b'{"a":' * 50_000, STRUCTURED, 400, "not CloudEvents JSON"),
        (b" " * (4 * 1024 * 1024 + 1), STRUCTURED, 413, "4194304 bytes"),
        (
            json.dumps(a_cloud_event("x", specversion="0.3")).encode(),
            STRUCTURED,
            400,
            "only 1.0 is known",
        ),
    ],
    ids=["json", "no type", "cut", "bytes", "list", "no source", "deep", "deeper", "huge", "0.3"],
)
def test_a_wrong_request_is_refused_with_the_reason(
    edge: Edge, body: bytes, kind: str, status: int, told: str
) -> None:
    pid = edge.stack.pid("ingestion")
    found, reply = edge.post(body, kind)
    assert (found, reply["status"]) == (status, status)
    assert told in reply["detail"]
    assert "Traceback" not in reply["detail"]
    assert edge.stack.pid("ingestion") == pid


def test_only_one_way_in_is_open_over_http(edge: Edge) -> None:
    assert edge.post(b"", STRUCTURED, path="/")[0] == 404
    assert edge.post(b"", STRUCTURED, path="/events/../admin")[0] == 404
    assert edge.post(b"", STRUCTURED, method="GET")[0] == 405


def test_data_of_any_depth_is_one_rejected_event(edge: Edge) -> None:
    deep = pb.Event(id="d1", source="t", stream=STREAM, data=b'{"level":' + b"[" * 100_000)
    flat = to_proto(a_reading("d2"))
    large = pb.Event(id="d3", source="t", stream=STREAM, data=b'{"sensor":"' + b"x" * 300_000)

    async def ask(opened: grpc.aio.Channel) -> pb.PublishResponse:
        request = pb.PublishRequest(events=[deep, flat, large])
        return await call(IngestionServiceStub(opened).Publish, request, 10.0, "ingestion")

    reply = edge.rpc(ask)
    assert outcomes(reply.results) == ["rejected", "accepted", "rejected"]
    assert "262144" in reply.results[2].reason


def test_a_message_over_the_limit_and_too_many_events_are_refused(edge: Edge) -> None:
    pid = edge.stack.pid("ingestion")
    with pytest.raises(TidemillError, match=r"(?i)larger than max"):
        edge.client.publish([a_reading(f"m{i}", sensor="x" * 60_000) for i in range(100)])
    with pytest.raises(TidemillError, match="at most 10000"):
        edge.client.publish([Event(STREAM, id=str(i)) for i in range(10_001)])
    assert edge.stack.pid("ingestion") == pid
    assert not [one for one in edge.ids() if one.startswith("m")]


@pytest.mark.parametrize(
    "method",
    ["tidemill.ingestion.v1.IngestionService/Drop", "tidemill.registry.v1.RegistryService/Apply"],
)
def test_a_method_that_is_not_known_is_refused(edge: Edge, method: str) -> None:
    async def ask(opened: grpc.aio.Channel) -> bytes:
        unknown: Method[bytes] = opened.unary_unary(f"/{method}")
        return await call(unknown, b"", 5.0, "ingestion")

    with pytest.raises(Forbidden, match="is not served here"):
        edge.rpc(ask)


def test_a_broker_that_is_away_costs_nothing_that_was_accepted(edge: Edge) -> None:
    publisher = Publisher(edge.client, "k")
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        eventually(lambda: len(publisher.accepted) > 100, "accepted events")
        edge.stack.kill_and_hold("kafka")
        eventually(lambda: publisher.seen["unavailable"] >= 50, "refusals")
        before = len(publisher.accepted)
        edge.stack.start_process("kafka")
        edge.stack.wait_ready("kafka", 90.0)
        eventually(lambda: len(publisher.accepted) > before + 100, "accepted events again")
    finally:
        publisher.stop()
        thread.join()
    assert set(publisher.seen) <= {"accepted", "unknown", "unavailable"}
    assert all(isinstance(error, Transient) for error in publisher.errors), publisher.errors
    found = edge.ids()
    assert sorted(publisher.accepted - set(found)) == []
    assert max(found[one] for one in publisher.accepted) == 1


def test_a_frozen_broker_gives_an_answer_within_the_time_and_loses_nothing(edge: Edge) -> None:
    publisher = Publisher(edge.client, "f")
    thread = threading.Thread(target=publisher.run)
    thread.start()
    try:
        eventually(lambda: len(publisher.accepted) > 50, "accepted events")
        edge.stack.pause("kafka")
        eventually(lambda: publisher.seen["unavailable"] + publisher.seen["unknown"] > 0, "a no")
        edge.stack.resume("kafka")
        before = len(publisher.accepted)
        eventually(lambda: len(publisher.accepted) > before + 50, "accepted events again")
    finally:
        edge.stack.resume("kafka")
        publisher.stop()
        thread.join()
    assert sorted(publisher.accepted - set(edge.ids())) == []


POISON = b"\x00no record at all\xff"


def put_raw(edge: Edge, value: bytes) -> None:
    """Append bytes to the raw topic past every check."""

    async def put() -> None:
        async with producing(Broker(edge.stack.address("kafka"), "test")) as producer:
            await producer.send(TOPIC, value, partition=0)

    asyncio.run(put())


def test_a_dead_letter_keeps_its_bytes_and_is_replayed_exactly_once(edge: Edge) -> None:
    put_raw(edge, POISON)
    letter = eventually(lambda: newest(edge, 1), "a dead letter")[-1]
    assert letter.value == POISON
    assert letter.headers["service"]
    assert not letter.replayed
    at = [letter.offset]
    assert edge.client.replay_dead_letters(STREAM, at, dry_run=True).replayed == 1
    assert copies(edge) == 1
    assert edge.client.replay_dead_letters(STREAM, at).replayed == 1
    again = edge.client.replay_dead_letters(STREAM, at)
    assert (again.replayed, again.already_replayed) == (0, 1)
    assert copies(edge) == 2
    listed = eventually(lambda: newest(edge, 2), "the replayed one, dead again")
    assert [one.replayed for one in listed if one.offset == letter.offset] == [True]
    assert edge.client.dead_letters(STREAM, offset=letter.offset, limit=1).dead_letters[0].replayed


def newest(edge: Edge, at_least: int) -> list[pb.DeadLetter]:
    found = [one for one in edge.client.dead_letters(STREAM).dead_letters if one.value == POISON]
    return found if len(found) >= at_least else []


def copies(edge: Edge) -> int:
    return sum(record.value == POISON for record in edge.raw())


def test_dead_letters_of_what_does_not_exist_are_not_found(edge: Edge) -> None:
    with pytest.raises(NotFound, match="nothing"):
        edge.client.dead_letters("nothing")
    with pytest.raises(NotFound, match="99999"):
        edge.client.replay_dead_letters(STREAM, [99_999])


def test_every_process_of_the_platform_listens_on_loopback_only(platform: Platform) -> None:
    heard: dict[str, set[str]] = {}
    for view in platform.stack.view.processes:
        process = psutil.Process(platform.stack.pid(view.name))
        for one in (process, *process.children(recursive=True)):
            listening = [
                connection.laddr
                for connection in one.net_connections(kind="inet")
                if connection.status == psutil.CONN_LISTEN
            ]
            heard.setdefault(view.name, set()).update(address.ip for address in listening)
    assert {"ingestion", "registry", "serving", "triton", "kafka", "postgres"} <= set(heard)
    loopback = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert {name: ips - loopback for name, ips in heard.items() if ips - loopback} == {}
    assert all(heard[name] for name in ("ingestion", "registry", "serving", "kafka", "zipkin"))
