"""Builders that the tests of the common library share."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tidemill_common import topics
from tidemill_common.kafka import Admin, Broker, administering

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def admin(kafka: Broker) -> AsyncIterator[Admin]:
    async with administering(kafka) as administrator:
        yield administrator


@pytest.fixture
async def topic(admin: Admin) -> AsyncIterator[topics.Topic]:
    """A topic of two partitions with its dead-letter topic, deleted afterwards."""
    made = topics.events(f"test_{uuid.uuid4().hex[:12]}")
    wanted = [made, topics.dead_letters(made.name)]
    await admin.ensure(wanted)
    yield made
    await admin.delete_topics([each.name for each in wanted])
