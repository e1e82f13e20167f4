"""The long profile: `python -m tests.chaos [name ...]`; every scenario and mutant by default.

What ran takes the place of what docs/chaos-report.json had of it (all of it, if nothing is named), and
the tables in docs/chaos.md are written anew. Exits 1 at a finding of a scenario, and if a mutant was not found out.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.chaos.faults import Scenario
from tests.chaos.mutants import CONTROL, MUTANTS, caught, plan_of, shared_out
from tests.chaos.plans import SEED, full, smoke
from tests.chaos.report import Report, facts, merged, read, table, write
from tests.chaos.run import perform
from tests.chaos.stage import Stage, staged

DOCS: Final = Path(__file__).parents[2] / "docs"
LAST_RUN: Final = "## The last run"
"""Below it, docs/chaos.md is written by this program."""
MUTANT_PATIENCE_S: Final = 15.0


def main(names: Sequence[str]) -> int:
    """Run what is named and say how it went."""
    began = time.monotonic()
    logging.disable()  # what clients say while their broker is away
    with tempfile.TemporaryDirectory(prefix="tidemill-chaos-") as folder:
        reports = asyncio.run(_all(names, Path(folder)))
    document = DOCS / "chaos-report.json"
    shown = merged(read(document), reports) if names else reports
    write(shown, document)
    page = DOCS / "chaos.md"
    head, _, _ = page.read_text().partition(LAST_RUN)
    said = facts(shown, None if names else time.monotonic() - began)
    page.write_text(f"{head}{LAST_RUN}\n\n{said}\n\n{table(shown)}")
    return 0 if all(_well(one) for one in reports) else 1


async def _all(names: Sequence[str], folder: Path) -> list[Report]:
    """Run scenarios one after another, then in two lanes at once what is no matter of speed."""
    apart = [one.name for one in _scenarios(names) if one.own_lane]
    scenarios = [one for one in _scenarios(names) if not one.own_lane]
    runs: list[Report] = []
    if shared := [one for one in scenarios if not one.parts]:
        async with staged(_made(folder / "shared")) as stage:
            runs += [_said(await perform(stage, one, SEED)) for one in shared]
    for one in scenarios:
        if one.parts:
            async with staged(_made(folder / one.name), one.parts) as stage:
                runs.append(_said(await perform(stage, one, SEED)))
    mutants = [one for one in (CONTROL, *MUTANTS) if not names or one in names]
    lanes = shared_out([*apart, *mutants], SEED)
    told = await asyncio.gather(
        *(_lane(lane, _made(folder / f"lane{number}")) for number, lane in enumerate(lanes))
    )
    return [*runs, *(report for lane in told for report in lane)]


async def _lane(names: Sequence[str], folder: Path) -> list[Report]:
    """Run mutants, and scenarios that mostly wait, on parts of their own."""
    async with staged(folder) as stage:
        return [_said(await _in_lane(stage, one)) for one in names]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


async def _in_lane(stage: Stage, name: str) -> Report:
    plan = plan_of(name, SEED)
    if name not in MUTANTS:
        return await perform(stage, plan, SEED)
    return await perform(stage, plan, SEED, mutant=name, patience_s=MUTANT_PATIENCE_S)


def _scenarios(names: Sequence[str]) -> list[Scenario]:
    known = [*full(), *([smoke()] if "smoke" in names else [])]
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
