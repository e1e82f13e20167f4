"""The local stack from the command line: `python -m tidemill_local install|up|down|status`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tidemill_local import stack_file
from tidemill_local.errors import LocalError
from tidemill_local.identity import end_leftovers, wait_until_gone
from tidemill_local.install import install
from tidemill_local.layout import Data, Parts, default_parts
from tidemill_local.services import NAMES
from tidemill_local.stack import START_LIMIT_S, Stack
from tidemill_local.stack_file import StackState, StackView

DEFAULT_DATA = ".tidemill"
STOP_LIMIT_S = 60.0
LEFTOVER_GRACE_S = 10.0
POLL_S = 0.2


def main(argv: list[str] | None = None) -> int:
    """Run one command; exit code 1 and one line on standard error if it cannot be done."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:  # a folder that cannot be made, a file that cannot be written
        print(f"error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tidemill_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install Kafka, Zipkin and Triton, if they are missing")
    up = commands.add_parser("up", help="start the stack and stay until Ctrl-C or `down`")
    up.add_argument("--services", help=f"comma-separated, of {', '.join(NAMES)}; '' for none")
    up.add_argument("--detach", action="store_true", help="return when it is up, leave it running")
    down = commands.add_parser("down", help="stop the stack")
    down.add_argument("--quiet", action="store_true", help="say nothing if there is none")
    status = commands.add_parser("status", help="what runs, where, and which log to read")
    status.add_argument("--json", action="store_true", help="print stack.json")
    for command in (up, down, status):
        command.add_argument(
            "--data",
            type=Path,
            default=Path(DEFAULT_DATA),
            help="folder of the stack (%(default)s)",
        )
    return parser


def _run(arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "install":
            install(Parts(default_parts()), print)
            return 0
        case "up" if arguments.detach:
            return _up_detached(Data(arguments.data.resolve()), arguments.services)
        case "up":
            return asyncio.run(_up(arguments.data, _names(arguments.services)))
        case "down":
            return _down(Data(arguments.data.resolve()), quiet=arguments.quiet)
        case _:
            return _status(Data(arguments.data.resolve()), as_json=arguments.json)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name for name in text.split(",") if name]


async def _up(data: Path, services: list[str] | None) -> int:
    """Run the stack in this process until SIGINT or SIGTERM; a second one kills what is left."""
    stop = asyncio.Event()
    stack = Stack(data, default_parts(), services=services, say=_say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: stack.abort() if stop.is_set() else stop.set())
    starting = asyncio.create_task(stack.start())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return 130
    starting.result()
    _say(f"ready: addresses, pids and logs are in {stack.data.stack_file}")
    if zipkin := stack.environment.get("TIDEMILL_ZIPKIN"):
        _say(f"traces: {zipkin}/zipkin/")
    await stopped
    _say("stopping")
    await stack.stop()
    return 0


def _up_detached(data: Data, services: str | None) -> int:
    """Start `up` in a session of its own and wait until it is ready or has ended."""
    data.logs.mkdir(parents=True, exist_ok=True)
    chosen = [] if services is None else [f"--services={services}"]
    log = data.log("supervisor")
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "tidemill_local", "up", f"--data={data.root}", *chosen],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        view = stack_file.read(data.stack_file)
        ours = (
            view is not None
            and view.supervisor is not None
            and view.supervisor.pid == supervisor.pid
        )
        if supervisor.poll() is not None:
            raise LocalError(_error_in(log))
        if view is not None and ours and view.state in {StackState.READY, StackState.DEGRADED}:
            print(log.read_text(), end="")
            return 0
        time.sleep(POLL_S)
    raise LocalError(f"not ready after {START_LIMIT_S:.0f} s: see {log}")


def _error_in(log: Path) -> str:
    """Find what a supervisor said before it ended."""
    _, found, said = log.read_text().partition("error: ")
    return said.strip() if found else f"the supervisor ended, see {log}"


def _down(data: Data, *, quiet: bool) -> int:
    """Stop by the supervisor; if that is gone, end what it left behind."""
    view = stack_file.read(data.stack_file)
    if view is None or (not view.is_supervised and not any(_alive(view))):
        if not quiet:
            print(f"no stack runs in {data.root}")
        return 0
    if view.supervisor is not None and view.is_supervised:
        os.kill(view.supervisor.pid, signal.SIGTERM)
        if not wait_until_gone([view.supervisor], STOP_LIMIT_S):
            raise LocalError(f"the supervisor {view.supervisor.pid} does not end: see {data.logs}")
    left = end_leftovers((stack_file.read(data.stack_file) or view).leftovers, LEFTOVER_GRACE_S)
    print("stopped" if not left else f"stopped; ended {left} processes left behind")
    return 0


def _alive(view: StackView) -> list[bool]:
    return [one.is_alive() for one in view.leftovers]


def _status(data: Data, *, as_json: bool) -> int:
    """Print the state; exit code 3 if no stack runs."""
    view = stack_file.read(data.stack_file)
    runs = view is not None and view.is_supervised
    if as_json:
        print(json.dumps(stack_file.to_json(view) if view is not None else {"state": "none"}))
    elif view is None or not runs:
        print(f"no stack runs in {data.root}")
    else:
        print(f"{view.state.value} in {data.root}")
        for one in view.processes:
            number = one.identity.pid if one.identity is not None else "-"
            print(f"  {one.name:20} {one.state.value:10} pid {number!s:8} {one.message}")
    return 0 if runs else 3


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
