"""One version in the model server: written, loaded, proven by its golden answers, warmed up."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tidemill.errors import Corrupt, DeadlineExceeded, Unavailable
from tidemill_common import metrics
from tidemill_serving.predictor import ModelFailed, Tensors
from tidemill_serving.repository import read_package

if TYPE_CHECKING:
    import numpy.typing as npt

    from tidemill_common.artifacts import Artifacts
    from tidemill_serving.predictor import ModelServer
    from tidemill_serving.repository import Package, Repository

logger = logging.getLogger(__name__)

LOAD_SECONDS: Final = 60.0
READY_SECONDS: Final = 10.0
INFER_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.02
WARM_UP: Final = 20
GOLDEN_ROWS: Final = 64
TOLERANCE: Final = 1e-4
"""Difference to a golden answer up to which a version may answer; gates may ask for less."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the server's answers are from the golden ones."""

    rows: int
    max_difference: float


class Loader:
    """Brings versions into the model server and takes them out again."""

    def __init__(self, server: ModelServer, repository: Repository, artifacts: Artifacts) -> None:
        """Load packages from `artifacts` through `repository` into `server`."""
        self._server = server
        self._repository = repository
        self._artifacts = artifacts

    async def load(self, model: str, number: int, digest: str) -> Package:
        """Verify, write, load, prove and warm up a version. A repeat does the same again.

        Corrupt or Invalid when the version can never answer, Transient when it may later.
        """
        started = time.perf_counter()
        package = await asyncio.to_thread(read_package, self._artifacts, model, number, digest)
        await self.revive(package)
        seconds = time.perf_counter() - started
        metrics.histogram("tidemill_model_load_duration_seconds", model=model).observe(seconds)
        logger.info(
            "model.loaded",
            extra={"model": model, "version": number, "digest": digest, "seconds": seconds},
        )
        return package

    async def revive(self, package: Package) -> None:
        """Load a verified package, also one that the server lost; ready when this returns.

        One that cannot answer rightly does not stay in the server.
        """
        await asyncio.to_thread(self._repository.write, package, self._artifacts)
        await self._server.load(package.name, timeout=LOAD_SECONDS)
        await self._until_ready(package.name)
        try:
            await self._prove(package)
        except (Corrupt, ModelFailed):
            await self.unload(package.name)
            raise

    async def _prove(self, package: Package) -> None:
        parity = await self.parity(package)
        if not parity.max_difference <= TOLERANCE:
            raise Corrupt(
                f"{package.name} is {parity.max_difference:g} away from its golden answers",
                hint="the server computes something else than the exported graph did",
            )
        await self._warm_up(package)

    async def unload(self, name: str) -> None:
        """Take a version out of the server and off the disk; away already is no error."""
        try:
            await self._server.unload(name)
        except Unavailable:
            logger.info("model.unload_skipped", extra={"served": name})
        await asyncio.to_thread(self._repository.remove, name)

    async def parity(self, package: Package) -> Parity:
        """Ask for all golden rows and compare."""
        golden = package.golden
        difference = 0.0
        for start in range(0, len(golden.outputs), GOLDEN_ROWS):
            rows = slice(start, start + GOLDEN_ROWS)
            answer = await self._ask(package, golden.features[rows], golden.categories[rows])
            gap = np.abs(answer.astype(np.float64) - golden.outputs[rows])
            difference = max(difference, float(np.where(np.isnan(gap), np.inf, gap).max()))
        return Parity(len(golden.outputs), difference)

    async def latencies(self, package: Package, requests: int) -> list[float]:
        """Measure `requests` single calls, one after the other, in seconds."""
        golden, clock = package.golden, time.perf_counter
        measured = []
        for i in range(requests):
            row = slice(i % len(golden.outputs), i % len(golden.outputs) + 1)
            started = clock()
            await self._ask(package, golden.features[row], golden.categories[row])
            measured.append(clock() - started)
        return measured

    async def _warm_up(self, package: Package) -> None:
        await self.latencies(package, WARM_UP)

    async def _until_ready(self, name: str) -> None:
        for _ in range(round(READY_SECONDS / POLL_SECONDS)):
            if await self._server.ready(name):
                return
            await asyncio.sleep(POLL_SECONDS)
        raise DeadlineExceeded(f"{name} was loaded and did not become ready")

    async def _ask(
        self,
        package: Package,
        features: npt.NDArray[np.float32],
        categories: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.float32]:
        tensors = to_tensors(features, categories)
        output = package.preprocessing.output
        raw = await self._server.infer(package.name, output, tensors, timeout=INFER_SECONDS)
        return np.frombuffer(raw, dtype="<f4")


def to_tensors(features: npt.NDArray[np.float32], categories: npt.NDArray[np.int64]) -> Tensors:
    """Lay out encoded rows as the bytes that go over the wire."""
    rows, width = features.shape
    return Tensors(rows, features.tobytes(), width, categories.tobytes(), categories.shape[1])
