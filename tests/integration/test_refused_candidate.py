"""A candidate that learnt from corrupted labels takes no traffic, and a person can read why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.conftest import FirstVersion
from tests.integration.driver import MODEL, Platform, eventually
from tests.integration.shell import Shell
from tidemill.registry.v1 import registry_service_pb2 as registry_pb
from tidemill.training.v1 import training_service_pb2 as training_pb

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(400)]

CORRUPTED, SOUND = 1300, 700
"""Of the newest rows 65 % train the candidate; what validates, calibrates and tests it is sound.

Both are too few for the policy: only the run that is asked for reads them.
"""
OPEN = (training_pb.RUN_STATE_QUEUED, training_pb.RUN_STATE_RUNNING)


def test_a_candidate_of_corrupted_labels_is_refused_by_the_gates_and_the_cli_says_why(
    first_version: FirstVersion, tmp_path: Path
) -> None:
    platform = first_version.platform
    for number, corrupt in ((CORRUPTED, True), (SOUND, False)):
        visits, outcomes = first_version.visitors.come(number, corrupt=corrupt)
        platform.publish(visits)
        platform.publish(outcomes)
    champion = platform.champion()

    version = candidate(platform, max_rows=CORRUPTED + SOUND)

    assert version.stage == registry_pb.STAGE_REJECTED
    assert platform.champion() == champion
    shell = Shell(tmp_path, {"TIDEMILL_STACK": str(platform.stack.data / "stack.json")})
    shown = shell.run("models", "show", MODEL, str(version.number), "--json").json()
    assert "gate floor failed: auc 0." in shown["reason"]
    assert "is below the floor 0.6" in shown["reason"]
    assert "rejected" in shell.run("models", "list", MODEL).out


def candidate(platform: Platform, *, max_rows: int) -> registry_pb.Version:
    """Train on the newest rows and wait for what the gates say of the version."""
    run = platform.client.submit_run(MODEL, reason="suspicious labels", max_rows=max_rows)

    def ended() -> training_pb.Run | None:
        now = platform.client.run(run.run_id)
        return None if now.state in OPEN else now

    last = eventually(ended, "the end of the run", 180.0)
    assert last.state == training_pb.RUN_STATE_SUCCEEDED, last.error
    number = last.version

    def decided() -> registry_pb.Version | None:
        version = platform.client.version(MODEL, number)
        return None if version.stage == registry_pb.STAGE_CANDIDATE else version

    return eventually(decided, f"what the gates say of version {number}", 120.0)
