"""Inference by tritonclient as it is, against the gateway and a real Triton, on both engines."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.integration.driver import addresses, eventually
from tidemill import Event
from tidemill.client import Client, connect
from tidemill.errors import TidemillError
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.project import Loaded, loads, model_inputs, normalise
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill_common.artifacts import Artifacts
from tidemill_common.preprocessing import Category
from tidemill_local.library import LocalStack
from tidemill_serving.testing import put_package

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

MODEL = "purchase"
CLIENTS = 8
SWAPS = {"aio": 20, "native": 3}
PROJECT = """
project: swaps
streams:
  visit:
    key: [user]
    event_id_field: visit_id
    fields:
      visit_id: {type: string, required: true}
      user: {type: string, required: true}
      amount: {type: float64, required: true, resolution: 0.01}
      country: {type: string, required: true}
      bought: {type: bool}
views:
  users:
    stream: visit
    entity: [user]
    aggregations:
      - {function: count, windows: [1h]}
      - {function: sum, field: amount, windows: [1h]}
on_demand:
  share: {type: float64, expression: amount / users__sum_amount_1h}
models:
  purchase:
    spine: {stream: visit, key: [visit_id]}
    inputs:
      - {view: users}
      - {on_demand: share}
      - {field: amount}
      - {field: country, categorical: {max_vocabulary: 16}}
    label: {stream: visit, expression: CAST(bought AS DOUBLE), max_delay: 1d, task: binary}
    trainer: {name: tabular}
    gates: [{name: server, server: {max_difference: 0.00001, max_latency_p99_ms: 5000}}]
    rollout: {canary: 0}
    monitors: {window: 1d, vector_sample: 1.0}
"""
ROW = {"visit_id": "v", "user": "ann", "amount": 2.5, "country": "NL"}


@dataclass
class Gateway:
    """A stack whose serving runs on one engine, and the words to use it."""

    engine: str
    stack: LocalStack
    client: Client
    runs: int = 0
    plain: int = 0
    generation: str = ""
    constants: dict[int, float] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return addresses(self.stack).of("serving")

    def register(self, constant: float | None = None, *, brittle: bool = False) -> int:
        """Store and register a version; its number."""
        loaded: Loaded = loads(PROJECT)
        inputs = model_inputs(normalise(loaded.project), MODEL)
        digest, files = put_package(
            Artifacts(self.stack.environment["TIDEMILL_ARTIFACTS"]),
            MODEL,
            [one.name for one in inputs.numeric],
            [Category("country", ("NL", "DE"))],
            constant=constant,
            brittle=brittle,
        )
        self.runs += 1
        request = registry_pb.RegisterVersionRequest(model=MODEL, manifest_digest=digest, fence=1)
        request.lineage.run_id = f"run-{self.runs}"
        request.lineage.generation = self.generation
        for name, file in files.items():
            request.artifacts.add(name=name, sha256=file.sha256, size=file.size)
        with grpc.insecure_channel(addresses(self.stack).of("registry")) as channel:
            number = int(RegistryServiceStub(channel).RegisterVersion(request).version.number)
        if constant is not None:
            self.constants[number] = constant
        return number

    def serve(self, constant: float | None = None) -> int:
        """Register a version and wait until it answers."""
        number = self.register(constant)
        eventually(lambda: self.answering() == number, f"version {number} answers", 60)
        return number

    def answering(self) -> int:
        """Number of the version that answers, 0 for none."""
        try:
            with triton.InferenceServerClient(self.address) as client:
                reply = client.infer(MODEL, tensors(), client_timeout=5)
        except InferenceServerException:
            return 0
        return int(reply.get_response().model_version)


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """Return the gateway with the plain version alone, whatever the test before has left."""
    running.generation = running.client.apply(normalise(loads(PROJECT).project)).generation
    row = rollout(running)
    if row.champion != running.plain or row.challenger:
        running.client.promote(MODEL, running.plain, reason="the next test")
        eventually(lambda: running.answering() == running.plain, "the plain version answers", 60)
    return running


@pytest.fixture(scope="module", params=["aio", "native"])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    services = ["registry", "ingestion", "features-worker", "serving"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMILL_SERVING_ENGINE", request.param)
        with (
            LocalStack(
                tmp_path_factory.mktemp(request.param),
                services=services,
                parts=("postgres", "kafka", "triton"),
            ) as stack,
            connect(addresses(stack), author="test") as client,
        ):
            made = Gateway(request.param, stack, client)
            with triton.InferenceServerClient(made.address) as before:
                eventually(before.is_server_ready, "a stack without a version is ready", 20)
                made.generation = client.apply(normalise(loads(PROJECT).project)).generation
                refused = eventually(lambda: no_version(before), "the model is known")
            assert "no version yet" in refused.message()
            made.plain = made.serve()
            yield made


def no_version(client: triton.InferenceServerClient) -> InferenceServerException | None:
    """Return the refusal of a known model without a version."""
    try:
        client.infer(MODEL, tensors())
    except InferenceServerException as error:
        return error if error.status() == "StatusCode.FAILED_PRECONDITION" else None
    return None


def tensor(name: str, values: list[Any], datatype: str = "", shape: list[int] | None = None) -> Any:
    """Make an input as users of tritonclient do."""
    kind = datatype or ("BYTES" if isinstance(values[0], str) else "FP64")
    if kind == "BYTES":
        array = np.array([str(value).encode() for value in values], dtype=object)
    else:
        array = np.array(values, dtype=triton.triton_to_np_dtype(kind))
    made = triton.InferInput(name, shape or [len(values)], kind)
    made.set_data_from_numpy(array.reshape(shape or [len(values)]))
    return made


def tensors(**changes: Any) -> list[Any]:
    """Return the row's inputs; a change to None leaves one out."""
    values = {**ROW, **changes}
    return [tensor(name, [value]) for name, value in values.items() if value is not None]


