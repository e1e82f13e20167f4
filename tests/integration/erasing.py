"""A platform for tests of erasures, and what they ask it: how far it is, who is refused, planned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pytest

from tests.integration.conftest import StartStack
from tests.integration.driver import Platform, addresses, eventually
from tidemill import Event
from tidemill.client import connect
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as features_pb
from tidemill.ingestion.v1 import ingestion_service_pb2 as ingestion_pb
from tidemill.registry.v1 import erasure_service_pb2 as pb

SERVICES: Final = ("registry", "ingestion", "features-worker", "features-server", "monitoring")
QUICK: Final = {
    "TIDEMILL_FEATURES_ERASE_SECONDS": "0.5",
    "TIDEMILL_FEATURES_ERASE_RAW_SECONDS": "0",
    "TIDEMILL_FEATURES_ERASE_LOG_SECONDS": "1",
    "TIDEMILL_FEATURES_ARCHIVE_SECONDS": "1",
    "TIDEMILL_FEATURES_SNAPSHOT_BYTES": "1048576",
}
"""Settings with which an erasure takes seconds."""
COMPLETE_S: Final = 120.0


@contextmanager
def quick_platform(
    start_stack: StartStack,
    monkeypatch: pytest.MonkeyPatch,
    project: project_pb2.Project,
    services: Sequence[str] = SERVICES,
) -> Iterator[Platform]:
    """Run a project on a stack on which an erasure takes seconds."""
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    stack = start_stack(services)
    with connect(addresses(stack), author="dpo") as client:
        platform = Platform(stack, client)
        applied(platform, project)
        yield platform


def applied(platform: Platform, project: project_pb2.Project) -> None:
    """Apply a project and wait until each of its views is served."""
    eventually(lambda: platform.client.apply(project), "apply")
    wanted = {view.name for view in project.views}

    def served() -> bool:
        views = platform.client.describe_views().views
        return wanted <= {one.view for one in views if one.ready}

    eventually(served, "views served")


def found(plan: features_pb.PlanErasureResponse) -> dict[str, int]:
    """What was found, by name, where something was."""
    return {one.name: one.found for one in plan.places if one.found}


def refused(platform: Platform, event: Event) -> str:
    """Why an event is refused; empty if it is not."""
    (result,) = platform.client.publish([event]).results
    rejected = result.outcome == ingestion_pb.OUTCOME_REJECTED
    return str(result.reason) if rejected else ""


def completed(platform: Platform, erasure_id: str) -> pb.Erasure:
    """Wait for the end of an erasure; what was said last if it does not come."""

    def complete() -> pb.Erasure | None:
        now = platform.client.erasure(erasure_id)
        return now if now.state == pb.ERASURE_STATE_COMPLETE else None

    try:
        return eventually(complete, "complete", COMPLETE_S)
    except AssertionError as error:
        raise AssertionError(str(platform.client.erasure(erasure_id))) from error
