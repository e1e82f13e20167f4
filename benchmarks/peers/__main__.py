"""Measure Tidemill beside its peers: `make bench-peers`, with ARGS for rows, peers and sizes.

Each row's figures go to benchmarks/results/peers-<row>.json, then the tables of docs/benchmarks.md
are written anew from all results there are.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks.harness import write
from benchmarks.peers import row_freshness, row_training_sets, row_windows, tables
from benchmarks.peers.rounds import Figures

ROWS: dict[str, tuple[tuple[str, ...], Callable[..., Figures]]] = {
    "windows": (row_windows.NAMES, row_windows.measure),
    "freshness": (row_freshness.NAMES, row_freshness.measure),
    "training-sets": (row_training_sets.NAMES, row_training_sets.measure),
}


def main() -> int:
    """Exit code 2 for names that nobody has."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make bench-peers")
    parser.add_argument("--rows", default=",".join(ROWS), help="default: %(default)s")
    parser.add_argument("--peers", default="", help="default: everybody who takes part in a row")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of every number of events")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds for one run")
    options = parser.parse_args()
    rows = options.rows.split(",")
    peers = set(filter(None, options.peers.split(",")))
    known = {name for names, _ in ROWS.values() for name in names}
    if unknown := (set(rows) - ROWS.keys()) | (peers - known):
        parser.error(
            f"no row or peer {', '.join(sorted(unknown))}; there are rows"
            f" {', '.join(ROWS)} and peers {', '.join(sorted(known))}"
        )
    for row in rows:
        names, measure = ROWS[row]
        begun = time.monotonic()
        chosen = [name for name in names if not peers or name in peers]
        if not chosen:
            continue
        figures = measure(chosen, options.rounds, options.scale, options.limit, _say)
        took = {"scale": options.scale, "took_seconds": round(time.monotonic() - begun)}
        write(f"peers-{row}", {**figures, **took})
    tables.write_all()
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
