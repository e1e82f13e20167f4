"""The way of a row through one version: hydrate, encode, ask the model server, cut the answer.

A lane binds a version to one compiled definition of its model. It coalesces what waits for it;
while the model server is away it waits a moment for it to come back and asks once more.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tidemill.errors import TidemillError, Transient, Unavailable
from tidemill_common import metrics, telemetry
from tidemill_serving.coalescer import Coalescer
from tidemill_serving.hydration import vector
from tidemill_serving.versions import to_tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from opentelemetry.context import Context

    from tidemill_serving.definitions import ModelSpec
    from tidemill_serving.fields import Row
    from tidemill_serving.held import Held
    from tidemill_serving.hydration import Hydrated, Hydrator
    from tidemill_serving.predictor import ModelServer

logger = logging.getLogger(__name__)

FLOAT_BYTES: Final = 4
UPSTREAM_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 3.0
MARGIN_SECONDS: Final = 0.02
LEAST_SECONDS: Final = 0.005


@dataclass(slots=True)
class Work:
    """Rows of one caller that go through together. `ends`: monotonic time when nobody waits."""

    rows: list[Row]
    at_us: list[int | None]
    sampled: bool
    ends: float
    context: Context | None = None

    @property
    def weight(self) -> int:
        """Rows that it adds to a batch."""
        return len(self.rows)


@dataclass(slots=True)
class Scored:
    """The answer to one Work. `vectors` and `positions` only if it was sampled."""

    scores: bytes
    at_us: list[int]
    freshness_us: int
    newer: bool
    vectors: list[list[float]] = field(default_factory=list)
    positions: dict[str, list[int]] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """The scores as numbers."""
        return np.frombuffer(self.scores, dtype="<f4").astype(np.float64).tolist()  # type: ignore[no-any-return]


class Lane:
    """One version with one definition, ready for traffic."""

    def __init__(
        self,
        held: Held,
        spec: ModelSpec,
        hydrator: Hydrator,
        server: ModelServer,
        *,
        cap: int,
        inflight: int,
        limit: int,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Coalesce up to `cap` rows a call, `inflight` calls at once, `limit` rows waiting.

        `patience`: seconds that rows wait for a model server that is away, within their deadline.
        """
        self._patience = patience
        self.held = held
        self.spec = spec
        self._hydrator = hydrator
        self._server = server
        self._queue: Coalescer[Work, Scored] = Coalescer(
            self._answer, cap=cap, inflight=inflight, limit=limit, on_batch=self._batched
        )
        stage = "tidemill_inference_duration_seconds"
        self._wait = metrics.histogram(stage, model=spec.name, stage="queue")
        self._hydrate = metrics.histogram(stage, model=spec.name, stage="hydrate")
        self._triton = metrics.histogram(stage, model=spec.name, stage="triton")
        self._size = metrics.histogram("tidemill_coalesce_batch_size", model=spec.name)
        self._age = metrics.histogram("tidemill_feature_age_seconds", model=spec.name)

    @property
    def busy(self) -> bool:
        """Whether a request is on its way through."""
        return self._queue.busy

    async def submit(self, work: Work) -> Scored:
        """Send rows through; Transient or Rejected say why there is no answer."""
        self.held.inflight += 1
        self.held.requests += 1
        try:
            return await self._queue.submit(work)
        except TidemillError:
            self.held.errors += 1
            raise
        finally:
            self.held.inflight -= 1

    async def drained(self) -> None:
        """Wait until nothing is on its way."""
        await self._queue.drained()

    async def _answer(self, batch: Sequence[Work]) -> list[Scored]:
        contexts = [work.context for work in batch if work.context is not None]
        if not contexts:
            return await self._batch(batch)
        attributes: dict[str, Any] = {
            "tidemill.model.name": self.spec.name,
            "tidemill.model.version": self.held.number,
            "tidemill.batch.size": sum(work.weight for work in batch),
        }
        # A child of one caller's span and linked to all: a tree shows it, and no trace misses it.
        links = [telemetry.link_of(context) for context in contexts]
        name = f"coalesce {self.spec.name}"
        with telemetry.span(name, attributes=attributes, parent=contexts[0], links=links):
            return await self._batch(batch)

    async def _batch(self, batch: Sequence[Work]) -> list[Scored]:
        began = time.monotonic()
        rows = [row for work in batch for row in work.rows]
        at = [one for work in batch for one in work.at_us]
        sampled = any(work.sampled for work in batch)
        hydrated = self._hydrator.hydrate(rows, at, positions=sampled)
        made = self.held.package.preprocessing
        features, categories = made.encode(hydrated.columns, len(rows))
        self._hydrate.observe(time.monotonic() - began)
        self._age.observe(hydrated.freshness_us / 1e6)
        ends = max(work.ends for work in batch)
        raw = await self._ask(features, categories, ends)
        return _cut(batch, raw, hydrated, made.numeric)

    async def _ask(
        self, features: npt.NDArray[np.float32], categories: npt.NDArray[np.int64], ends: float
    ) -> bytes:
        tensors = to_tensors(features, categories)
        name, output = self.held.package.name, self.held.package.preprocessing.output
        began = time.monotonic()
        try:
            if self.held.ready.is_set():
                return await self._server.infer(name, output, tensors, timeout=_left(ends))
        except Unavailable as error:
            logger.info("lane.upstream_lost", extra={"served": name, "error": repr(error)})
        finally:
            self._triton.observe(time.monotonic() - began)
        self.held.lost()
        if not await self.held.recovered(min(self._patience, _left(ends))):
            raise Unavailable("the model server is away", retry_after=1.0)
        return await self._server.infer(name, output, tensors, timeout=_left(ends))

    def _batched(self, rows: int, waited: float) -> None:
        self._size.observe(rows)
        self._wait.observe(waited)


def is_failure(error: TidemillError) -> bool:
    """Say whether an error speaks against the version rather than against load or an outage."""
    return not isinstance(error, Transient) or error.reason == "DEADLINE_EXCEEDED"


def _left(ends: float) -> float:
    left = ends - time.monotonic() - MARGIN_SECONDS
    return min(max(left, LEAST_SECONDS), UPSTREAM_SECONDS)


def _cut(
    batch: Sequence[Work], raw: bytes, hydrated: Hydrated, numeric: Sequence[str]
) -> list[Scored]:
    """Give each Work its rows of the answer, by byte offsets."""
    answers, start = [], 0
    at_us = hydrated.at_us.tolist()
    any_newer = bool(hydrated.newer.any())
    for work in batch:
        end = start + work.weight
        scored = Scored(
            raw[start * FLOAT_BYTES : end * FLOAT_BYTES],
            at_us[start:end],
            hydrated.freshness_us,
            newer=any_newer and bool(hydrated.newer[start:end].any()),
        )
        if work.sampled:
            scored.vectors = [vector(hydrated.columns, numeric, i) for i in range(start, end)]
            scored.positions = hydrated.positions
        answers.append(scored)
        start = end
    return answers
