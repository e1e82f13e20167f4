"""Where each peer lives: a virtual environment or jars of its own, made from pinned versions."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.peers.processes import PeerFailed

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[2] / ".tidemill" / "peers"
JAVA_PEERS = ("kafka_streams", "flink")
STAMP = ".made-from"
HEAP = "-Xmx3g"
# Flink's serialisers and Kafka's client reach into these packages; without them they only warn.
OPENED = ("java.base/java.util", "java.base/java.lang", "java.base/java.time")


def install(name: str) -> None:
    """Make a peer's environment unless it was made from the same inputs; raise PeerFailed."""
    made = made_from(name)
    stamp = ROOT / name / STAMP
    if stamp.is_file() and stamp.read_text() == made:
        return
    shutil.rmtree(ROOT / name, ignore_errors=True)
    (ROOT / name).mkdir(parents=True)
    if name in JAVA_PEERS:
        maven = shutil.which("mvn")
        if maven is None:
            raise PeerFailed("mvn is not on PATH: install Maven with Java 17")
        pom = str(HERE / name / "pom.xml")
        _call([maven, "-q", "-B", "-C", "-f", pom, "package", f"-Dbuild.folder={ROOT / name}"])
    else:
        venv.create(ROOT / name, with_pip=True, symlinks=True)
        pins = ["--no-deps", "-r", str(HERE / name / "requirements.txt")]
        _call([str(python_of(name)), "-m", "pip", "install", "--quiet", *pins])
    stamp.write_text(made)


def made_from(name: str) -> str:
    """Return a digest of everything that a peer's environment is made from."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT / name}".encode())
    if name in JAVA_PEERS:
        files = sorted([*(HERE / name).rglob("*.java"), *(HERE / "shared").rglob("*.java")])
        files.append(HERE / name / "pom.xml")
    else:
        files = [HERE / name / "requirements.txt"]
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def versions(name: str) -> list[str]:
    """Name what is installed: jars, or pinned packages."""
    if name in JAVA_PEERS:
        return sorted(path.stem for path in (ROOT / name / "jars").glob("*.jar"))
    return (HERE / name / "requirements.txt").read_text().split()


def python_of(name: str) -> Path:
    """Return a peer's interpreter."""
    return ROOT / name / "bin" / "python"


def java(name: str, main: str) -> list[str]:
    """Return the command that starts a peer's program."""
    opened = [f"--add-opens={one}=ALL-UNNAMED" for one in OPENED]
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", HEAP, *opened, quiet, "-cp", f"{ROOT / name / 'jars'}/*", main]


def _call(argv: list[str]) -> None:
    done = subprocess.run(
        argv, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}".strip().splitlines()
        raise PeerFailed(f"cannot be installed: {' | '.join(said[-5:])}")
