"""A training set is what serving would have answered, and the same whenever it is built."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition
from tidemill_common.kafka import Record
from tidemill_features.archive import Archive, Piece
from tidemill_features.decoding import decode
from tidemill_features.definitions import Work
from tidemill_features.rowhash import row_hash
from tidemill_features.scan import ArchiveScan
from tidemill_features.spine import Exclusion
from tidemill_features.trainingset import Built, Means, Wanted, build, profile_of, streams_of
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.verdict import PartitionVerdict

SECOND = 1_000_000
Row = dict[str, Any]


class Past:
    """An archive that is written from rows, and read at a cut."""

    def __init__(self, root: Path, work: Work) -> None:
        self.root, self.work = str(root / "archive"), work
        self.folder = root
        self.archives = {name: Archive(self.root, one) for name, one in work.streams.items()}
        self.ends = dict.fromkeys(work.streams, 0)
        self.verdicts = {
            name: PartitionVerdict(IdWindow(one.spec.dedupe_us), one.spec.lateness_us)
            for name, one in work.streams.items()
        }

    def add(
        self, stream: str, batches: Sequence[Sequence[Row]], encode: Callable[..., bytes]
    ) -> None:
        """Append one record per batch, and archive it."""
        work, first = self.work.streams[stream], self.ends[stream]
        records = [
            Record(
                work.topic,
                0,
                first + n,
                10_000_000 + first + n,
                None,
                encode(work.schema, rows),
                (),
            )
            for n, rows in enumerate(batches)
        ]
        events = decode(work.spec, work.schema, records)
        verdict = self.verdicts[stream]
        found = verdict.decide(events.ids, events.time_us, events.append_us)
        self.ends[stream] = first + len(records)
        piece = Piece(0, self.ends[stream], verdict.watermark_us, events, found)
        self.archives[stream].append([piece])

    def build(
        self,
        project: project_pb2.Project,
        cut: dict[str, int] | None = None,
        chunk_rows: int = 1_000,
        **more: Any,
    ) -> TrainingSet:
        """Build the training set of `buys`."""
        ends = cut or dict(self.ends)
        written: list[pa.Table] = []

        def scan(stream: str) -> ArchiveScan:
            version = self.archives[stream].version
            return ArchiveScan(self.root, stream, version, {0: ends[stream], 1: 0}, self.folder)

        means = Means(self.folder, chunk_rows=chunk_rows)
        wanted = Wanted(project, "buys", **more)
        built = build(wanted, scan, means, written.append, lambda *_: None)
        profile, _ = profile_of(wanted, scan, self.folder, built)
        return TrainingSet(pa.concat_tables(written), built, profile)


@dataclass(frozen=True)
class TrainingSet:
    """Rows and what was said of them."""

    table: pa.Table
    built: Built
    profile: dict[str, Any]

    @property
    def row_hash(self) -> str:
        """The content hash of the rows."""
        return row_hash(self.table)


@pytest.fixture
def past(work: Work, tmp_path: Path) -> Past:
    return Past(tmp_path, work)


@pytest.fixture
def encode() -> Callable[..., bytes]:
    from tidemill_common import events

    def encoded(schema: pa.Schema, rows: Sequence[Row]) -> bytes:
        filled = []
        for row in rows:
            at: float = row["at"]
            known: float = row.get("known", at)
            wanted: float = row.get("wanted", at)
            filled.append(
                {
                    "_id": row["id"],
                    "_source": "test",
                    "_time": round(at * SECOND),
                    "_available": round(known * SECOND),
                    "wanted_at": round(wanted * SECOND),
                    "user": row["user"],
                    "country": row.get("country"),
                    "home": row.get("home"),
                    "amount": row.get("amount", 1.0),
                    "paid": row.get("paid"),
                }
            )
        return events.encode(pa.RecordBatch.from_pylist(filled, schema=schema))

    return encoded


def a_visit(number: int, at: float, **more: Any) -> Row:
    return {"id": f"v{number}", "user": "u1", "at": at, **more}


def an_order(number: int, at: float, **more: Any) -> Row:
    return {"id": f"o{number}", "user": "u1", "at": at, "paid": 20.0, **more}


def some_history(seed: int) -> tuple[list[list[Row]], list[list[Row]]]:
    """Visits and orders of a few users over three hours, some of them late to be known."""
    chance = random.Random(seed)
    visits, orders = [], []
    for n in range(60):
        at = 100_000.0 + chance.randrange(10_800)
        user = f"u{chance.randrange(3)}"
        known = at + chance.choice([0, 0, 0, 30, 900])
        row = a_visit(n, at, known=known, wanted=known + chance.choice([0, 60, 600]), user=user)
        row |= {"country": chance.choice(["NL", "DE", None]), "amount": chance.randrange(500) / 100}
        visits.append(row)
        orders.append(an_order(n, at + 1_200, user=user, paid=float(chance.randrange(21))))
    visits.sort(key=lambda row: row["known"])
    orders.sort(key=lambda row: row["at"])
    return [visits[n : n + 7] for n in range(0, 60, 7)], [
        orders[n : n + 7] for n in range(0, 60, 7)
    ]


def naive(visits: list[Row], user: str, moment: float, span: float, hop: float) -> list[Row]:
    """The events of a user that were known before a moment and lie in the window's tiles."""
    head = -(-moment // hop)
    found = []
    for row in visits:
        at: float = row["at"]
        known: float = row.get("known", at)
        tile = -(-min(at, known) // hop)
        if row["user"] == user and known < moment and head - span / hop < tile <= head:
            found.append(row)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_features_are_what_a_plain_recomputation_says(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes], seed: int
) -> None:
    visits, orders = some_history(seed)
    past.add("visits", visits, encode)
    past.add("orders", orders, encode)
    built = past.build(project, unlabelled=True)
    flat = [row for rows in visits for row in rows]
    assert built.table.num_rows == len(flat)
    for row in built.table.to_pylist():
        moment = row["_time"].timestamp()
        recent = naive(flat, row["_spine_key"], moment, 600, 10)
        hour = naive(flat, row["_spine_key"], moment, 3_600, 10)
        if not hour:
            assert np.isnan(row["users__count_1h"])
            continue
        assert row["users__count_10m"] == len(recent)
        assert row["users__count_1h"] == len(hour)
        cents = sum(round(one["amount"] * 100) for one in hour)
        assert round(row["users__sum_amount_1h"] * 100) == cents
        assert row["share"] == len(recent) / len(hour)


def test_an_event_that_was_not_known_at_the_moment_is_never_seen(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    rows = [
        a_visit(1, 1_000.0, known=1_000.0, wanted=2_000.0),  # asks at 2,000
        a_visit(2, 1_500.0, known=2_000.0, wanted=9_000.0),  # known at that very time
        a_visit(3, 1_500.0, known=2_001.0, wanted=9_000.0),  # known a second later
        a_visit(4, 9_999.0, known=1_800.0, wanted=9_000.0),  # dated in the future
    ]
    past.add("visits", [rows], encode)
    past.add("orders", [[an_order(1, 2_500.0)]], encode)
    row = past.build(project, unlabelled=True).table.to_pylist()[0]
    assert row["_spine_id"] == "v1"
    assert row["users__count_1h"] == 2  # itself, and the one dated ahead, at the time it was known


def test_a_repeat_has_the_same_hash_also_after_late_events(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    visits, orders = some_history(9)
    past.add("visits", visits, encode)
    past.add("orders", orders, encode)
    cut = dict(past.ends)
    first = past.build(project, cut)
    late = [a_visit(n + 900, 100_000.0 + 60 * n, wanted=105_000.0) for n in range(20)]
    past.add("visits", [late], encode)
    past.add("orders", [[an_order(900, 100_500.0, paid=1.0)]], encode)
    again, later = past.build(project, cut), past.build(project)
    assert again.row_hash == first.row_hash
    assert again.table.num_rows == first.table.num_rows
    assert later.row_hash != first.row_hash


def test_rows_are_worked_on_in_small_pieces_however_many_labels_wait(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    visits, orders = some_history(9)
    past.add("visits", visits, encode)
    past.add("orders", orders, encode)
    whole = past.build(project, unlabelled=True)
    built = past.build(project, chunk_rows=4, unlabelled=True)
    assert max(len(piece) for piece in built.table["_spine_id"].chunks) == 4
    assert built.row_hash == whole.row_hash


def test_duplicates_count_once_and_make_one_row(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    rows = [a_visit(1, 1_000.0, wanted=1_500.0), a_visit(1, 1_000.0, wanted=1_500.0)]
    past.add("visits", [rows, rows], encode)
    past.add("orders", [[an_order(1, 2_000.0)]], encode)
    (row,) = past.build(project).table.to_pylist()
    assert row["users__count_1h"] == 1
    assert row["_label"] == 1.0


def test_a_declared_delay_hides_the_newest_events(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    rows = [a_visit(1, 1_000.0, wanted=1_500.0), a_visit(2, 1_490.0, wanted=9_000.0)]
    past.add("visits", [rows], encode)
    past.add("orders", [[an_order(1, 2_000.0)]], encode)
    sharp = past.build(project).table.to_pylist()[0]
    delayed = past.build(project, delay_us=60 * SECOND).table.to_pylist()[0]
    assert (sharp["users__count_1h"], delayed["users__count_1h"]) == (2, 1)


def test_columns_are_the_models_inputs_in_their_frozen_order(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    past.add("visits", [[a_visit(1, 1_000.0)]], encode)
    past.add("orders", [[an_order(1, 2_000.0)]], encode)
    assert past.build(project).table.column_names == [
        *("_spine_id", "_spine_key", "_time", "_label", "_label_time"),
        *("users__count_10m", "users__count_1h", "users__sum_amount_1h"),
        *("countries__mean_amount_1h", "home__mean_amount_1h", "share", "amount", "country"),
    ]


def test_a_view_is_read_for_another_entity_under_its_alias(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    rows = [
        a_visit(1, 1_000.0, country="NL", amount=2.0, wanted=9_000.0),
        a_visit(2, 1_000.0, country="DE", amount=8.0, wanted=9_000.0),
        a_visit(3, 1_000.0, country="NL", home="DE", amount=4.0, wanted=1_500.0),
    ]
    past.add("visits", [rows], encode)
    past.add("orders", [[an_order(1, 2_000.0)]], encode)
    (row,) = past.build(project).table.to_pylist()
    assert row["countries__mean_amount_1h"] == 3.0
    assert row["home__mean_amount_1h"] == 8.0


def test_the_profile_leaves_out_what_is_excluded(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    rows = [a_visit(n, 1_000.0 + n, amount=float(n), country="NL") for n in range(100)]
    past.add("visits", [rows], encode)
    past.add("orders", [[an_order(1, 2_000.0)]], encode)
    span = Exclusion(1_050 * SECOND, 1_100 * SECOND)
    profile = past.build(project, exclusions=[span]).profile
    fields = {one["name"]: one for one in profile["fields"]}
    assert sum(fields["visits.amount"]["counts"]) == 50
    assert fields["visits.amount"]["high"] < 50
    assert fields["visits.country"]["values"] == ["NL"]
    assert "visits.user" not in fields


def test_no_labelled_row_is_an_error_that_says_what_to_do(
    past: Past, project: project_pb2.Project, encode: Callable[..., bytes]
) -> None:
    past.add("visits", [[a_visit(1, 1_000.0)]], encode)
    past.add("orders", [[an_order(1, 900.0)]], encode)
    with pytest.raises(FailedPrecondition, match="no row of visits with a label"):
        past.build(project)


def test_it_reads_the_streams_of_spine_label_and_views(project: project_pb2.Project) -> None:
    assert streams_of(project, "buys") == ("visits", "orders")
