"""What every server and every call promises, over a real socket on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tidemill import errors
from tidemill_common import rpc, telemetry
from tidemill_common.rpc.rules import Rule
from tidemill_common.rpc.server import table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "tidemill.test.v1.EchoService"
METHODS = rpc.rules(
    NAME,
    {
        "Echo": Rule("test.read", deadline=0.3, cap=1.0),
        "Hot": Rule("test.read", hot=True),
        "Count": Rule("test.read", deadline=None),
    },
)


class Echo:
    """Answers, or fails as it is told."""

    def __init__(self) -> None:
        self.failure: BaseException | None = None
        self.seconds = 0.0
        self.seen: list[str] = []
        self.left = 0.0

    async def echo(self, request: StringValue, _: Any) -> StringValue:
        self.seen.append(telemetry.traceparent())
        self.left = rpc.remaining()
        await asyncio.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        return StringValue(value=request.value)

    async def count(self, request: StringValue, _: Any) -> AsyncIterator[StringValue]:
        for number in range(int(request.value)):
            yield StringValue(value=str(number))
        if self.failure is not None:
            raise self.failure


def add(servicer: Any, server: Any) -> None:
    def unary(behaviour: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            behaviour, StringValue.FromString, StringValue.SerializeToString
        )

    server.add_registered_method_handlers(
        NAME,
        {
            "Echo": unary(servicer.echo),
            "Hot": unary(servicer.echo),
            "Count": grpc.unary_stream_rpc_method_handler(
                servicer.count, StringValue.FromString, StringValue.SerializeToString
            ),
        },
    )


class Running:
    """A server and a channel to it."""

    def __init__(
        self, echo: Echo, address: str, channel: grpc.aio.Channel, stop: asyncio.Event
    ) -> None:
        self.echo = echo
        self.address = address
        self.channel = channel
        self.stop = stop

    def method(self, name: str) -> Any:
        make = self.channel.unary_stream if name == "Count" else self.channel.unary_unary
        return make(
            f"/{NAME}/{name}",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )

    async def call(self, name: str = "Echo", value: str = "hi", **more: Any) -> str:
        reply = await rpc.call(self.method(name), StringValue(value=value), **more)
        return str(reply.value)


@contextlib.asynccontextmanager
async def running(
    health: rpc.Health | None = None, limits: rpc.Limits | None = None, *, reflection: bool = False
) -> AsyncIterator[Running]:
    echo, stop, port = Echo(), asyncio.Event(), asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(
            rpc.serve(
                [rpc.Service(add, echo)],
                METHODS,
                "127.0.0.1:0",
                stop,
                health=health,
                limits=limits,
                reflection=reflection,
                on_bound=port.set_result,
            )
        )
        address = f"127.0.0.1:{await port}"
        async with rpc.connected(address, retry=[NAME]) as channel:
            yield Running(echo, address, channel, stop)
            stop.set()


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    async with running() as made:
        yield made


async def test_a_reply_comes_back(server: Running) -> None:
    assert await server.call() == "hi"
    assert await server.call("Hot") == "hi"
    numbers = [
        item.value async for item in rpc.stream(server.method("Count"), StringValue(value="3"))
    ]
    assert numbers == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["Echo", "Hot"])
@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound("no model `x`", hint="see `tidemill models`", model="x"),
        errors.Invalid(violations=[errors.Violation("a.b", "must be positive")]),
        errors.TooLarge("5 MB: at most 4"),
        errors.Conflict("generation 3, not 2"),
        errors.Exhausted("the queue is full", retry_after=1.5),
        errors.Fenced("a newer owner"),
        errors.IllegalTransition("live -> candidate"),
        errors.Corrupt("blob"),
        errors.AlreadyExists("x"),
        errors.Forbidden("x"),
    ],
    ids=lambda error: error.reason if isinstance(error, errors.TidemillError) else error,
)
async def test_an_error_arrives_as_it_was_raised(
    server: Running, name: str, error: errors.TidemillError
) -> None:
    server.echo.failure = error
    with pytest.raises(type(error)) as caught:
        await server.call(name)
    found = caught.value
    assert type(found) is type(error)
    assert (found.message, found.hint, found.facts) == (error.message, error.hint, error.facts)
    for name_of in ("violations", "retry_after"):
        assert getattr(found, name_of, None) == getattr(error, name_of, None)


async def test_an_error_of_a_stream_arrives_after_its_items(server: Running) -> None:
    server.echo.failure = errors.Unavailable("the broker is away")
    replies = rpc.stream(server.method("Count"), StringValue(value="2"))
    assert [(await anext(replies)).value for _ in range(2)] == ["0", "1"]
    with pytest.raises(errors.Unavailable, match="the broker is away"):
        await anext(replies)


@pytest.mark.parametrize("name", ["Echo", "Hot"])
async def test_the_text_of_a_bug_never_leaves_and_the_process_lives(
    server: Running, name: str
) -> None:
    server.echo.failure = KeyError("secret of a customer")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.method(name)(StringValue())
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value.details())
    server.echo.failure = None
    assert await server.call(name) == "hi"


async def test_a_method_without_a_rule_is_refused(server: Running) -> None:
    method: Any = server.channel.unary_unary("/tidemill.test.v1.EchoService/Drop")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"")
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_server_with_a_method_that_has_no_rule_does_not_start() -> None:
    with pytest.raises(errors.Misconfigured, match="EchoService/Hot"):
        table([rpc.Service(add, Echo())], rpc.rules(NAME, {"Echo": Rule(), "Count": Rule()}))


def test_a_rule_for_a_method_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(errors.Misconfigured, match="EchoService/Gone"):
        table([rpc.Service(add, Echo())], {**METHODS, f"/{NAME}/Gone": Rule()})


async def test_a_call_without_a_deadline_gets_the_rules_and_one_with_a_long_one_is_capped(
    server: Running,
) -> None:
    await server.method("Echo")(StringValue())
    assert 0.2 < server.echo.left <= 0.3
    await server.method("Echo")(StringValue(), timeout=100)
    assert 0.9 < server.echo.left <= 1.0


async def test_a_call_that_takes_too_long_is_cut_off(server: Running) -> None:
    server.echo.seconds = 5
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.method("Echo")(StringValue())
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(errors.DeadlineExceeded):
        await server.call(timeout=0.05)


async def test_the_trace_of_the_caller_goes_on_in_the_server(server: Running) -> None:
    with telemetry.exporting("test", ratio=1.0), telemetry.span("caller"):
        mine = telemetry.traceparent()
        await server.call("Hot")
        await server.call("Echo")
    traces = {seen.split("-")[1] for seen in server.echo.seen}
    assert traces == {mine.split("-")[1]}


async def test_a_message_over_the_limit_is_refused_and_the_process_lives() -> None:
    async with running(limits=rpc.Limits(message_bytes=1000)) as server:
        with pytest.raises(errors.Exhausted):
            await server.call(value="x" * 2000)
        assert await server.call() == "hi"


async def test_a_client_may_ask_for_signs_of_life_in_a_long_call_and_not_too_often() -> None:
    pinging = [
        ("grpc.keepalive_time_ms", 100),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_retries", 0),
    ]

    async def outcome(ping_ms: int) -> grpc.StatusCode:
        async with running(limits=rpc.Limits(ping_ms=ping_ms)) as server:
            server.echo.seconds = 4.5
            async with grpc.aio.insecure_channel(server.address, options=pinging) as channel:
                method: Any = channel.unary_unary(f"/{NAME}/Hot")
                code: grpc.StatusCode = await method(b"", timeout=9.0).code()
                return code

    often, seldom = await asyncio.gather(outcome(500), outcome(60_000))
    assert (often, seldom) == (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)


async def test_health_follows_what_is_set_and_says_not_serving_while_stopping() -> None:
    health = rpc.Health(ready=False)
    async with running(health) as server:
        stub: Any = health_pb2_grpc.HealthStub(server.channel)

        async def status(service: str = "") -> int:
            await asyncio.sleep(0.01)
            reply = await stub.Check(health_pb2.HealthCheckRequest(service=service))
            return int(reply.status)

        assert await status() == health_pb2.HealthCheckResponse.NOT_SERVING
        health.set(True)
        assert await status() == health_pb2.HealthCheckResponse.SERVING
        assert await status(NAME) == health_pb2.HealthCheckResponse.SERVING
        health.set(False, NAME)
        health.set(True)
        assert await status(NAME) == health_pb2.HealthCheckResponse.NOT_SERVING
        health.close()
        health.set(True)
        assert await status() == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_running_call_is_finished_before_the_server_stops() -> None:
    async with running() as server:
        server.echo.seconds = 0.2
        call = asyncio.create_task(server.call())
        await asyncio.sleep(0.1)
        server.stop.set()
        assert await call == "hi"


async def test_an_address_that_is_taken_is_a_mistake_of_the_settings() -> None:
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        services = [rpc.Service(add, Echo())]
        tasks.create_task(
            rpc.serve(services, METHODS, "127.0.0.1:0", stop, on_bound=bound.set_result)
        )
        with pytest.raises(errors.Misconfigured, match="is it taken"):
            await rpc.serve(services, METHODS, f"127.0.0.1:{await bound}", stop)
        stop.set()


async def test_reflection_lists_the_services_where_it_is_on() -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async with running(reflection=True) as server:
        channel: Any = server.channel
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        [reply] = [each async for each in stub.ServerReflectionInfo(iter([request]))]
        names = {service.name for service in reply.list_services_response.service}
    assert NAME in names


async def test_nothing_behind_the_address_is_unavailable(free_port: int) -> None:
    async with rpc.connected(f"127.0.0.1:{free_port}") as channel:
        with pytest.raises(errors.Unavailable):
            await rpc.call(channel.unary_unary("/a.B/C"), b"")
