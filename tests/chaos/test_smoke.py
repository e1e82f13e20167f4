"""One of each fault in three quarters of a minute: nothing lost, nothing twice, everything in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.plans import SEED, smoke
from tests.chaos.report import write
from tests.chaos.run import perform
from tests.chaos.stage import staged

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]


async def test_kills_pauses_and_a_bad_network_lose_nothing_and_count_nothing_twice(
    tmp_path: Path,
) -> None:
    async with staged(tmp_path) as stage:
        report = await perform(stage, smoke(), SEED)
    write([report], tmp_path / "report.json")
    assert report.passed, report.text()
