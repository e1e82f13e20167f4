"""Install the parts of the local stack: Kafka and Zipkin by Maven, Triton in its own environment.

Each part is stamped, last of all, with the hash of what it was made from: a second install does
nothing, one that broke off starts anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tidemill_local import kafka_archive
from tidemill_local.errors import LocalError
from tidemill_local.layout import POM, PYTHON_MINOR, TRITON_REQUIREMENTS, Parts

STAMP = ".made-from"


def install(parts: Parts, say: Callable[[str], None]) -> None:
    """Make every part that is missing or made from other inputs."""
    parts.root.mkdir(parents=True, exist_ok=True)
    with (parts.root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install_locked(parts, say)


def _install_locked(parts: Parts, say: Callable[[str], None]) -> None:
    if not all(_is_current(parts.root / name, _jars_inputs()) for name in ("kafka", "zipkin")):
        say("installing Apache Kafka and Zipkin (Maven)")
        _install_jars(parts)
    if not _is_current(parts.triton, _triton_inputs()):
        say("installing Triton (its own environment)")
        _install_triton(parts)


def missing(parts: Parts) -> list[str]:
    """Name the parts that are not there or are made from other inputs."""
    wanted = {"kafka": _jars_inputs(), "zipkin": _jars_inputs(), "triton": _triton_inputs()}
    return [name for name, made in wanted.items() if not _is_current(parts.root / name, made)]


def _jars_inputs() -> str:
    return hashlib.sha256(POM.read_bytes() + b" with mapped classes").hexdigest()


def _triton_inputs() -> str:
    made = TRITON_REQUIREMENTS.read_bytes() + f"{PYTHON_MINOR} {platform.machine()}".encode()
    return hashlib.sha256(made).hexdigest()


def _is_current(folder: Path, made_from: str) -> bool:
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text().strip() == made_from


def _install_jars(parts: Parts) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise LocalError("mvn is not on PATH: install Maven (with Java 17), then run this again")
    with _scratch(parts.root) as scratch:
        _run([maven, "-q", "-B", "-C", "-f", str(POM), "package", f"-Dparts={scratch}"])
        for name in ("kafka", "zipkin"):
            _put(scratch / name, parts.root / name)
    with _scratch(parts.root) as scratch:
        kafka_archive.dump(parts, scratch)
    for name in ("kafka", "zipkin"):
        (parts.root / name / STAMP).write_text(_jars_inputs())


def _install_triton(parts: Parts) -> None:
    if platform.machine() not in {"x86_64", "aarch64"} or sys.platform != "linux":
        raise LocalError("Triton's wheel exists for Linux only: set TIDEMILL_TRITON to a server")
    # An environment does not survive being renamed (its scripts name its folder), so it is made
    # in place; the stamp, written last, says that it is complete.
    shutil.rmtree(parts.triton, ignore_errors=True)
    venv.create(parts.triton, with_pip=True, symlinks=True)
    requirements = ["--no-deps", "-r", str(TRITON_REQUIREMENTS)]
    _run([str(parts.triton_python), "-m", "pip", "install", "--quiet", *requirements])
    _lay_out_backend(parts)
    (parts.triton / STAMP).write_text(_triton_inputs())


def _lay_out_backend(parts: Parts) -> None:
    server = parts.tritonserver.parent.parent
    backend = parts.triton_backends / "python"
    shutil.copytree(server / "backends" / "python", backend)
    stub = server / "python_backend_stubs" / PYTHON_MINOR / "triton_python_backend_stub"
    shutil.copy2(stub, backend / stub.name)
    for program in (backend / stub.name, parts.tritonserver):
        program.chmod(0o755)


@contextmanager
def _scratch(root: Path) -> Iterator[Path]:
    folder = Path(mkdtemp(prefix=".installing-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put(made: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    made.rename(target)


def _run(argv: list[str]) -> None:
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}".strip()
        raise LocalError(f"{' '.join(argv)} failed with exit code {done.returncode}:\n{said}")
