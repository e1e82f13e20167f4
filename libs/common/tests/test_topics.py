"""The catalogue of topics, canonical keys and the rule of partitions."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.errors import Invalid
from tidemill_common import topics

PARTS = st.lists(st.text().filter(lambda text: "\x1f" not in text), min_size=1, max_size=4)


def test_every_family_has_an_example_that_is_its_own() -> None:
    assert [topic.name for topic in topics.CATALOGUE] == [
        topic.example for topic in topics.CATALOGUE
    ]
    assert all(topic.producers and topic.consumers for topic in topics.CATALOGUE)


def test_raw_events_are_stamped_by_the_broker_and_never_transactional() -> None:
    topic = topics.events("departures")
    assert topic.config["message.timestamp.type"] == "LogAppendTime"
    assert not topic.transactional


def test_the_feature_log_is_kept_until_its_owner_trims_it() -> None:
    topic = topics.feature_log("by_origin", "3f2a", "departures", partitions=4)
    assert topic.name == "features.by_origin.3f2a.departures"
    assert topic.config["cleanup.policy"] == "delete"
    assert topic.config["retention.ms"] == topic.config["retention.bytes"] == "-1"
    assert topic.config["compression.type"] == "producer"
    assert topic.partitions == 4


@pytest.mark.parametrize("name", ["", "Big", "a/b", "a b", "x" * 300, "../x"])
def test_a_name_that_kafka_or_a_path_could_misread_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        topics.dead_letters(name) if name == "" else topics.events(name + "/")


def test_keys_are_text_joined_by_a_separator_no_text_may_hold() -> None:
    assert topics.key_bytes(["EWR", 5, True, -1]) == b"EWR\x1f5\x1ftrue\x1f-1"
    with pytest.raises(Invalid):
        topics.key_bytes(["a\x1fb"])


@given(PARTS, PARTS)
def test_different_keys_have_different_bytes(one: list[str], two: list[str]) -> None:
    assert (topics.key_bytes(one) == topics.key_bytes(two)) == (one == two)


def test_the_partition_of_a_key_never_changes() -> None:
    known = {b"EWR": 0, b"JFK": 2, b"LGA": 2, "Zürich".encode(): 0, b"": 0}
    found = {key: topics.partition_of(key, 4) for key in known}
    assert found == found | {b"EWR": topics.partition_of(b"EWR", 4)}
    spread = Counter(topics.partition_of(str(number).encode(), 4) for number in range(4000))
    assert all(900 < count < 1100 for count in spread.values())


def test_the_broker_stamps_the_records_of_every_topic() -> None:
    for topic in topics.CATALOGUE:
        assert topic.config["message.timestamp.type"] == "LogAppendTime"
