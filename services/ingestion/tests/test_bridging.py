"""A source whose topic is not there yet waits, and says so."""

from __future__ import annotations

import asyncio

from tidemill_common import metrics
from tidemill_ingestion.bridging import topic_is_there


class Cluster:
    """Has a topic from the given look on; keeps what the metric said at each look."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.said: list[float | None] = []

    async def topics(self) -> list[str]:
        self.said.append(waiting())
        self.looks -= 1
        return ["web.clicks"] if self.looks < 0 else []


def waiting() -> float | None:
    labels = {"stream": "clicks"}
    return metrics.REGISTRY.get_sample_value("tidemill_bridge_waiting", labels)


async def test_a_source_says_that_it_waits_until_its_topic_is_there() -> None:
    cluster, stop = Cluster(looks=2), asyncio.Event()
    assert await topic_is_there("clicks", "web.clicks", cluster, stop, every=0)
    assert cluster.said[1:] == [1, 1]
    assert waiting() == 0


async def test_a_source_that_is_told_to_stop_waits_no_longer() -> None:
    stop = asyncio.Event()
    stop.set()
    assert not await topic_is_there("clicks", "web.clicks", Cluster(looks=9), stop)
    assert waiting() == 0