def sigmoid(total: float) -> float:
    return float(1 / (1 + np.exp(-total)))


def test_an_event_just_published_is_in_the_answer_that_carries_its_token(
    gateway: Gateway,
) -> None:
    user = f"ann-{time.time_ns()}"
    events = [
        Event("visit", {**ROW, "visit_id": f"{user}-{n}", "user": user, "amount": 0.25})
        for n in range(3)
    ]
    reply = gateway.client.publish(events)
    assert {one.outcome for one in reply.results} == {ingestion_pb.OUTCOME_ACCEPTED}
    token = base64.urlsafe_b64encode(reply.token.SerializeToString()).decode().rstrip("=")
    with triton.InferenceServerClient(gateway.address) as client:
        answer = client.infer(
            MODEL,
            tensors(user=user, amount=0.75),
            request_id="mine",
            parameters={"tidemill_token": token},
        )
    # count 3, sum 0.75, share 1, amount 0.75, country NL = 1
    expected = sigmoid(3 + 0.75 + 1 + 0.75 + 1)
    assert answer.as_numpy("probability")[0][0] == pytest.approx(expected, abs=1e-6)
    reply_parameters = answer.get_response().parameters
    assert answer.get_response().id == "mine"
    assert reply_parameters["variant"].string_param == "champion"
    assert len(reply_parameters["prediction_id"].string_param) == 36
    assert len(reply_parameters["digest"].string_param) == 64
    assert reply_parameters["freshness_ms"].double_param < 60_000


def test_the_same_by_names_by_parameters_and_by_tensors(gateway: Gateway) -> None:
    row = {name: str(value) for name, value in ROW.items()}
    by_name = gateway.client.predict(MODEL, [row])[0].score
    with triton.InferenceServerClient(gateway.address) as client:
        by_tensor = client.infer(MODEL, tensors()).as_numpy("probability")[0][0]
        by_parameter = client.infer(MODEL, [], parameters=ROW).as_numpy("probability")[0][0]
    assert by_name == pytest.approx(float(by_tensor), abs=1e-7)
    assert by_parameter == by_tensor


async def test_the_asyncio_client_and_a_batch_work_unchanged(gateway: Gateway) -> None:
    async with triton_aio.InferenceServerClient(gateway.address) as client:
        assert await client.is_server_live()
        assert await client.is_model_ready(MODEL)
        metadata = await client.get_model_metadata(MODEL, as_json=True)
        assert {one["name"] for one in metadata["inputs"]} == set(ROW)
        inputs = [
            tensor("user", ["a", "b"]),
            tensor("country", ["NL", "XX"], shape=[2, 1]),
            tensor("amount", [1.0, 1.0], "FP32"),
            tensor("visit_id", ["1", "2"]),
        ]
        answer = await client.infer(MODEL, inputs)
        first, second = answer.as_numpy("probability").ravel().tolist()
        assert first == pytest.approx(sigmoid(2.0), abs=1e-6)
        assert second == pytest.approx(sigmoid(1.0), abs=1e-6)
        ids = answer.as_numpy("prediction_id").tolist()
        assert len(set(ids)) == 2


