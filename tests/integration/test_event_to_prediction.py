"""From events to a prediction that rests on them, without a hand."""

from __future__ import annotations

import pytest

from tests.integration.conftest import FirstVersion
from tests.integration.driver import MODEL
from tidemill.features.v1 import feature_service_pb2 as features_pb

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]


def test_a_read_with_the_publish_token_sees_the_event(first_version: FirstVersion) -> None:
    platform = first_version.platform
    visits, _ = first_version.visitors.come(1)
    token = platform.publish(visits)
    entity = {"user": str(visits[0].data["user"])}
    at = visits[0].data["at"]
    reply = platform.client.get_features("user_visits", [entity], at=at, token=token)
    position = list(reply.features).index("count_1h")
    assert reply.entities[0].statuses[position] == features_pb.VALUE_STATUS_PRESENT
    assert reply.entities[0].values[position] >= 1.0


def test_before_the_first_version_a_prediction_is_refused_with_the_reason(
    first_version: FirstVersion,
) -> None:
    assert "no version" in first_version.refused_before


def test_enough_labels_train_gate_and_serve_the_first_version(first_version: FirstVersion) -> None:
    client = first_version.platform.client
    version = client.version(MODEL, first_version.number)
    gates = {gate.gate for gate in version.gate_results}
    assert gates == {"inputs", "floor", "champion", "server"}
    fired = client.decisions(MODEL, verdict="fire")
    assert version.lineage.run_id in {decision.run_id for decision in fired}


def test_a_prediction_rests_on_the_events_before_it(first_version: FirstVersion) -> None:
    platform = first_version.platform
    visits, _ = first_version.visitors.come(30)
    answers = platform.predict(visits, token=platform.publish(visits))
    assert len({answer.prediction_id for answer in answers}) == len(visits)
    assert all(0.0 < answer.score < 1.0 for answer in answers)


def test_served_vectors_are_recomputed_bit_for_bit(first_version: FirstVersion) -> None:
    platform = first_version.platform
    visits, _ = first_version.visitors.come(30)
    platform.predict(visits, token=platform.publish(visits))
    verified = platform.client.verify_vectors(MODEL)
    assert verified.vectors >= len(visits)
    assert verified.mismatches == 0, list(verified.examples)


def test_the_audit_of_all_this_is_intact(first_version: FirstVersion) -> None:
    audit = first_version.platform.client.verify_audit()
    assert audit.intact
    assert audit.entries > 3
