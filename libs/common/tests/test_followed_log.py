"""Who waits for a position of a log is told when its records have decided it."""

from __future__ import annotations

import asyncio

from tidemill.project import loads, normalise
from tidemill_common.feature_views import view_spec
from tidemill_common.followed_log import FollowedLog
from tidemill_tiles.fieldtypes import NO_TIME
from tidemill_tiles.owner import Owner
from tidemill_tiles.replica import Replica

PROJECT = """
project: shop
streams: {visits: {key: [user], fields: {user: {type: string, required: true}}}}
views:
  users: {stream: visits, entity: [user], aggregations: [{function: count, windows: [1h]}]}
"""


async def test_a_position_is_reached_when_the_log_says_so_and_not_before() -> None:
    spec = view_spec(normalise(loads(PROJECT).project), "users")
    log, owner = FollowedLog(spec, "visits", 0, Replica(spec.plan)), Owner(spec.plan, "1")

    async def follow(position: int) -> None:
        for record in owner.flush(
            position=position, watermark_us=NO_TIME, newest_available_us=NO_TIME
        ):
            log.replica.apply(record)
        log.wake()
        await asyncio.sleep(0)

    near, far = log.reaching(3), log.reaching(7)
    assert near is not None
    assert far is not None
    await follow(2)
    assert not near.done()
    await follow(5)
    assert near.done()
    assert not far.done()
    assert log.reaching(5) is None
    await follow(7)
    assert far.done()
    assert log.waiters == []
