"""The long profile: `python -m tests.chaos [scenario ...]`; every scenario and mutant by default.

Writes docs/chaos-report.json and docs/chaos.md when all of it ran; exits 1 at a finding.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.chaos.mutants import MUTANTS, caught
from tests.chaos.plans import SEED, Scenario, full, mutation, smoke
from tests.chaos.report import Report, table, write
from tests.chaos.run import perform
from tests.chaos.stage import Stage, staged

DOCS: Final = Path(__file__).parents[2] / "docs"
MUTANT_PATIENCE_S: Final = 15.0


def main(names: Sequence[str]) -> int:
    """Run what is named and say how it went."""
    with tempfile.TemporaryDirectory(prefix="tidemill-chaos-") as folder:
        reports = asyncio.run(_all(names, Path(folder)))
    if not names:
        write(reports, DOCS / "chaos-report.json")
        (DOCS / "chaos.md").write_text(table(reports))
    return 0 if all(_well(one) for one in reports) else 1


async def _all(names: Sequence[str], folder: Path) -> list[Report]:
    reports = []
    async with staged(folder) as stage:
        for scenario in _scenarios(names):
            reports.append(_said(await perform(stage, scenario, SEED)))
        for mutant in MUTANTS:
            if not names or mutant in names:
                reports.append(_said(await _mutated(stage, mutant)))
    return reports


async def _mutated(stage: Stage, mutant: str) -> Report:
    return await perform(
        stage, mutation(), SEED, mutant=mutant, patience_s=MUTANT_PATIENCE_S
    )


def _scenarios(names: Sequence[str]) -> list[Scenario]:
    known = [*full(), mutation(), *([smoke()] if "smoke" in names else [])]
    return [one for one in known if not names or one.name in names]


def _well(report: Report) -> bool:
    return caught(report) if report.mutant else report.passed


def _said(report: Report) -> Report:
    print(report.text(), f"  {report.wall_s:.0f} s, {report.rows}", sep="\n", flush=True)
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios and mutants; none: all of them")
    sys.exit(main(parser.parse_args().names))
