"""The group gives every topic out, or its leader's process ends."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.protocol.metadata import MetadataResponse_v1

from tidemill.errors import Unavailable
from tidemill_features.settings import Settings
from tidemill_features.stream import Assignments, FeatureApp, WholeAssignor, feature_app

TOPICS = ("events.orders", "events.visits")
LEADER_NOT_AVAILABLE = 5


@pytest.fixture
async def app(tmp_path: Path) -> FeatureApp:
    settings = Settings(
        data=tmp_path, listen="127.0.0.1:0", kafka="127.0.0.1:1", registry="127.0.0.1:1"
    )
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return feature_app(settings, TOPICS, cast("Assignments", object()), failed)


def cluster(seen: Collection[str]) -> ClusterMetadata:
    """What a broker answers that knows two partitions of the topics in `seen`."""
    metadata = ClusterMetadata()
    partitions = [(0, number, 1, [1], [1]) for number in range(2)]
    topics = [
        (0, topic, False, partitions) if topic in seen else (LEADER_NOT_AVAILABLE, topic, False, [])
        for topic in TOPICS
    ]
    metadata.update_metadata(MetadataResponse_v1([(1, "127.0.0.1", 1, None)], 1, topics))
    return metadata


def assign(app: FeatureApp, seen: Collection[str]) -> list[tuple[str, list[int]]]:
    assignor = cast("WholeAssignor", app.assignor)
    member = ConsumerProtocolMemberMetadata(
        assignor.version, list(TOPICS), assignor.metadata(set(TOPICS)).user_data
    )
    assignments: dict[str, Any] = assignor.assign(cluster(seen), {"one": member})
    return sorted(
        (topic, sorted(partitions)) for topic, partitions in assignments["one"].assignment
    )


async def test_every_partition_of_every_topic_is_given_out(app: FeatureApp) -> None:
    assert assign(app, TOPICS) == [(topic, [0, 1]) for topic in TOPICS]
    await asyncio.sleep(0)
    assert not app.failed.done()


async def test_a_leader_that_does_not_see_a_topic_ends_its_process(app: FeatureApp) -> None:
    with pytest.raises(Unavailable, match=r"does not show events\.visits yet"):
        assign(app, ["events.orders"])
    with pytest.raises(Unavailable, match=r"events\.visits"):
        await app.failed
