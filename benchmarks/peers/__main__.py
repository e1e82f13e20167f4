"""Measure Tidemill beside its peers: `make bench-peers`, with ARGS for rows, peers and sizes.

Each row's figures go to benchmarks/results/peers-<row>.json, beside those of participants that were
not run this time, then the tables of docs/benchmarks.md are written anew from all there are.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from datetime import UTC, datetime
from functools import partial
from types import ModuleType

from benchmarks.harness import RESULTS, machine, write
from benchmarks.peers import row_freshness, row_reads, row_training_sets, row_windows, tables
from benchmarks.peers.rounds import Figures

ROWS: dict[str, ModuleType] = {
    "windows": row_windows,
    "freshness": row_freshness,
    "reads": row_reads,
    "training-sets": row_training_sets,
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
    # A stopped run must end what it started: SIGTERM becomes an exit that unwinds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = options.rows.split(",")
    peers = set(filter(None, options.peers.split(",")))
    known = {name for row in ROWS.values() for name in row.NAMES}
    if unknown := (set(rows) - ROWS.keys()) | (peers - known):
        parser.error(
            f"no row or peer {', '.join(sorted(unknown))}; there are rows"
            f" {', '.join(ROWS)} and peers {', '.join(sorted(known))}"
        )
    for row in rows:
        chosen = [name for name in ROWS[row].NAMES if not peers or name in peers]
        if chosen:
            keep = partial(_keep, row, time.monotonic(), options.scale)
            ROWS[row].measure(chosen, options.rounds, options.scale, options.limit, keep)
    tables.write_all()
    return 0


def _keep(row: str, begun: float, scale: float, found: dict[str, Figures]) -> None:
    """Write what was found; who did not take part this time keeps the figures of this machine."""
    path = RESULTS / f"peers-{row}.json"
    earlier = json.loads(path.read_text()) if path.is_file() else {}
    known = earlier["participants"] if earlier.get("machine") == machine() else {}
    for one in known.values():
        one.setdefault("measured", earlier["measured"])
        one.setdefault("scale", earlier["scale"])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    fresh = {name: {**one, "measured": now, "scale": scale} for name, one in found.items()}
    known |= fresh
    people = {name: known[name] for name in ROWS[row].NAMES if name in known}
    took = {"scale": scale, "took_seconds": round(time.monotonic() - begun)}
    write(f"peers-{row}", {**ROWS[row].ABOUT, **took, "participants": people}, quiet=True)


if __name__ == "__main__":
    sys.exit(main())
