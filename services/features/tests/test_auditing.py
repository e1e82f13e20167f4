"""An audit tells everybody, feature by feature, whether what was served is what is recomputed."""

from __future__ import annotations

import logging

import pytest

from tidemill.errors import NotFound
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_common import metrics
from tidemill_features.auditing import audit


class Verifier:
    """Answers as VerifyVectors does, with what it was given by model."""

    def __init__(self, answers: dict[str, pb.VerifyVectorsResponse]) -> None:
        self.answers = answers

    async def verify(self, request: pb.VerifyVectorsRequest) -> pb.VerifyVectorsResponse:
        if request.model not in self.answers:
            raise NotFound(f"no topic predictions.{request.model}")
        return self.answers[request.model]


def mismatches(model: str, feature: str) -> float | None:
    labels = {"model": model, "feature": feature}
    return metrics.REGISTRY.get_sample_value("tidemill_audit_mismatches_rows", labels)


def an_answer(**by_feature: int) -> pb.VerifyVectorsResponse:
    count = sum(by_feature.values())
    examples = ["p1 amount: served 1.0, recomputed 2.0"] if count else []
    return pb.VerifyVectorsResponse(
        vectors=5, values=10, mismatches=count, by_feature=by_feature, examples=examples
    )


async def test_every_feature_has_its_count_and_a_mismatch_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        await audit(["wrong"], Verifier({"wrong": an_answer(amount=2, visits=0)}).verify)
    assert (mismatches("wrong", "amount"), mismatches("wrong", "visits")) == (2, 0)
    (said,) = caplog.records
    assert (said.levelname, said.getMessage()) == ("ERROR", "vectors.differ")
    assert vars(said)["by_feature"] == {"amount": 2}
    assert vars(said)["examples"] == ["p1 amount: served 1.0, recomputed 2.0"]


async def test_a_clean_audit_takes_the_alarm_back(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await audit(["healed"], Verifier({"healed": an_answer(amount=1)}).verify)
        await audit(["healed"], Verifier({"healed": an_answer(amount=0)}).verify)
    assert mismatches("healed", "amount") == 0
    assert caplog.records[-1].getMessage() == "vectors.agree"


async def test_a_model_that_cannot_be_audited_hinders_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        await audit(["unborn", "served"], Verifier({"served": an_answer(amount=0)}).verify)
    assert [one.getMessage() for one in caplog.records] == ["audit.waiting", "vectors.agree"]
    assert mismatches("served", "amount") == 0
