"""Promises of the fleet and the lanes, on a model server held to the same contract as Triton."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.serving.tests.serving_models import purchase
from tidemill.errors import Corrupt, FailedPrecondition, NotFound, Unavailable
from tidemill_common.artifacts import Artifacts
from tidemill_common.clock import SystemClock
from tidemill_common.feature_reads import ReadResult
from tidemill_common.preprocessing import Category
from tidemill_serving.evaluation import evaluate
from tidemill_serving.fleet import Fleet
from tidemill_serving.handlers import Predictions, Question, is_sampled
from tidemill_serving.held import Held
from tidemill_serving.hydration import Hydrator
from tidemill_serving.lane import Lane
from tidemill_serving.prediction_log import PredictionLog
from tidemill_serving.predictor import ModelFailed, Tensors
from tidemill_serving.recovery import watch
from tidemill_serving.repository import Repository
from tidemill_serving.routing import Pin, Table, limit_of
from tidemill_serving.testing import put_package
from tidemill_serving.versions import Loader

SPEC = purchase()
NUMERIC = [one.name for one in SPEC.inputs.numeric]
ROW = SPEC.fields.row_of_text({"user": "u1", "amount": "4", "country": "NL", "visit_id": "v1"})


@dataclass
class Server:
    """A model server that runs packages' graphs; it can be away, and forget everything."""

    root: Path
    away: bool = False
    fails: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def _there(self) -> None:
        if self.away:
            raise Unavailable("the model server is away")

    async def live(self) -> bool:
        return not self.away

    async def load(self, name: str, *, timeout: float) -> None:
        self._there()
        assert (self.root / name / "1" / "model.onnx").exists()
        self.names.add(name)

    async def unload(self, name: str) -> None:
        self._there()
        self.names.discard(name)

    async def ready(self, name: str) -> bool:
        self._there()
        return name in self.names

    async def loaded(self) -> frozenset[str]:
        self._there()
        return frozenset(self.names)

    async def infer(self, name: str, output: str, tensors: Tensors, *, timeout: float) -> bytes:
        self._there()
        if name not in self.names:
            raise Unavailable(f"{name} is not loaded")
        self.asked.append((name, tensors.rows))
        if name in self.fails:
            raise ModelFailed("the graph failed")
        await asyncio.sleep(0)
        features = np.frombuffer(tensors.features, dtype="<f4").reshape(tensors.rows, -1)
        categories = np.frombuffer(tensors.categories, dtype="<i8").reshape(tensors.rows, -1)
        total = np.nansum(features, axis=1) + categories.sum(axis=1)
        return bytes((1 / (1 + np.exp(-total))).astype("<f4").tobytes())


class Features:
    """A replica in which every value of every view is 0.5, and the logs are at position 7."""

    async def wait_for(
        self, positions: Iterable[Any], *, views: Collection[str] = (), timeout: float
    ) -> None:
        """Everything is known."""

    def read(self, view: str, entities: Sequence[Sequence[Any]], at_us: Any = None) -> ReadResult:
        names = tuple(one.feature for one in SPEC.inputs.features if one.view == view)
        rows = len(entities)
        known = np.array([None not in entity for entity in entities])
        values = np.where(known[:, None], np.full((rows, len(names)), 0.5), np.nan)
        at = np.broadcast_to(np.asarray(at_us, dtype=np.int64), (rows,))
        zeros = np.zeros(rows, dtype=np.int64)
        status = np.zeros(values.shape, dtype=np.uint8)
        newer = zeros.astype(np.bool_)
        return ReadResult(names, "v", values, status, zeros, at, 0, newer, 1_500)

    def positions(self, views: Collection[str] = ()) -> dict[str, list[int]]:
        return {f"features.{view}": [7] for view in sorted(views)}

    def newest_available_us(self) -> int:
        return 0


