"""A share of a core for a process, kept by the kernel: what a container's CPU limit is.

Control groups of version 1 or 2; needs root.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 10_000
"""Who has used up a share stands until the next period: short, so that nothing waits long."""


@contextlib.contextmanager
def limited(pids: Sequence[int], cpus: float) -> Iterator[None]:
    """Give each process, with all of its threads, at most `cpus` cores while the block runs."""
    version_1 = (ROOT / "cpu").is_dir()
    parent = ROOT / "cpu" if version_1 else ROOT
    if not os.access(parent / "cgroup.procs", os.W_OK):
        raise SystemExit(f"a limit needs control groups: cannot write {parent}")
    quota = round(cpus * PERIOD_US)
    with contextlib.ExitStack() as undo:
        if not version_1:
            (parent / "cgroup.subtree_control").write_text("+cpu")
        for pid in pids:
            group = parent / f"tidemill-bench-{pid}"
            group.mkdir()
            undo.callback(group.rmdir)
            if version_1:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))
            undo.callback(_leave, parent, pid)
        yield


def _leave(parent: Path, pid: int) -> None:
    """Put a process back; one that has ended left by itself."""
    with contextlib.suppress(ProcessLookupError):
        (parent / "cgroup.procs").write_text(str(pid))
