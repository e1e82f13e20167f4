"""One supervised process, with small programs in place of parts."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from tidemill_local.program import Program, Readiness
from tidemill_local.stack_file import ProcessState
from tidemill_local.supervised import Supervised

WAIT_S = 10.0


def a_process(
    folder: Path, code: str, probe: Readiness = Readiness.READY, patience_s: float = 0.0
) -> Supervised:
    argv = (sys.executable, "-I", "-S", "-c", code)
    program = Program("small", argv, folder, lambda: probe, grace_s=1.0, patience_s=patience_s)
    return Supervised(program, folder / "small.log", lambda: None)


async def until(process: Supervised, state: ProcessState) -> None:
    async with asyncio.timeout(WAIT_S):
        while process.view.state is not state:
            await asyncio.sleep(0.01)


async def test_a_killed_process_comes_back_under_a_new_number(tmp_path: Path) -> None:
    process = a_process(tmp_path, "import time; time.sleep(60)")
    process.start()
    await until(process, ProcessState.READY)
    first = process.view.identity
    process.kill()
    await until(process, ProcessState.RESTARTING)
    await until(process, ProcessState.READY)
    assert process.view.restarts == 1
    assert process.view.identity != first
    await process.stop()
    assert process.view.identity is None


async def test_a_held_process_stays_away_until_it_is_started(tmp_path: Path) -> None:
    process = a_process(tmp_path, "import time; time.sleep(60)")
    process.start()
    await until(process, ProcessState.READY)
    await process.kill_and_hold()
    assert process.view.state is ProcessState.STOPPED
    process.start()
    await until(process, ProcessState.READY)
    await process.stop()


async def test_a_process_that_ignores_the_request_to_end_is_killed_after_its_grace(
    tmp_path: Path,
) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True);"
    process = a_process(tmp_path, f"{deaf} time.sleep(60)")
    process.start()
    async with asyncio.timeout(WAIT_S):
        while not (tmp_path / "small.log").is_file() or not (tmp_path / "small.log").read_text():
            await asyncio.sleep(0.01)
    await process.stop()
    assert process.view.state is ProcessState.STOPPED


async def test_a_crash_loop_ends_and_names_the_log_and_the_last_words(tmp_path: Path) -> None:
    process = a_process(tmp_path, "raise SystemExit('no such broker')", Readiness.NO)
    process.start()
    async with asyncio.timeout(110):
        await process.settled()
    view = process.view
    assert view.state is ProcessState.FAILED
    assert "exit code 1" in view.message
    assert "no such broker" in view.message
    assert str(tmp_path / "small.log") in view.message


@pytest.mark.parametrize(("patience_s", "is_settled"), [(0.0, True), (60.0, False)])
async def test_what_has_nothing_to_serve_is_waited_for_as_long_as_its_patience(
    tmp_path: Path, patience_s: float, is_settled: bool
) -> None:
    process = a_process(tmp_path, "import time; time.sleep(60)", Readiness.UP, patience_s)
    process.start()
    await until(process, ProcessState.UP)
    settled = asyncio.create_task(process.settled())
    await asyncio.sleep(0.05)
    assert settled.done() is is_settled
    settled.cancel()
    await process.stop()


async def test_a_program_that_is_not_there_is_told_apart_from_one_that_crashed(
    tmp_path: Path,
) -> None:
    missing = Program("gone", (str(tmp_path / "gone"),), tmp_path, lambda: Readiness.NO)
    process = Supervised(missing, tmp_path / "gone.log", lambda: None)
    process.start()
    await until(process, ProcessState.RESTARTING)
    assert "cannot be started" in process.view.message
    await process.stop()


async def test_a_process_that_ended_before_it_was_looked_at_is_one_that_crashed(
    tmp_path: Path,
) -> None:
    process = a_process(tmp_path, "", Readiness.NO)
    process.start()
    async with asyncio.timeout(WAIT_S):
        while process.view.state is not ProcessState.RESTARTING:
            time.sleep(0.1)  # noqa: ASYNC251 - a loop so busy that the process is gone at its next step
            await asyncio.sleep(0)
    assert "exit code 0" in process.view.message
    await process.stop()