class Silence:
    """A producer that acknowledges everything."""

    def enqueue(self, *_: Any, **__: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


class NoShadow:
    def offer(self, *_: Any) -> None:
        """Take nothing."""


@dataclass
class World:
    server: Server
    artifacts: Artifacts
    loader: Loader
    fleet: Fleet
    log: PredictionLog
    predictions: Predictions
    trips: list[Table]

    def a_version(
        self, number: int, *, shift: float = 0.0, numeric: Sequence[str] = NUMERIC
    ) -> Pin:
        kinds = [Category("country", ("NL", f"X{number}"))]
        digest, _ = put_package(self.artifacts, "purchase", numeric, kinds, golden_shift=shift)
        return Pin(number, digest)

    async def route(self, table: Table) -> None:
        self.fleet.want(table)
        await until(lambda: self.live_version() == table.version)

    def live_version(self) -> int:
        live = self.fleet.models["purchase"].live
        return live.table.version if live else 0

    async def ask(self, key: str = "k", number: int = 1) -> Any:
        live = self.fleet.live("purchase")
        question = Question([ROW] * number, [key] * number, None, "r", time.monotonic())
        return await self.predictions.together(live, question)


async def until(what: Any) -> None:
    async with asyncio.timeout(5):
        while not what():
            await asyncio.sleep(0.005)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    server, artifacts = Server(tmp_path / "models"), Artifacts(str(tmp_path / "blobs"))
    loader = Loader(server, Repository(tmp_path / "models", "python"), artifacts)
    replica, clock, trips = Features(), SystemClock(), list[Table]()

    def lane(held: Held, spec: Any) -> Lane:
        hydrator = Hydrator(spec, replica, clock.now_us)
        return Lane(held, spec, hydrator, server, cap=64, inflight=2, limit=512, patience=0.5)

    fleet = Fleet(loader, lane, grace=0.05, on_trip=trips.append)
    log = PredictionLog(Silence())
    predictions = Predictions(fleet, replica, log, NoShadow(), clock)
    fleet.define({"purchase": SPEC})
    yield World(server, artifacts, loader, fleet, log, predictions, trips)
    await fleet.close()


def a_table(version: int, champion: Pin, challenger: Pin | None = None, **more: Any) -> Table:
    limit = limit_of(1.0) if challenger else 0
    return Table("purchase", version, "s", champion, challenger, limit=limit, **more)


async def test_an_unknown_model_and_one_without_a_version_are_told_apart(world: World) -> None:
    with pytest.raises(NotFound, match="nope"):
        world.fleet.live("nope")
    with pytest.raises(FailedPrecondition, match="no version yet"):
        world.fleet.live("purchase")
    assert world.fleet.ready


async def test_an_answer_is_hydrated_scored_and_logged(world: World) -> None:
    await world.route(a_table(1, world.a_version(1)))
    answer = await world.ask()
    # 2 x 0.5 (users; the item is missing), ratio 8, amount 4, category NL = 1
    assert answer.scored.values == [pytest.approx(1 / (1 + np.exp(-14.0)), abs=1e-6)]
    assert (answer.route.number, answer.scored.freshness_us) == (1, 1_500)
    assert (world.log.counts("purchase").served, len(answer.ids)) == (1, 1)


async def test_what_waits_together_is_one_call(world: World) -> None:
    await world.route(a_table(1, world.a_version(1)))
    world.server.asked.clear()
    await asyncio.gather(*(world.ask(str(n)) for n in range(20)))
    assert [rows for _, rows in world.server.asked] == [20]


async def test_a_swap_fails_no_request_and_no_retired_version_answers_after_it(
    world: World,
) -> None:
    pins = [world.a_version(number) for number in range(1, 8)]
    await world.route(a_table(1, pins[0]))
    answers: list[int] = []
    stop = asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            before = world.live_version()
            answer = await world.ask()
            assert answer.route.number >= before
            answers.append(answer.route.number)

    load = [asyncio.create_task(client()) for _ in range(4)]
    for number, pin in enumerate(pins[1:], 2):
        await world.route(a_table(number, pin))
    stop.set()
    await asyncio.gather(*load)
    assert answers == sorted(answers)
    await until(lambda: len(world.server.names) == 1)


async def test_the_last_champion_stays_loaded_so_that_going_back_loads_nothing(
    world: World,
) -> None:
    one, two = world.a_version(1), world.a_version(2)
    await world.route(a_table(1, one))
    await world.route(a_table(2, two, previous=one))
    await asyncio.sleep(0.2)
    held = dict(world.fleet.held)
    assert {number for _, number in held} == {1, 2}
    await world.route(a_table(3, one))
    assert (await world.ask()).route.number == 1
    assert world.fleet.held[("purchase", 1)] is held[("purchase", 1)]


async def test_a_version_that_misses_its_golden_answers_never_answers(world: World) -> None:
    await world.route(a_table(1, world.a_version(1)))
    world.fleet.want(a_table(2, world.a_version(2, shift=0.2)))
    await until(lambda: world.fleet.models["purchase"].problem)
    assert "golden" in world.fleet.models["purchase"].problem
    assert not any("__v2_" in name for name in world.server.names)
    assert (await world.ask()).route.number == 1


async def test_a_flipped_byte_is_refused_before_anything_is_loaded(world: World) -> None:
    pin = world.a_version(1)
    with pytest.raises(NotFound):
        await world.fleet.hold("purchase", Pin(1, "0" * 64))
    blob = next(
        path for path in Path(world.server.root).parent.rglob("*") if path.name.endswith(pin.digest)
    )
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes().replace(b"model.onnx", b"model.onny"))
    with pytest.raises(Corrupt):
        await world.fleet.hold("purchase", pin)
    assert not world.server.names


