"""Run every benchmark (or those named) one after another and print a table of the results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NOT_BENCHMARKS = {"__init__", "__main__", "harness", "load"}


def main() -> int:
    """Exit code 1 if a benchmark could not be run; figures are not judged."""
    known = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    names = sys.argv[1:] or known
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False)
        if done.returncode:
            failed.append(name)
    for path in sorted((HERE / "results").glob("*.json")):
        result = json.loads(path.read_text())
        print(f"{path.stem:20} {result.get('reach', ''):45} {result.get('what', '')}")
    for name in failed:
        print(f"{name} could not be run", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
