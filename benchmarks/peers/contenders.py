"""Who takes part in the windowed row, and how each was configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.peers.environments import java, python_of
from benchmarks.peers.expected import Row, merged
from benchmarks.peers.workload import HOP_MS, Workload

HERE = Path(__file__).parent
KS_COMMIT_MS = 100
FLINK_CHECKPOINT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a peer is given."""

    kafka: str
    topic: str
    output: str
    group: str
    folder: Path
    load: Workload

    @property
    def results(self) -> Path:
        """The file of a peer that writes its values itself."""
        return self.folder / "results.csv"

    def options(self, **more: object) -> list[str]:
        """Arguments that every peer's program takes."""
        named = {
            "bootstrap": self.kafka,
            "topic": self.topic,
            "output": self.output,
            "group": self.group,
            "state": self.folder / "state",
            "results": self.results,
            "records": self.load.records,
            "keys": self.load.keys,
            "end-ms": self.load.end_ms,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        return [text for name, value in named.items() for text in (f"--{name}", str(value))]


@dataclass(frozen=True, slots=True)
class Contender:
    """A peer in one of its modes."""

    name: str
    environment: str
    argv: Callable[[Run], list[str]]
    how: str
    readable: str
    rows: Callable[[Workload, list[bytes], Path], Iterable[Row]]
    events: int
    exactly_once: bool = True


def _csv(lines: Iterable[str]) -> Iterator[tuple[Row, int]]:
    for line in lines:
        key, minutes, *values = line.split(",")
        end = int(values[6]) if len(values) > 6 else 0
        yield (key, int(minutes), tuple(float(one) for one in values[:6])), end


def from_file(_: Workload, __: list[bytes], results: Path) -> Iterable[Row]:
    """Values that the peer read from its own state."""
    return [row for row, _ in _csv(results.read_text().splitlines())]


def from_rows(load: Workload, output: list[bytes], _: Path) -> Iterable[Row]:
    """Values of the output topic, as of the end."""
    return [row for row, end in _csv(one.decode() for one in output) if end == load.end_ms]


def from_windows(load: Workload, output: list[bytes], _: Path) -> Iterable[Row]:
    """Windows of the output topic as JSON, those that end at the end."""
    return [
        (one["key"], one["minutes"], tuple(one["values"]))
        for one in map(orjson.loads, output)
        if one["start"] + one["minutes"] * 60_000 == load.end_ms
    ]


def from_panes(load: Workload, output: list[bytes], _: Path) -> Iterable[Row]:
    """Panes of the output topic as JSON, merged by the reader."""
    panes = [(one["key"], one["start"], tuple(one["values"])) for one in map(orjson.loads, output)]
    return merged(panes, load.end_ms, HOP_MS)


def _kafka_streams(mode: str) -> Callable[[Run], list[str]]:
    return lambda run: [
        *java("kafka_streams", "peers.Windows"),
        *run.options(mode=mode, commit_ms=KS_COMMIT_MS),
    ]


def _flink(mode: str) -> Callable[[Run], list[str]]:
    return lambda run: [
        *java("flink", "peers.Windows"),
        *run.options(mode=mode, commit_ms=FLINK_CHECKPOINT_MS),
    ]


def _python(name: str, mode: str) -> Callable[[Run], list[str]]:
    return lambda run: [
        str(python_of(name)),
        str(HERE / name / "windows.py"),
        *run.options(mode=mode),
    ]


CONTENDERS = (
    Contender(
        "kafka-streams-hopping",
        "kafka_streams",
        _kafka_streams("hopping"),
        "exactly-once-v2, commit every 100 ms, 3 hopping windows advancing by 5 minutes, RocksDB"
        " stores with changelogs, 512 MiB cache, 2 threads",
        "interactive queries, at once",
        from_file,
        20_000,
    ),
    Contender(
        "kafka-streams-panes",
        "kafka_streams",
        _kafka_streams("panes"),
        "as kafka-streams-hopping with one tumbling window of 5 minutes; a query merges its panes",
        "interactive queries, at once",
        from_file,
        1_000_000,
    ),
    Contender(
        "flink-sliding",
        "flink",
        _flink("sliding"),
        "local cluster, parallelism 2, heap state, exactly-once checkpoints to disk every 10 s,"
        " transactional sink, 3 sliding windows",
        "output topic, when a 5-minute hop ends and the next checkpoint is done",
        from_rows,
        20_000,
    ),
    Contender(
        "flink-panes",
        "flink",
        _flink("panes"),
        "as flink-sliding; 5-minute panes in map state per key, merged by a timer at a hop's end",
        "output topic, when a 5-minute hop ends and the next checkpoint is done",
        from_rows,
        1_000_000,
    ),
    Contender(
        "flink-tumbling",
        "flink",
        _flink("tumbling"),
        "as flink-sliding; a tumbling window of 5 minutes alone; the reader merges its panes",
        "none of the three windows: the reader merges the output topic's panes",
        lambda load, output, _: merged(
            [(row[0], end - HOP_MS, row[2]) for row, end in _csv(one.decode() for one in output)],
            load.end_ms,
            HOP_MS,
        ),
        1_000_000,
    ),
    Contender(
        "quix-hopping",
        "quix",
        _python("quix", "hopping"),
        "exactly-once, commit every 5 s (default), 3 hopping windows stepping by 5 minutes",
        "output topic, when a window closes and the next commit is done",
        from_windows,
        1_000,
    ),
    Contender(
        "quix-panes",
        "quix",
        _python("quix", "panes"),
        "as quix-hopping with a tumbling window of 5 minutes; the reader merges panes",
        "output topic, when a 5-minute pane closes; the reader merges panes",
        from_panes,
        50_000,
    ),
    Contender(
        "bytewax-sliding",
        "bytewax",
        _python("bytewax", "sliding"),
        "recovery store, snapshot every 10 s, 3 sliding windows; its Kafka sink is at-least-once",
        "output topic, when a window closes",
        from_windows,
        2_000,
        exactly_once=False,
    ),
    Contender(
        "bytewax-panes",
        "bytewax",
        _python("bytewax", "panes"),
        "as bytewax-sliding with a tumbling window of 5 minutes; the reader merges panes",
        "output topic, when a 5-minute pane closes; the reader merges panes",
        from_panes,
        50_000,
        exactly_once=False,
    ),
    Contender(
        "faust-hopping",
        "faust",
        _python("faust", "hopping"),
        "3 hopping tables with changelogs, in memory; at-least-once: its exactly-once mode loses"
        " and repeats events",
        "the worker's own tables",
        from_file,
        500,
        exactly_once=False,
    ),
    Contender(
        "faust-panes",
        "faust",
        _python("faust", "panes"),
        "as faust-hopping with a tumbling table of 5 minutes; the reader merges panes",
        "the worker's own tables; the reader merges panes",
        from_file,
        20_000,
        exactly_once=False,
    ),
)