async def test_a_challenger_that_cannot_be_loaded_is_tripped_and_the_champion_answers(
    world: World,
) -> None:
    await world.route(a_table(1, world.a_version(1), world.a_version(2, shift=0.2)))
    assert (await world.ask()).route.number == 1
    assert "cannot be loaded" in world.trips[0].tripped


async def test_a_challenger_that_fails_is_tripped_and_stays_so_for_its_table(
    world: World,
) -> None:
    champion, challenger = world.a_version(1), world.a_version(2)
    await world.route(a_table(1, champion, challenger))
    world.server.fails = {name for name in world.server.names if "__v2_" in name}
    for _ in range(5):
        with pytest.raises(ModelFailed):
            await world.ask()
    assert (await world.ask()).route.number == 1
    assert [table.tripped for table in world.trips] == ["5 failures in a row"]
    world.fleet.want(a_table(1, champion, challenger))
    await asyncio.sleep(0.02)
    assert (await world.ask()).route.number == 1
    world.server.fails.clear()
    await world.route(a_table(2, champion, challenger))
    assert (await world.ask()).route.number == 2


async def test_after_the_model_server_restarted_it_gets_everything_back(world: World) -> None:
    await world.route(a_table(1, world.a_version(1)))
    stop = asyncio.Event()
    watching = asyncio.create_task(watch(world.fleet, world.loader, world.server, stop))
    world.server.names.clear()
    assert (await world.ask()).route.number == 1
    world.server.away = True
    world.server.names.clear()
    asked = [asyncio.create_task(world.ask(str(n))) for n in range(3)]
    await asyncio.sleep(0.1)
    world.server.away = False
    assert [answer.route.number for answer in await asyncio.gather(*asked)] == [1, 1, 1]
    stop.set()
    await watching


async def test_while_the_model_server_stays_away_requests_are_unavailable(world: World) -> None:
    await world.route(a_table(1, world.a_version(1)))
    world.server.away = True
    with pytest.raises(Unavailable):
        await world.ask()
    assert not world.trips


async def test_an_evaluated_version_takes_no_traffic_and_is_let_go(world: World) -> None:
    await world.route(a_table(1, world.a_version(1)))
    found = await evaluate(world.fleet, world.loader, "purchase", world.a_version(2), 10)
    assert (found.rows, found.requests) == (8, 10)
    assert found.max_difference < 1e-6
    assert found.p50 <= found.p99
    assert (await world.ask()).route.number == 1
    await until(lambda: not any("__v2_" in name for name in world.server.names))


async def test_a_sampled_answer_logs_the_vector_that_was_scored(world: World) -> None:
    await world.route(a_table(1, world.a_version(1)))
    key = next(str(n) for n in range(100) if is_sampled(SPEC, str(n)))
    answer = await world.ask(key)
    expected = dict(zip(NUMERIC, answer.scored.vectors[0], strict=True))
    assert expected["ratio"] == 8.0
    assert np.isnan(expected["items__count_1d"])
    assert answer.scored.positions == {"features.items": [7], "features.users": [7]}
