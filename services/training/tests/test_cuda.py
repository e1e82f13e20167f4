"""Promises of a run on a GPU: the same model within rounding, the same bits when it is resumed.

They need a CUDA device and are skipped without one. Every other test of this package holds there too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tidemill_common.artifacts import Artifacts
from tidemill_training import gang, stages
from tidemill_training.children import Children
from tidemill_training.gang import Gang
from tidemill_training.job import Job, Result
from tidemill_training.testing import a_job, a_model, a_table

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

CPU = Gang(0, 1, torch.device("cpu"))


@pytest.fixture(autouse=True)
def whole_memory() -> Iterator[None]:
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    started = Children(threads=1, log_level="WARNING")
    yield started
    await started.close()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    url = str(tmp_path / "store")
    return replace(a_job(Artifacts(url), a_table(3_000)), artifacts=url)


def run(job: Job, where: Gang) -> Result:
    result = stages.run(job, Artifacts(job.artifacts), where, lambda *_: None, lambda *_: None)
    assert result is not None
    return result


def test_a_model_is_as_good_as_one_from_the_cpu_and_says_where_it_was_trained(job: Job) -> None:
    assert gang.alone().device.type == "cuda"
    on_gpu, on_cpu = run(job, gang.alone()), run(job, CPU)
    assert on_gpu.metrics["auc"] == pytest.approx(on_cpu.metrics["auc"], abs=0.02)
    assert on_gpu.metrics["log_loss"] == pytest.approx(on_cpu.metrics["log_loss"], abs=0.02)
    assert on_gpu.environment_digest != on_cpu.environment_digest


def test_a_step_that_does_not_fit_is_done_in_pieces(job: Job) -> None:
    parameters = {"hidden": 256.0, "layers": 8.0, "batch_size": 65_536.0, "epochs": 1.0}
    model, store = a_model(parameters), Artifacts(job.artifacts)
    large = replace(a_job(store, a_table(50_000), model=model), artifacts=job.artifacts)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    roomy = run(large, gang.alone())
    needed = torch.cuda.max_memory_allocated()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(0.9 * needed / total)
    narrow = run(large, gang.alone())
    assert narrow.metrics["log_loss"] == pytest.approx(roomy.metrics["log_loss"], abs=0.05)


async def _nothing(_: object) -> None: ...


async def test_a_gang_of_two_shares_one_gpu(children: Children, job: Job) -> None:
    alone = run(job, gang.alone())
    together = await children.run(job, torch.cuda.device_count() + 1, _nothing)
    assert together.metrics["auc"] == pytest.approx(alone.metrics["auc"], abs=0.05)


async def test_a_gang_with_a_gpu_for_each_process_trains(children: Children, job: Job) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device only")
    result = await children.run(job, 2, _nothing)
    assert result.metrics["auc"] > 0.75
