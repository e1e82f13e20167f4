"""Streams that the tests of the edge share."""

from __future__ import annotations

import pytest

from tidemill_ingestion.schema import StreamSchema, compile_stream
from tidemill_ingestion.testing import a_stream


@pytest.fixture
def clicks() -> StreamSchema:
    return compile_stream(a_stream())


@pytest.fixture
def history() -> StreamSchema:
    return compile_stream(a_stream(name="history", replay=True))
