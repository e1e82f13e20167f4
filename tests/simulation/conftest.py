"""What every simulation begins with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give a world without a worker, and end everything in it."""
    made = World(tmp_path)
    yield made
    made.close()
