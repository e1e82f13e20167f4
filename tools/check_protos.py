"""Check the protos: style, no break against the main branch, generated code up to date."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUF = Path(sys.executable).parent / "buf"
BRANCH = "main"


def main() -> int:
    """Run the three checks, all of them even if one fails."""
    checks = [
        [str(BUF), "lint", "protos"],
        [sys.executable, "tools/generate_protos.py", "--check"],
    ]
    if _has_protos(BRANCH):
        checks.append(
            [str(BUF), "breaking", "protos", "--against", f".git#branch={BRANCH},subdir=protos"]
        )
    failed = [argv for argv in checks if subprocess.run(argv, check=False, cwd=ROOT).returncode]
    for argv in failed:
        print(f"failed: {' '.join(argv[1:])}")
    if not failed:
        print("protos: clean")
    return 1 if failed else 0


def _has_protos(branch: str) -> bool:
    """Whether the branch holds protos: not so in a shallow clone or on a first commit."""
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", branch, "protos/buf.yaml"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return bool(listed.stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
