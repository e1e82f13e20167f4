"""The parts as they really are: ready, on loopback only, back after a kill, ended with their owner."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import grpc
import psutil
import pytest

from tidemill_local.identity import Identity, wait_until_gone
from tidemill_local.library import LocalStack
from tidemill_local.plan import PARTS
from tidemill_local.stack_file import StackState, read

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
END_S = 30.0
ELSEWHERE = {"TIDEMILL_KAFKA": "127.0.0.1:9", "TIDEMILL_ZIPKIN": "http://127.0.0.1:9"}
KEY_NAME = "triton-grpc-protocol-tidemill"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    with LocalStack(tmp_path_factory.mktemp("stack"), services=[]) as running:
        yield running


def control_triton(stack: LocalStack, key: str | None) -> grpc.StatusCode:
    """Ask for the list of models, which only serving may."""
    with grpc.insecure_channel(stack.address("triton")) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        call = channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")
        try:
            call(b"", timeout=5, metadata=((KEY_NAME, key),) if key else None)
        except grpc.RpcError as error:
            code = error.code()
            assert isinstance(code, grpc.StatusCode)
            return code
    return grpc.StatusCode.OK


def test_every_part_is_ready_and_listens_on_loopback_only(stack: LocalStack) -> None:
    for name in PARTS:
        stack.wait_ready(name)
        for process in (owner := psutil.Process(stack.pid(name)), *owner.children(recursive=True)):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    assert connection.laddr.ip in LOOPBACK, f"{name} listens on {connection.laddr}"


async def test_what_the_database_has_is_there_after_it_was_killed(stack: LocalStack) -> None:
    stack.wait_ready("postgres")
    connection = await asyncpg.connect(stack.address("postgres"))
    await connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    await connection.close(timeout=1)
    before = Identity.of(stack.pid("postgres"))
    stack.kill("postgres")
    assert wait_until_gone([before], END_S)
    stack.wait_back("postgres", before.pid)
    connection = await asyncpg.connect(stack.address("postgres"))
    assert await connection.fetchval("SELECT seven FROM kept") == 7
    await connection.close(timeout=1)


def test_model_control_is_closed_to_who_has_no_key(stack: LocalStack) -> None:
    stack.wait_ready("triton")
    key_file = Path(stack.environment["TIDEMILL_TRITON_KEY_FILE"])
    assert key_file.stat().st_mode & 0o777 == 0o400
    assert control_triton(stack, None) is grpc.StatusCode.UNAVAILABLE
    assert control_triton(stack, "guess") is grpc.StatusCode.UNAVAILABLE
    assert control_triton(stack, key_file.read_text()) is grpc.StatusCode.OK


def a_command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command for a stack whose broker and traces are elsewhere: it starts in a second."""
    argv = [sys.executable, "-m", "tidemill_local", *arguments, "--data", str(folder)]
    return subprocess.run(
        argv, check=False, capture_output=True, text=True, env={**os.environ, **ELSEWHERE}
    )


def test_a_killed_supervisor_takes_its_processes_along_and_up_works_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    up = ("up", "--services=", "--detach")
    assert a_command(folder, *up).returncode == 0
    first = read(folder / "stack.json")
    assert first is not None
    assert first.supervisor is not None
    assert "already" in a_command(folder, "up", "--services=").stderr
    os.kill(first.supervisor.pid, signal.SIGKILL)
    assert wait_until_gone(first.leftovers, END_S)
    assert a_command(folder, "status").returncode == 3

    assert a_command(folder, *up).returncode == 0
    second = read(folder / "stack.json")
    assert second is not None
    assert second.environment == first.environment
    assert second.environment["TIDEMILL_KAFKA"] == ELSEWHERE["TIDEMILL_KAFKA"]
    assert {one.name for one in second.processes} == {"postgres", "triton"}
    assert json.loads(a_command(folder, "status", "--json").stdout)["state"] == StackState.READY

    assert a_command(folder, "down").returncode == 0
    assert not any(one.is_alive() for one in second.leftovers)
