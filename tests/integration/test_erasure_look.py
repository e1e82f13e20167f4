"""A look for an erased entity finds all that any reader can get of it, on a real broker."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from functools import partial

import pytest

from tests.chaos.publishing import encoded
from tests.chaos.traffic import PROJECT, Row
from tidemill.errors import TidemillError
from tidemill.project import loads, normalise
from tidemill_common import topics
from tidemill_common.erased_entity import entity_of
from tidemill_common.erasures import Erased, ErasedKey
from tidemill_common.feature_views import stream_spec
from tidemill_common.kafka import Broker, TopicPartition, administering, transactional
from tidemill_features.erasure.looking import Look
from tidemill_features.erasure.sightings import in_events

pytestmark = [pytest.mark.stack, pytest.mark.timeout(60)]

SECRET = b"k" * 32
RECORD_BYTES = 1_000
"""The longest record that the broker takes in the topic that makes the transaction fail."""


async def test_what_a_transaction_that_failed_has_left_is_found_and_can_be_let_go(
    kafka: Broker,
) -> None:
    stream = f"look_{uuid.uuid4().hex[:8]}"
    project = normalise(loads(PROJECT.format(stream=stream)).project)
    entity, spec = entity_of(project, {"user": "u1"}), stream_spec(project, stream)
    erased = Erased(SECRET, [ErasedKey(entity.fields, entity.digest(SECRET))])
    (key,) = erased.keys
    topic = topics.late(spec.topic.name)
    limits = {"max.message.bytes": str(RECORD_BYTES)}
    narrow = replace(topics.dead_letters(spec.topic.name), more_config=limits)
    hers = encoded(spec, [Row("e1", "u1", None, 1.0, "", 0)])
    async with administering(kafka) as admin:
        await admin.ensure([topic, narrow])
        async with transactional(kafka, stream) as producer:
            with pytest.raises(TidemillError):
                async with producer.transaction() as tx:
                    tx.send(topic.name, hers, partition=0)
                    tx.send(narrow.name, os.urandom(2 * RECORD_BYTES), partition=0)
        async with transactional(kafka, stream):
            pass  # whoever comes next has fenced it: nothing is open any more
        look = Look(kafka, admin, topic.name, partial(in_events, stream), erased)
        await look.go_on()
        assert look.found(key.erasure_id) == 1
        last = look.last(key.erasure_id)[TopicPartition(topic.name, 0)]
        await admin.delete_records({TopicPartition(topic.name, 0): last.offset + 1})
        await look.go_on()
        assert look.found(key.erasure_id) == 0
        await admin.delete_topics([topic.name, narrow.name])