def wrong_requests() -> dict[str, tuple[str, str, list[Any], dict[str, Any]]]:
    """Name -> (status, what the message says, inputs, further arguments)."""
    row = tensors()
    return {
        "unknown model": ("NOT_FOUND", "nope", row, {"model_name": "nope"}),
        "retired or future version": ("NOT_FOUND", "99", row, {"model_version": "99"}),
        "missing entity": ("INVALID_ARGUMENT", "user: required", tensors(user=None), {}),
        "unknown input": ("INVALID_ARGUMENT", "no such input", [*row, tensor("usr", ["x"])], {}),
        "wrong dtype": (
            "INVALID_ARGUMENT",
            "string wants BYTES",
            [*tensors(user=None), tensor("user", [1.0])],
            {},
        ),
        "wrong shape": (
            "INVALID_ARGUMENT",
            "shape",
            [*tensors(amount=None), tensor("amount", [1.0, 2.0], shape=[1, 2])],
            {},
        ),
        "rows that differ": (
            "INVALID_ARGUMENT",
            "rows",
            [*tensors(amount=None), tensor("amount", [1.0, 2.0])],
            {},
        ),
        "too many rows": ("INVALID_ARGUMENT", "at most 64", [tensor("amount", [1.0] * 65)], {}),
        "too many bytes": (
            "RESOURCE_EXHAUSTED",
            "",
            [*tensors(user=None), tensor("user", ["x" * (5 << 20)])],
            {},
        ),
        "infinite": ("INVALID_ARGUMENT", "infinite", tensors(amount=float("inf")), {}),
        "bad moment": ("INVALID_ARGUMENT", "at: ", row, {"parameters": {"at": "soon"}}),
        "bad token": (
            "INVALID_ARGUMENT",
            "tidemill_token",
            row,
            {"parameters": {"tidemill_token": "%"}},
        ),
        "unknown output": (
            "NOT_FOUND",
            "logits",
            row,
            {"outputs": [triton.InferRequestedOutput("logits")]},
        ),
    }


@pytest.mark.parametrize("case", sorted(wrong_requests()))
def test_a_wrong_request_gets_its_status_and_says_why(gateway: Gateway, case: str) -> None:
    status, said, inputs, more = wrong_requests()[case]
    pid = gateway.stack.pid("serving")
    with triton.InferenceServerClient(gateway.address) as client:
        with pytest.raises(InferenceServerException) as refused:
            client.infer(**{"model_name": MODEL, "inputs": inputs, **more})
        assert refused.value.status() == f"StatusCode.{status}"
        assert said in refused.value.message()
        assert client.infer(MODEL, tensors()).as_numpy("probability").shape == (1, 1)
    assert gateway.stack.pid("serving") == pid


def test_model_control_and_shared_memory_are_refused(gateway: Gateway) -> None:
    with triton.InferenceServerClient(gateway.address) as client:
        for forbidden in (
            client.get_model_repository_index,
            client.get_system_shared_memory_status,
            lambda: client.load_model(MODEL),
        ):
            with pytest.raises(InferenceServerException) as refused:
                forbidden()
            assert refused.value.status() == "StatusCode.PERMISSION_DENIED"
    with (
        triton.InferenceServerClient(gateway.stack.address("triton")) as direct,
        pytest.raises(InferenceServerException),
    ):
        direct.get_model_repository_index()


