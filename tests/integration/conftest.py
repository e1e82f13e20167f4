"""Stacks for tests: a whole one that the session shares, and small ones of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.driver import MODEL, Platform, Visitors, addresses, eventually
from tidemill.aio import Value
from tidemill.client import connect
from tidemill.errors import FailedPrecondition
from tidemill_common.testing.plugin import missing
from tidemill_local.errors import LocalError
from tidemill_local.library import LocalStack

LEASE_S = 5
"""Of a training run: so long it takes until the run of a worker that died is given to another."""
StartStack = Callable[[Sequence[str]], LocalStack]


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[StartStack]:
    """Start the named services and the parts that they work on; all of it ends with the test."""
    running: list[LocalStack] = []

    def start(services: Sequence[str]) -> LocalStack:
        parts = ("postgres", "kafka", "triton") if "serving" in services else ("postgres", "kafka")
        stack = LocalStack(tmp_path / f"stack{len(running)}", services=services, parts=parts)
        running.append(stack.start())
        return stack

    yield start
    for stack in running:
        stack.stop()


@pytest.fixture
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalStack]:
    """Run a broker of a test's own, whose groups have no members that others have left behind."""
    stack = LocalStack(tmp_path / "stack", services=[], parts=("kafka",))
    try:
        stack.start()
    except LocalError as error:
        missing(request, str(error))
    try:
        yield stack
    finally:
        stack.stop()


@dataclass(frozen=True, slots=True)
class FirstVersion:
    """The platform after its first version came to be, and what it said before that."""

    platform: Platform
    number: int
    refused_before: str
    visitors: Visitors


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Everything, with the shop applied; tests leave it healthy."""
    folder = tmp_path_factory.mktemp("platform")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TIDEMILL_TRACE_RATIO", "1")
        environment.setenv("TIDEMILL_TRAINING_LEASE_S", str(LEASE_S))
        with LocalStack(folder) as stack, connect(addresses(stack), author="test") as client:
            shared = Platform(stack, client)
            shared.apply()
            yield shared


@pytest.fixture(scope="session")
def first_version(platform: Platform) -> FirstVersion:
    """Publish labelled visits until the platform has trained, gated and served by itself."""
    refused = refusal(platform)
    visitors = Visitors(seed=11)
    visits, outcomes = visitors.come(2600)
    platform.publish(visits)
    platform.publish(outcomes)
    number = platform.wait_for_champion(0, 240)
    platform.wait_for_answer(visits[-1])
    return FirstVersion(platform, number, refused, visitors)


def refusal(platform: Platform) -> str:
    """Return what a prediction is told while there is no version."""
    request: dict[str, Value] = {"user": "u1", "amount": 5, "country": "NL"}

    def refused() -> str:
        try:
            platform.client.predict(MODEL, [request])
        except FailedPrecondition as error:
            return error.message
        return ""

    return eventually(refused, "a refusal", 30.0)
