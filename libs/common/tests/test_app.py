"""A service ends with the code that says why, and on time."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest

from tidemill_common.app import unless_told

PROGRAM = """
import asyncio, sys
from dataclasses import dataclass
from tidemill_common.app import main
from tidemill_common.settings import Common

@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Common):
    mode: str

async def child(mode):
    if mode == "crash":
        raise KeyError("bug")

async def serve(settings, stop):
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(child(settings.mode))
        print("up", flush=True)
        if settings.mode == "stubborn":
            await asyncio.sleep(60)
        elif settings.mode != "crash":
            await stop.wait()
        else:
            await asyncio.sleep(60)

main("test", Settings, serve)
"""


def start(**environ: str) -> subprocess.Popen[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TIDEMILL_")}
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env={**clean, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_told_to_stop_it_exits_0() -> None:
    with start(TIDEMILL_TEST_MODE="serve") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert [line["event"] for line in lines(errors)] == [
        "app.started",
        "app.stopping",
        "app.stopped",
    ]


def test_its_metrics_tell_of_the_tasks_in_its_loop() -> None:
    with start(TIDEMILL_TEST_MODE="stubborn", TIDEMILL_METRICS_LISTEN="127.0.0.1:0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        address = json.loads(process.stderr.readline())["metrics"]
        with urllib.request.urlopen(f"http://{address}/metrics") as reply:
            text = reply.read().decode()
        process.kill()
        process.communicate(timeout=20)
    assert re.search(r"^tidemill_loop_tasks [12]\.0$", text, re.MULTILINE)


def test_a_second_signal_ends_it_at_once() -> None:
    with start(TIDEMILL_TEST_MODE="stubborn") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        while "app.stopping" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert process.returncode == 130


def test_a_crash_is_logged_once_with_its_type_and_exits_1() -> None:
    with start(TIDEMILL_TEST_MODE="crash") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    [crash] = [line for line in lines(errors) if line["event"] == "app.crashed"]
    assert crash["error_type"] == "KeyError"
    assert crash["service"] == "test"


def test_bad_settings_are_named_without_a_trace_and_exit_2() -> None:
    with start(TIDEMILL_TEST_TYPO="x") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "TIDEMILL_TEST_MODE: is required" in errors
    assert "TIDEMILL_TEST_TYPO" in errors
    assert "Traceback" not in errors


async def test_work_that_is_under_way_when_it_is_time_to_stop_is_given_up() -> None:
    stop, ended = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return "done"

    doing = asyncio.create_task(unless_told(stop, work()))
    await asyncio.sleep(0)
    stop.set()
    assert await doing is None
    assert ended.is_set()


async def test_work_that_ends_or_fails_before_it_is_time_to_stop_says_so() -> None:
    async def work(result: str) -> str:
        await asyncio.sleep(0)
        if not result:
            raise KeyError("bug")
        return result

    assert await unless_told(asyncio.Event(), work("done")) == "done"
    with pytest.raises(KeyError, match="bug"):
        await unless_told(asyncio.Event(), work(""))
