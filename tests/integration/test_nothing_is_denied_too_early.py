"""A service that has just started knows no project yet: it says "later", and denies nothing.

"There is no such stream, view or model" is final: whoever is told so gives up.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from tests.integration.driver import Platform, eventually
from tidemill.client import Client
from tidemill.errors import NotFound, Transient
from tidemill_local.stack_file import ProcessState

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]

NONE = "no_such"
ENTITY = {"user": "u1"}
Ask = Callable[[Client], object]
ASKS: dict[str, tuple[Ask, ...]] = {
    "ingestion": (
        lambda client: client.publish_arrow(NONE, pa.record_batch({"_id": ["1"]}), source="test"),
    ),
    "features-server": (
        lambda client: client.get_features(NONE, [ENTITY]),
        lambda client: client.describe_view(NONE),
        lambda client: client.feature_history(NONE, ENTITY),
        lambda client: client.explain_features(NONE, ENTITY),
        lambda client: client.diff_features(NONE),
    ),
    "training-controller": (lambda client: client.submit_run(NONE, reason="to be denied"),),
    "serving": (lambda client: client.predict(NONE, [ENTITY]),),
    "monitoring": (lambda client: client.report(model=NONE),),
}


def is_final(client: Client, ask: Ask) -> bool:
    """Say whether the answer is final; any other failure than a transient one is raised."""
    try:
        ask(client)
    except Transient:
        return False
    except NotFound:
        return True
    raise AssertionError(f"{NONE!r} is known")


def denied(client: Client, service: str) -> set[bool]:
    """Say of all answers of a service whether they are final."""
    return {is_final(client, ask) for ask in ASKS[service]}


@pytest.mark.parametrize("service", ASKS)
def test_a_service_that_starts_while_the_registry_is_away_denies_nothing(
    platform: Platform, service: str
) -> None:
    stack, client = platform.stack, platform.client
    eventually(lambda: denied(client, service) == {True}, f"{service} knows the project")
    stack.kill_and_hold("registry")
    try:
        stack.kill_and_hold(service)
        stack.start_process(service)
        stack.wait_until(service, {ProcessState.UP, ProcessState.READY}, 60.0)
        assert denied(client, service) == {False}
    finally:
        stack.start_process("registry")
    eventually(lambda: denied(client, service) == {True}, f"{service} knows the project")
    stack.wait_ready(service)
