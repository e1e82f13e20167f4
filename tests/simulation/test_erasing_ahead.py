"""An erasure while a flush is still being written: what began in that flush is of before it."""

from __future__ import annotations

import asyncio
import math

import pytest

from tests.simulation.world import World
from tidemill_features.ledger import RENEWED
from tidemill_features.partition import Partition

USERS = 20
"""Their state is more than two chunks of a snapshot."""


def test_a_snapshot_that_was_decided_before_an_erasure_is_none_of_those_it_waits_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill_features.partition.FLUSH_RECORDS", 1)
    monkeypatch.setattr("tidemill_features.partition.THREAD_RECORDS", 1)
    wanted: list[int] = []

    async def erase_behind_a_snapshot(partition: Partition) -> None:
        records, _ = world.broker.read(world.raw, partition._next, committed=True, limit=2)
        partition.offer(records)
        owners = partition.state.all_owners
        large = max(owners, key=lambda one: owners[one].state_bytes)
        partition._ledgers[large].since = -math.inf
        await partition._flush(partition._take())
        assert partition._writing is not None
        found: asyncio.Future[dict[str, list[bytes]]] = asyncio.Future()
        found.set_result({view: [] for view in owners})
        partition._search = found
        await partition._flush(partition._take())
        await partition._written()
        assert partition._snapshots == {large}
        wanted.append(partition._ledgers[large].wanted)

    world.take_over()
    world.publish([world.a_row(user, 100, 0.0) for user in range(USERS)])
    world.flush(1)
    for user in (1, 2):
        world.publish([world.a_row(user, 100, 0.0)])
    world.do(erase_behind_a_snapshot)
    assert wanted == [RENEWED]
