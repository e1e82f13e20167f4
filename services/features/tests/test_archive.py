"""The archive keeps every decoded row once, whoever else writes, and reads the same at a cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tidemill.errors import Fenced
from tidemill_common.events import Column
from tidemill_common.kafka import Record
from tidemill_features.archive import Archive, Piece, read
from tidemill_features.decoding import decode
from tidemill_features.definitions import StreamWork

MakeRecord = Callable[..., Record]


def a_piece(work: StreamWork, make_record: MakeRecord, offsets: range, partition: int = 0) -> Piece:
    records = [make_record(n, [{"_id": f"{n}a"}, {"_id": f"{n}b"}]) for n in offsets]
    events = decode(work.spec, work.schema, records)
    verdicts = np.arange(len(events)) % 3
    return Piece(partition, offsets.stop, 77, events, verdicts.astype(np.uint8))


def test_positions_and_watermarks_come_back(
    visits: StreamWork, make_record: MakeRecord, tmp_path: Path
) -> None:
    archive = Archive(str(tmp_path), visits)
    assert archive.position(0) is None
    archive.append([a_piece(visits, make_record, range(3))])
    again = Archive(str(tmp_path), visits)
    assert (again.position(0), again.position(1), again.watermark_us(0)) == (3, None, 77)


def test_a_second_writer_of_the_same_range_is_fenced(
    visits: StreamWork, make_record: MakeRecord, tmp_path: Path
) -> None:
    first, second = Archive(str(tmp_path), visits), Archive(str(tmp_path), visits)
    piece = a_piece(visits, make_record, range(3))
    first.append([piece])
    with pytest.raises(Fenced):
        second.append([piece])
    table = read(str(tmp_path), "visits", Archive(str(tmp_path), visits).version, {0: 3})
    assert table.num_rows == 6


def test_a_cut_shows_only_what_lies_below_it_in_log_order(
    visits: StreamWork, make_record: MakeRecord, tmp_path: Path
) -> None:
    archive = Archive(str(tmp_path), visits)
    archive.append([a_piece(visits, make_record, range(2, 4), 1)])
    archive.append(
        [a_piece(visits, make_record, range(3)), a_piece(visits, make_record, range(4, 6), 1)]
    )
    table = read(str(tmp_path), "visits", archive.version, {0: 2, 1: 5})
    places = list(
        zip(*(table[name].to_pylist() for name in ("_partition", "_offset", "_row")), strict=True)
    )
    assert places == sorted(places)
    assert {(p, o) for p, o, _ in places} == {(0, 0), (0, 1), (1, 2), (1, 3), (1, 4)}


def test_joining_files_changes_no_row(
    visits: StreamWork, make_record: MakeRecord, tmp_path: Path
) -> None:
    archive = Archive(str(tmp_path), visits)
    for n in range(5):
        archive.append([a_piece(visits, make_record, range(n, n + 1))])
    before = read(str(tmp_path), "visits", archive.version, {0: 5})
    archive._commits = 64
    archive.tidy()
    archive.append([a_piece(visits, make_record, range(5, 6))])
    after = read(str(tmp_path), "visits", archive.version, {0: 5})
    assert before.equals(after)


def test_a_field_that_came_later_is_missing_in_older_rows_from_the_moment_it_is_declared(
    visits: StreamWork, make_record: MakeRecord, tmp_path: Path
) -> None:
    older = Archive(str(tmp_path), visits)
    older.append([a_piece(visits, make_record, range(2))])
    later = Column("later", "float64")
    spec = replace(visits.spec, columns=(*visits.spec.columns, later))
    archive = Archive(str(tmp_path), replace(visits, spec=spec))
    table = read(str(tmp_path), "visits", archive.version, {0: 2})
    assert table["later"].to_pylist() == [None] * 4
    again = Archive(str(tmp_path), replace(visits, spec=spec))
    assert again.version == archive.version
