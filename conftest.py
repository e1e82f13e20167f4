"""What every test of the repository shares: how hypothesis looks, and one broker and one database.

The parts are started once a session, when the first test asks for one, unless the environment
names them. Tests of whole stacks start their own (tests/integration).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tidemill_common.kafka import Broker
from tidemill_common.settings import Dsn
from tidemill_common.testing.plugin import missing
from tidemill_local.errors import LocalError
from tidemill_local.library import LocalStack

# A busy machine is no failure: the limit per test is pytest's timeout. The same examples in every
# run, so that a change is judged by what it changes; `make explore` looks for new ones.
settings.register_profile("tidemill", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=500)
settings.load_profile("tidemill")

KAFKA, POSTGRES = "TIDEMILL_KAFKA", "TIDEMILL_POSTGRES"


@pytest.fixture(scope="session")
def parts(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Addresses of a broker and a database that no service uses."""
    if os.environ.get(KAFKA) and os.environ.get(POSTGRES):
        yield {KAFKA: os.environ[KAFKA], POSTGRES: os.environ[POSTGRES]}
        return
    with tempfile.TemporaryDirectory(prefix="tidemill-parts-") as folder:
        stack = LocalStack(Path(folder), services=[], parts=("postgres", "kafka"))
        try:
            stack.start()
        except LocalError as error:
            missing(request, str(error))
        try:
            yield stack.environment
        finally:
            stack.stop()


@pytest.fixture(scope="session")
def kafka(parts: dict[str, str]) -> Broker:
    """The broker."""
    return Broker(parts[KAFKA], "test")


@pytest.fixture(scope="session")
def postgres(parts: dict[str, str]) -> Dsn:
    """The database."""
    return Dsn(parts[POSTGRES])
