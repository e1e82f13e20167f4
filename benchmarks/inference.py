"""Inference with hydration: tritonclient's protocol, 20 features of two views, real Triton.

32 clients in one process ask as fast as they are answered; then one client alone. Client, gateway,
model server, broker and feature worker share the machine. Requests are encoded beforehand, every
answer is checked for its status and its four bytes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc
import numpy as np
import psutil
import uvloop
from tritonclient.grpc import service_pb2

from benchmarks.harness import applied, quantiles, running, where, write
from tidemill import Event
from tidemill.client import Client
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.project import loads, model_inputs, normalise
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill_common.artifacts import Artifacts
from tidemill_common.preprocessing import Category
from tidemill_local.library import LocalStack
from tidemill_serving.testing import put_package

MODEL = "purchase"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
SERVICES = ("registry", "ingestion", "features-worker", "serving")
USERS, ITEMS, COUNTRIES = 2_000, 200, ("NL", "DE", "FR")
CLIENTS, CHANNELS = 32, 4
BATCH = 500
MEASURED = ("serving", "triton", "features-worker", "kafka")
WARM_S = 3.0
READY_S = 90.0
ENGINE = "TIDEMILL_SERVING_ENGINE"
Call = Callable[..., Awaitable[bytes]]
PROJECT = """
project: bench
streams:
  visit:
    key: [user]
    event_id_field: visit_id
    fields:
      visit_id: {type: string, required: true}
      user: {type: string, required: true}
      item: {type: string, required: true}
      amount: {type: float64, required: true, resolution: 0.01}
      country: {type: string, required: true}
      bought: {type: bool}
views:
  users:
    stream: visit
    entity: [user]
    aggregations:
      - {function: count, windows: [1h, 1d, 7d]}
      - {function: sum, field: amount, windows: [1h, 1d]}
      - {function: mean, field: amount, windows: [1h, 1d, 7d]}
      - {function: max, field: amount, windows: [1d, 7d]}
  items:
    stream: visit
    entity: [item]
    aggregations:
      - {function: count, windows: [1h, 1d, 7d]}
      - {function: mean, field: amount, windows: [1h, 1d, 7d]}
      - {function: std, field: amount, windows: [1d, 7d]}
      - {function: last, field: amount, windows: [1d, 7d]}
models:
  purchase:
    spine: {stream: visit, key: [visit_id]}
    inputs:
      - {view: users}
      - {view: items}
      - {field: amount}
      - {field: country, categorical: {max_vocabulary: 16}}
    label: {stream: visit, expression: CAST(bought AS DOUBLE), max_delay: 1d, task: binary}
    trainer: {name: tabular}
    gates: [{name: server, server: {max_difference: 0.00001, max_latency_p99_ms: 1000}}]
    monitors: {window: 1d, vector_sample: 0.01}
