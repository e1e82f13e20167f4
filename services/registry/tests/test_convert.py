"""Domain and protobuf say the same."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tidemill.registry.v1 import events_pb2
from tidemill.registry.v1 import registry_service_pb2 as pb
from tidemill_registry import convert
from tidemill_registry.rollouts import Rollout
from tidemill_registry.versions import Artifact, GateResult, Stage, Verdict, Version

AT = datetime(2013, 1, 1, 12, 30, tzinfo=UTC)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        GateResult,
        gate=st.text(max_size=10),
        verdict=st.sampled_from(Verdict),
        value=NUMBERS,
        ci_low=NUMBERS,
        ci_high=NUMBERS,
        threshold=NUMBERS,
        reason=st.text(max_size=20),
        evidence=st.dictionaries(st.text(max_size=5), NUMBERS, max_size=3),
        time=st.none(),
    )
)
def test_a_gate_result_comes_back_as_it_was(result: GateResult) -> None:
    assert convert.from_gate_result(convert.to_gate_result(result)) == result


def test_a_version_is_told_whole() -> None:
    lineage = pb.Lineage(run_id="run", seed=7)
    version = Version(
        "late",
        3,
        "d" * 64,
        "run",
        (Artifact("model.onnx", "e" * 64, 5),),
        lineage.SerializeToString(),
        {"auc": 0.7},
        AT,
        stage=Stage.REJECTED,
        reason="auc is too low",
        aliases=("staging",),
        gate_results=(GateResult("floor", Verdict.FAIL),),
        data_time=AT,
    )
    message = convert.to_version(version)
    assert message.lineage == lineage
    assert message.stage == pb.STAGE_REJECTED
    assert message.gate_results[0].verdict == pb.VERDICT_FAIL
    assert convert.from_artifacts(message.artifacts) == version.artifacts
    assert convert.from_timestamp(message.data_time) == AT
    assert list(message.aliases) == ["staging"]


def test_a_rollout_with_a_challenger_is_a_canary() -> None:
    stable = convert.to_rollout(Rollout("late", champion=1))
    canary = convert.to_rollout(Rollout("late", champion=1, challenger=2, share=0.1))
    assert stable.state == pb.ROLLOUT_STATE_STABLE
    assert canary.state == pb.ROLLOUT_STATE_CANARY


def test_an_event_says_what_happened_when_and_in_which_trace() -> None:
    moved = events_pb2.AliasMoved(model="late", alias="champion", number=2, previous=1)
    data = convert.to_event(moved, event_id="id", at=AT, traceparent="00-a-b-01")
    event = events_pb2.RegistryEvent.FromString(data)
    assert event.WhichOneof("event") == "alias_moved"
    assert (event.event_id, event.traceparent) == ("id", "00-a-b-01")
    assert convert.from_timestamp(event.time) == AT
    assert event.alias_moved == moved