@dataclass
class Seen:
    """What clients saw: when each request began and ended, its version, its value."""

    answers: list[tuple[float, float, int, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def under_load(
    address: str, work: Callable[[], Awaitable[None]], *, pause: float = 0.0
) -> Seen:
    """Ask from several clients while `work` is done, and a moment longer."""
    seen, over = Seen(), asyncio.Event()

    async def ask(client: triton_aio.InferenceServerClient, number: int) -> None:
        inputs = tensors(visit_id=f"load-{number}", user=f"u{number}")
        while not over.is_set():
            begun = time.monotonic()
            try:
                reply = await client.infer(MODEL, inputs, client_timeout=10)
            except InferenceServerException as error:
                seen.failures.append(str(error.status()))
                await asyncio.sleep(0.02)
                continue
            version = int(reply.get_response().model_version)
            value = float(reply.as_numpy("probability")[0][0])
            seen.answers.append((begun, time.monotonic(), version, value))
            await asyncio.sleep(pause)

    async with triton_aio.InferenceServerClient(address) as client:
        asking = [asyncio.create_task(ask(client, number)) for number in range(CLIENTS)]
        try:
            await work()
            await asyncio.sleep(0.5)
        finally:
            over.set()
        await asyncio.gather(*asking)
    return seen


async def test_hot_swaps_under_load_fail_nothing_and_no_retired_version_answers(
    gateway: Gateway,
) -> None:
    async def swap() -> None:
        for turn in range(SWAPS[gateway.engine]):
            await asyncio.to_thread(gateway.serve, (turn + 1) / 64)

    seen = await under_load(gateway.address, swap, pause=0.03)
    assert seen.failures == []
    newest_at: list[tuple[float, int]] = []
    for _, ended, version, _ in sorted(seen.answers, key=lambda one: one[1]):
        if not newest_at or version > newest_at[-1][1]:
            newest_at.append((ended, version))
    for begun, _, version, value in seen.answers:
        known = max((number for at, number in newest_at if at <= begun), default=0)
        assert version >= known, "a version answered after its successor had"
        if version in gateway.constants:
            assert value == pytest.approx(gateway.constants[version], abs=1e-6)
    assert len(newest_at) >= SWAPS[gateway.engine]


async def test_after_triton_was_killed_the_gateway_loads_everything_again(
    gateway: Gateway,
) -> None:
    pid = gateway.stack.pid("serving")

    async def kill() -> None:
        await asyncio.sleep(0.3)
        gateway.stack.kill("triton")
        await asyncio.sleep(1.0)
        await asyncio.to_thread(eventually, lambda: gateway.answering() > 0, "answers again", 60)

    seen = await under_load(gateway.address, kill, pause=0.02)
    assert set(seen.failures) <= {"StatusCode.UNAVAILABLE"}
    assert seen.answers[-1][1] > seen.answers[0][1] + 1.0
    assert gateway.stack.pid("serving") == pid


def test_a_good_canary_is_promoted_from_the_log_alone_and_a_failing_one_is_dropped(
    gateway: Gateway,
) -> None:
    text = PROJECT.replace("canary: 0", "canary: 0.5, min_requests: 40, latency_slo_ms: 30000")
    gateway.generation = gateway.client.apply(normalise(loads(text).project)).generation
    rows = [{**{k: str(v) for k, v in ROW.items()}, "visit_id": f"c{n}"} for n in range(100)]
    good = gateway.register(0.9)
    eventually(lambda: rollout(gateway).challenger == good, "a canary")
    eventually(lambda: variants(gateway, rows) == {"champion", "challenger"}, "both answer")
    first = {p.variant for p in gateway.client.predict(MODEL, rows[:1])}
    assert {p.variant for _ in range(3) for p in gateway.client.predict(MODEL, rows[:1])} == first
    eventually(lambda: ask_and(gateway, rows, champion=good), "promoted", 60)
    assert "without shown harm" in rollout(gateway).reason
    bad = gateway.register(brittle=True)
    eventually(lambda: rollout(gateway).challenger == bad, "a second canary")
    failing = [{**row, "country": "DE"} for row in rows]
    eventually(lambda: ask_and(gateway, failing, challenger=0), "dropped", 60)
    assert rollout(gateway).champion == good
    assert "stopped routing" in rollout(gateway).reason
    assert len(gateway.client.predict(MODEL, failing)) == len(failing)


def rollout(gateway: Gateway) -> registry_pb.RolloutRow:
    (row,) = gateway.client.rollouts(MODEL)
    return row


def variants(gateway: Gateway, rows: list[dict[str, str]]) -> set[str]:
    return {one.variant for one in gateway.client.predict(MODEL, rows)}


def ask_and(gateway: Gateway, rows: list[dict[str, str]], **wanted: int) -> bool:
    """Ask for every row, one call each; whether the rollout is as wanted by now."""
    for row in rows:
        with contextlib.suppress(TidemillError):
            gateway.client.predict(MODEL, [row])
    return all(getattr(rollout(gateway), name) == value for name, value in wanted.items())


def test_served_answers_are_logged_dropped_or_waiting_and_none_is_missing(
    gateway: Gateway,
) -> None:
    def counted() -> bool:
        (model,) = gateway.client.routing(MODEL).models
        return model.served > 0 and model.served == model.logged + model.dropped

    eventually(counted, "every served answer is accounted for", 20)
    (model,) = gateway.client.routing(MODEL).models
    assert model.dropped == 0


def test_a_moment_in_the_past_is_asked_for_by_the_same_call(gateway: Gateway) -> None:
    long_ago = datetime(2013, 1, 1, tzinfo=UTC).isoformat()
    with triton.InferenceServerClient(gateway.address) as client:
        answer = client.infer(MODEL, tensors(), parameters={"at": long_ago})
    assert answer.get_response().parameters["prediction_id"].string_param