"""


@dataclass
class Load:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)


def publish(client: Client, events: int) -> None:
    """Give every entity some history."""
    random = np.random.default_rng(5)
    made = [
        Event(
            "visit",
            {
                "visit_id": f"v{n}",
                "user": f"u{n % USERS}",
                "item": f"i{n % ITEMS}",
                "amount": round(float(random.gamma(2.0, 20.0)), 2),
                "country": COUNTRIES[n % len(COUNTRIES)],
            },
        )
        for n in range(events)
    ]
    end = time.monotonic() + READY_S
    while client.publish(made[:1]).results[0].outcome != ingestion_pb.OUTCOME_ACCEPTED:
        if time.monotonic() > end:
            raise SystemExit(f"the stream was not taken up within {READY_S:.0f} s")
        time.sleep(0.2)
    for start in range(0, events, BATCH):
        client.publish(made[start : start + BATCH])


def register(stack: LocalStack) -> None:
    """Put a small model through its gates and wait until it is champion."""
    inputs = model_inputs(normalise(loads(PROJECT).project), MODEL)
    digest, files = put_package(
        Artifacts(stack.environment["TIDEMILL_ARTIFACTS"]),
        MODEL,
        [one.name for one in inputs.numeric],
        [Category("country", COUNTRIES)],
    )
    request = registry_pb.RegisterVersionRequest(model=MODEL, manifest_digest=digest, fence=1)
    request.lineage.run_id = "benchmark"
    for name, file in files.items():
        request.artifacts.add(name=name, sha256=file.sha256, size=file.size)
    with grpc.insecure_channel(where(stack).of("registry")) as channel:
        stub = RegistryServiceStub(channel)
        stub.RegisterVersion(request)
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            rollouts = stub.GetRollout(registry_pb.GetRolloutRequest(model=MODEL)).rollouts
            if rollouts and rollouts[0].champion:
                return
            time.sleep(0.2)
    raise SystemExit(f"no champion within {READY_S:.0f} s")


def requests(number: int) -> list[bytes]:
    """Encode requests as tritonclient does: one tensor a field, raw contents."""
    return [_request(n).SerializeToString() for n in range(number)]


def _request(n: int) -> service_pb2.ModelInferRequest:
    made = service_pb2.ModelInferRequest(model_name=MODEL, id=str(n))
    texts = {
        "visit_id": f"p{n}",
        "user": f"u{n * 7 % USERS}",
        "item": f"i{n * 3 % ITEMS}",
        "country": COUNTRIES[n % len(COUNTRIES)],
    }
    for name, text in texts.items():
        made.inputs.add(name=name, datatype="BYTES", shape=[1])
        made.raw_input_contents.append(len(text).to_bytes(4, "little") + text.encode())
    made.inputs.add(name="amount", datatype="FP64", shape=[1])
    made.raw_input_contents.append(np.float64(n % 90 + 0.5).tobytes())
    return made


async def ask(call: Call, body: bytes, load: Load) -> None:
    """Ask once; an answer without its four bytes counts as failed."""
    begun = time.perf_counter()
    try:
        reply = service_pb2.ModelInferResponse.FromString(await call(body, timeout=5.0))
    except grpc.aio.AioRpcError as error:
        name = error.code().name
        load.failures[name] = load.failures.get(name, 0) + 1
        return
    load.seconds.append(time.perf_counter() - begun)
    if len(reply.raw_output_contents[0]) != 4:
        load.failures["EMPTY"] = load.failures.get("EMPTY", 0) + 1


async def clients(address: str, bodies: list[bytes], number: int, seconds: float) -> Load:
    """Let `number` clients ask for so long, each waiting for its answer before it asks again."""
    load = Load()
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(min(number, CHANNELS))
    ]
    end = time.perf_counter() + seconds

    async def client(index: int) -> None:
        call: Call = channels[index % len(channels)].unary_unary(METHOD)
        turn = index
        while time.perf_counter() < end:
            await ask(call, bodies[turn % len(bodies)], load)
            turn += number

    await asyncio.gather(*(client(index) for index in range(number)))
    for channel in channels:
        await channel.close()
    return load


def cpu(stack: LocalStack) -> dict[str, float]:
    """Return the CPU seconds that each process (and what it started) has used."""
    processes = {name: psutil.Process(stack.pid(name)) for name in MEASURED}
    processes["client"] = psutil.Process()
    used = {}
    for name, process in processes.items():
        family = [process] if name == "client" else [process, *process.children(recursive=True)]
        used[name] = sum(sum(one.cpu_times()[:2]) for one in family)
    return used


def crowd(
    runner: asyncio.Runner, stack: LocalStack, bodies: list[bytes], number: int, seconds: float
) -> dict[str, object]:
    """Let clients ask; rate, latency, failures, and CPU microseconds per request."""
    before = cpu(stack)
    load = runner.run(clients(where(stack).of("serving"), bodies, number, seconds))
    after = cpu(stack)
    asked = max(len(load.seconds), 1)
    return {
        **figures(load, seconds),
        "cpu_us_per_request": {
            name: round((after[name] - before[name]) / asked * 1e6) for name in before
        },
    }


def figures(load: Load, seconds: float) -> dict[str, object]:
    """Return rate, latency and failures."""
    return {
        "requests_per_second": round(len(load.seconds) / seconds),
        "requests": len(load.seconds),
        "failures": load.failures,
        **quantiles(load.seconds),
    }


def measure(engine: str, seconds: float) -> dict[str, object]:
    """Run one engine on a stack of its own."""
    os.environ[ENGINE] = engine
    with running(SERVICES) as stack, applied(stack, PROJECT) as client:
        publish(client, 20_000)
        register(stack)
        address, bodies = where(stack).of("serving"), requests(4_000)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            _wait(runner, address, bodies)
            runner.run(clients(address, bodies, CLIENTS, WARM_S))
            return {
                "clients_32": crowd(runner, stack, bodies, CLIENTS, seconds),
                "alone": crowd(runner, stack, bodies, 1, seconds / 2),
            }


def _wait(runner: asyncio.Runner, address: str, bodies: list[bytes]) -> None:
    """Wait until an inference succeeds: version loaded, features complete."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        load = runner.run(clients(address, bodies, 1, 0.1))
        if load.seconds and not load.failures:
            return
        time.sleep(0.3)
    raise SystemExit(f"no answer within {READY_S:.0f} s: {load.failures}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--engines", default="aio,native")
    options = parser.parse_args()
    measured = {one: measure(one, options.seconds) for one in options.engines.split(",")}
    write(
        "inference",
        {
            "what": "ModelInfer with 20 features hydrated, 32 clients and alone, real Triton",
            "reach": ">= 1500 requests/s, p99 <= 60 ms; alone p50 <= 3 ms",
            "engines": measured,
        },
    )


if __name__ == "__main__":
    main()
