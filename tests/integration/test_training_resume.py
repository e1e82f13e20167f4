"""A training process is killed at 80 % of its run: the next attempt ends with the same bits.

The worker's own processes on a real artefact store; what the services do then is in other tests.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tidemill_common.artifacts import Artifacts
from tidemill_training.children import Children, Failed
from tidemill_training.failures import Failure
from tidemill_training.job import Job
from tidemill_training.testing import a_job, a_model, a_table

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

EPOCHS = 10
AT = 0.05 + 0.8 * 0.8
"""Progress after 80 % of the epochs: the stage `train` lies between 5 % and 85 %."""


@dataclass
class Killer:
    """Listens to a training process, and kills it when it has come far enough."""

    children: Children
    kill_at: float = 2.0
    checkpoints: list[str] = field(default_factory=list)
    resumed_step: float = 0.0
    killed: bool = False

    async def hear(self, message: Mapping[str, Any]) -> None:
        if message["kind"] == "checkpoint":
            self.checkpoints.append(message["digest"])
        elif message["kind"] == "progress":
            self.resumed_step = message["metrics"].get("resumed_step", self.resumed_step)
            if message["progress"] >= self.kill_at and self.checkpoints and not self.killed:
                self.killed = True
                assert self.children.pid is not None
                os.kill(self.children.pid, signal.SIGKILL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Children]:
    """A worker's processes; what one test has left warm is there for the next, as in a worker."""
    started = Children(threads=1, log_level="WARNING")
    yield started
    await started.close()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    url = str(tmp_path / "store")
    model = a_model({"epochs": EPOCHS, "patience": EPOCHS})
    return replace(a_job(Artifacts(url), a_table(3_000), model=model), artifacts=url)


async def test_killed_at_80_percent_a_run_resumes_to_the_same_version(
    children: Children, job: Job
) -> None:
    whole = await children.run(job, 1, Killer(children).hear)
    killer = Killer(children, kill_at=AT)
    with pytest.raises(Failed) as ended:
        await children.run(job, 1, killer.hear)
    assert killer.killed
    assert ended.value.failure is Failure.INFRASTRUCTURE
    second = Killer(children)
    resumed = await children.run(replace(job, checkpoint=killer.checkpoints[-1]), 1, second.hear)
    assert second.resumed_step > 0
    assert resumed.metrics == whole.metrics
    assert resumed.manifest == whole.manifest


async def test_a_process_that_is_prepared_for_a_model_does_its_run_as_any_other(
    children: Children, job: Job
) -> None:
    whole = await children.run(replace(job, overrides={"epochs": 2.0}), 1, Killer(children).hear)
    await children.close()
    await children.prepare(job.definition)
    again = await children.run(replace(job, overrides={"epochs": 2.0}), 1, Killer(children).hear)
    assert again.manifest == whole.manifest


async def test_a_training_process_ends_with_its_worker(children: Children) -> None:
    await children.warm()
    pid = children.pid
    assert pid is not None
    await children.hang_up()
    async with asyncio.timeout(10):
        with pytest.raises(ProcessLookupError):
            while True:
                os.kill(pid, 0)
                await asyncio.sleep(0.05)


async def test_a_gang_of_two_processes_trains_one_version(children: Children, job: Job) -> None:
    killer = Killer(children)
    result = await children.run(replace(job, overrides={"epochs": 3.0}), 2, killer.hear)
    assert result.metrics["auc"] > 0.75
    assert killer.checkpoints


async def test_what_is_wrong_with_the_data_is_told_and_the_process_stays_warm(
    children: Children, job: Job
) -> None:
    bad = replace(job, training_set={**job.training_set, "digest": "0" * 64})
    await children.warm()
    before = children.pid
    with pytest.raises(Failed, match="no blob") as ended:
        await children.run(bad, 1, Killer(children).hear)
    assert ended.value.failure is Failure.DATA
    assert children.pid == before
