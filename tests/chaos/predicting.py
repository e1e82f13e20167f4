"""Ask serving for predictions while everything happens around it: what it reads is a vector each.

Two replicas of serving, a real Triton behind them, and a version that the harness registers. Of the keys that the
model samples by their hash, serving logs each vector and the positions it was read at.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.chaos.calling import remembering
from tests.chaos.enduring import Call
from tests.chaos.faults import SERVING
from tests.chaos.registering import REGISTRY, Registry
from tests.chaos.stage import Cast
from tests.chaos.traffic import COLD, HOT, SECOND_US, SHOPS
from tidemill.addresses import Addresses
from tidemill.aio import AsyncClient
from tidemill.errors import TidemillError
from tidemill.project import model_inputs
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.registry.v1.registry_service_pb2_grpc import RegistryServiceStub
from tidemill_common import rpc
from tidemill_common.artifacts import Artifacts
from tidemill_serving.definitions import ModelSpec, model_specs
from tidemill_serving.handlers import is_sampled
from tidemill_serving.testing import put_package

MODEL: Final = "spend"
VECTORS: Final = 100_000
"""So many at least are compared."""
WANTED: Final = 106_000
"""So many are asked for: what waited in a replica that was killed is logged nowhere."""
ENTITIES: Final = 100
"""In one request."""
SERVED: Final = f"""
models:
  {MODEL}:
    spine: {{{{stream: {{stream}}, key: [user]}}}}
    inputs:
      - {{{{view: {{stream}}_users}}}}
      - {{{{view: {{stream}}_shops}}}}
    label: {{{{stream: {{stream}}, expression: amount, max_delay: 1d, task: regression}}}}
    trainer: {{{{name: tabular}}}}
    rollout: {{{{canary: 0}}}}
    monitors: {{{{window: 1d, vector_sample: 0.5}}}}
"""
FIRST_S: Final = 90.0
"""Until the first version answers."""
TIMEOUT_S: Final = 4.0
MORE_S: Final = 60.0
"""After the load, if not all have been asked for."""
AHEAD_US: Final = 5 * SECOND_US
"""Asked about a time that no event has yet, as a question about now is: so no answer is about the past."""
_AGAIN_S: Final = 0.2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def where(cast: Cast, replica: str) -> Addresses:
    """Return where one replica is."""
    return Addresses({"serving": cast.address(replica)}, "the run's replicas")


async def first_version(cast: Cast, registry: Registry) -> None:
    """Register a version, and wait until every replica answers by it."""
    inputs = model_inputs(registry.project, MODEL)
    artifacts = Artifacts(cast.stage.stack.environment["TIDEMILL_ARTIFACTS"])
    names = [one.name for one in inputs.numeric]
    digest, files = await asyncio.to_thread(put_package, artifacts, MODEL, names, [])
    request = registry_pb.RegisterVersionRequest(model=MODEL, manifest_digest=digest, fence=1)
    request.lineage.run_id = "chaos"
    request.lineage.generation = registry.generation
    for name, file in files.items():
        request.artifacts.add(name=name, sha256=file.sha256, size=file.size)
    async with rpc.connected(cast.address(REGISTRY)) as channel:
        await rpc.call(RegistryServiceStub(channel).RegisterVersion, request)
    async with asyncio.timeout(FIRST_S):
        for replica in SERVING:
            client = AsyncClient(where(cast, replica))
            while True:
                with contextlib.suppress(TidemillError):
                    await client.predict(MODEL, [{"user": "u0", "shop": "s0"}])
                    break
                await asyncio.sleep(_AGAIN_S)
            await client.close()


@dataclass(slots=True)
class Predictor:
    """Asks every replica, one request of many entities after another, for the whole of a run."""

    cast: Cast
    spec: ModelSpec
    base_us: int
    elapsed_us: Callable[[], int]
    seed: int
    calls: list[Call]
    """Remembered here."""
    sampled: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    """Requests, by replica."""
    failed: Counter[str] = field(default_factory=Counter)
    """Requests without an answer, by kind of error."""

    async def run(self, seconds: float) -> None:
        """Ask for so long, or longer until there are enough vectors."""
        async with asyncio.TaskGroup() as asking:
            for replica in SERVING:
                asking.create_task(self._ask(replica, seconds), name=replica)

    async def _ask(self, replica: str, seconds: float) -> None:
        dice = random.Random(f"{self.seed}/{replica}")
        async with remembering(where(self.cast, replica), self.calls) as client:
            await self._ask_by(client, replica, dice, seconds)

    async def _ask_by(
        self, client: AsyncClient, replica: str, dice: random.Random, seconds: float
    ) -> None:
        began = time.monotonic()
        pause = seconds * len(SERVING) * ENTITIES * self.spec.vector_sample / WANTED
        due = began
        while time.monotonic() < began + seconds or (
            self.sampled < WANTED and time.monotonic() < began + seconds + MORE_S
        ):
            rows = [_row(dice) for _ in range(ENTITIES)]
            at = _EPOCH + timedelta(microseconds=self.base_us + self.elapsed_us() + AHEAD_US)
            try:
                await client.predict(MODEL, rows, at=at, timeout=TIMEOUT_S)
            except TidemillError as error:
                self.failed[type(error).__name__] += 1
                await asyncio.sleep(_AGAIN_S)
            else:
                self.answered[replica] += 1
                self.sampled += sum(is_sampled(self.spec, row["user"]) for row in rows)
            due += pause
            await asyncio.sleep(max(0.0, due - time.monotonic()))


def model_of(registry: Registry) -> ModelSpec:
    """Return the model as serving compiles it."""
    return model_specs(registry.project, registry.generation)[MODEL]


def _row(dice: random.Random) -> Mapping[str, str]:
    """Return an entity of each view, hot ones as often as events have them."""
    hot = dice.random() < 0.7
    user = dice.randrange(HOT) if hot else HOT + dice.randrange(COLD)
    return {"user": f"u{user}", "shop": f"s{dice.randrange(SHOPS)}"}
