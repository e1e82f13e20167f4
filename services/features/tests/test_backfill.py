"""A view that is built from the archive equals one that saw every event itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tidemill_common.kafka import Record
from tidemill_features.archive import Archive, Piece
from tidemill_features.backfill import archived
from tidemill_features.decoding import decode
from tidemill_features.definitions import StreamWork
from tidemill_features.flushing import PartitionState
from tidemill_tiles.dedupe import IdWindow
from tidemill_tiles.keys import hash_keys
from tidemill_tiles.owner import Owner
from tidemill_tiles.reads import read
from tidemill_tiles.replica import Replica
from tidemill_tiles.verdict import PartitionVerdict

MakeRecord = Callable[..., Record]


def some_records(make_record: MakeRecord) -> list[Record]:
    return [
        make_record(
            offset,
            [
                {"_id": str(offset * row % 7), "user": f"u{row}", "at": 1_000.0 + 400.0 * offset},
                {"_id": f"late{offset}", "user": f"u{row}", "at": 1_000.0 + 90.0 * offset},
            ],
            appended_s=9_000.0 + offset,
        )
        for offset, row in enumerate([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
    ]


@pytest.mark.parametrize("rows", [1, 3, 5, 1_000])
async def test_an_archived_past_gives_the_same_state_and_position(
    visits: StreamWork, make_record: MakeRecord, tmp_path: Path, rows: int
) -> None:
    records = some_records(make_record)
    verdict = PartitionVerdict(IdWindow(visits.spec.dedupe_us), visits.spec.lateness_us)
    view = visits.views[0]
    owners = {one.key: Owner(one.plan, "1") for one in visits.views}
    live = PartitionState(visits, 1, owners, verdict, 0)
    seen = Replica(view.plan)
    for record in (one for one in live.flush(records).log if one[0] is view):
        seen.apply(record[1])

    archive = Archive(str(tmp_path), visits)
    events = decode(visits.spec, visits.schema, records)
    again = PartitionVerdict(IdWindow(visits.spec.dedupe_us), visits.spec.lateness_us)
    found = again.decide(events.ids, events.time_us, events.append_us)
    archive.append([Piece(1, len(records), again.watermark_us, events, found)])

    past = await archived(str(tmp_path), visits, view, 1)
    assert past is not None
    built = Replica(view.plan)
    for log in past.replay(Owner(view.plan, "1"), len(records), rows=rows):
        for value in log:
            built.apply(value)

    assert (built.position, built.watermark_us) == (seen.position, seen.watermark_us)
    assert built.newest_available_us == seen.newest_available_us
    users = hash_keys([b"u0", b"u1", b"u2"])
    for at_s in (2_000, 4_000, 5_400):
        one, other = (
            read(view.plan, [each.table], users, at_s * 1_000_000) for each in (built, seen)
        )
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.status, other.status)


async def test_a_stream_without_an_archive_has_no_past(visits: StreamWork, tmp_path: Path) -> None:
    assert await archived(str(tmp_path), visits, visits.views[0], 0) is None


async def test_an_archive_that_is_ahead_is_replayed_up_to_the_target(
    visits: StreamWork, make_record: MakeRecord, tmp_path: Path
) -> None:
    records, view = some_records(make_record), visits.views[0]
    events = decode(visits.spec, visits.schema, records)
    verdict = PartitionVerdict(IdWindow(visits.spec.dedupe_us), visits.spec.lateness_us)
    found = verdict.decide(events.ids, events.time_us, events.append_us)
    archive = Archive(str(tmp_path), visits)
    archive.append([Piece(1, len(records), verdict.watermark_us, events, found)])
    past = await archived(str(tmp_path), visits, view, 1)
    assert past is not None
    built, seen = Owner(view.plan, "1"), Owner(view.plan, "1")
    live = PartitionState(
        visits,
        1,
        {one.key: seen if one is view else Owner(one.plan, "1") for one in visits.views},
        PartitionVerdict(IdWindow(visits.spec.dedupe_us), visits.spec.lateness_us),
        0,
    )
    for target in (0, 5, 9, len(records)):
        for log in past.replay(built, target, rows=3):
            assert log
        live.flush(records[:target])
        assert max(built.position, 0) == target
        assert built.watermark_us == seen.watermark_us
        users, at_us = hash_keys([b"u0", b"u1", b"u2"]), 5_400 * 1_000_000
        one, other = (read(view.plan, [each.table], users, at_us) for each in (built, seen))
        np.testing.assert_array_equal(one.values, other.values)
