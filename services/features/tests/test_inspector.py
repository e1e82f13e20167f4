"""Inquiries are answered from the archive alone, in this process or in one of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition, Invalid, NotFound, Unavailable
from tidemill.features.v1 import feature_service_pb2 as pb
from tidemill_features.building import INSPECTOR, building
from tidemill_features.definitions import StreamWork
from tidemill_features.entityevents import EntityArchive
from tidemill_features.inquiries import Inquiry
from tidemill_features.inspecting import not_negative
from tidemill_features.inspector import answered
from tidemill_features.testing import WrittenArchive

DAY_US = 86_400_000_000
NOW_US = 20_000 * DAY_US
MINUTE_US = 60_000_000


def some_visits(visits: StreamWork, users: list[str], amounts: list[float | None]) -> pa.Table:
    """One visit a minute, the last of them now."""
    count = len(users)
    times = [NOW_US - MINUTE_US * (count - 1 - row) for row in range(count)]
    rows = [
        {
            "_id": f"v{row}",
            "_source": "test",
            "_time": at,
            "_available": at,
            "user": user,
            "country": "NL",
            "wanted_at": at,
            "amount": amount,
        }
        for row, (user, amount, at) in enumerate(zip(users, amounts, times, strict=True))
    ]
    return pa.Table.from_pylist(rows, schema=visits.schema)


@pytest.fixture
def archive(visits: StreamWork, tmp_path: Path) -> WrittenArchive:
    written = WrittenArchive(tmp_path, visits, rows_a_record=2)
    users = ["ada", "bob", "ada", "ada", "bob", "ada"]
    written.add(some_visits(visits, users, [1.0, 2.0, 4.0, None, 16.0, 32.0]), NOW_US)
    return written


def an_inquiry(
    project: project_pb2.Project, archive: WrittenArchive, root: Path, user: str, *features: str
) -> Inquiry:
    request = pb.ExplainFeaturesRequest(
        view="users", entity=pb.EntityKey(fields={"user": user}), features=features
    )
    present = pb.VALUE_STATUS_PRESENT
    return Inquiry(
        kind="explain",
        project=project,
        archive=str(root),
        versions={"visits": archive.version},
        cut={"visits": archive.cut},
        request=request.SerializeToString(),
        at_us=NOW_US,
        watermarks={"visits": [NOW_US, NOW_US]},
        served=pb.EntityValues(values=[4.0, 4.0, 37.0], statuses=[present] * 3),
    )


def test_an_inquiry_comes_out_as_it_went_in(
    project: project_pb2.Project, archive: WrittenArchive, tmp_path: Path
) -> None:
    inquiry = an_inquiry(project, archive, tmp_path, "ada", "count_1h")
    line = inquiry.to_line()
    assert line.count(b"\n") == 1
    assert Inquiry.from_line(line) == inquiry


def test_values_are_explained_from_the_archive(
    project: project_pb2.Project, archive: WrittenArchive, tmp_path: Path
) -> None:
    reply = answered(an_inquiry(project, archive, tmp_path, "ada"))
    assert isinstance(reply, pb.ExplainFeaturesResponse)
    assert reply.agrees
    assert [one.feature for one in reply.features] == ["count_10m", "count_1h", "sum_amount_1h"]
    total = reply.features[2]
    assert [(event.id, event.value) for event in total.events] == [
        ("v0", 1.0),
        ("v2", 4.0),
        ("v5", 32.0),
    ]
    assert dict(total.left_out) == {"no_value": 1}
    places = {(event.partition, event.offset, event.row) for event in total.events}
    assert len(places) == 3


def test_events_beyond_the_cut_do_not_count(
    project: project_pb2.Project, archive: WrittenArchive, tmp_path: Path
) -> None:
    archive.cut = {number: min(1, offset) for number, offset in archive.cut.items()}
    reply = answered(an_inquiry(project, archive, tmp_path, "ada", "sum_amount_1h"))
    assert isinstance(reply, pb.ExplainFeaturesResponse)
    assert not reply.agrees
    assert (reply.features[0].served, reply.features[0].recomputed) == (37.0, 1.0)


def test_an_entity_with_more_events_than_one_answer_reads_is_refused(
    visits: StreamWork, archive: WrittenArchive, tmp_path: Path
) -> None:
    users = next(view for view in visits.views if view.name == "users")
    whole = EntityArchive(str(tmp_path), "visits", archive.version, archive.cut)
    assert len(replace(whole, most=4).events(users, ("ada",))) == 4
    with pytest.raises(FailedPrecondition, match="user=ada has more than 3 events in visits"):
        replace(whole, most=3).events(users, ("ada",))


def a_history(inquiry: Inquiry, **asked: Any) -> pb.GetHistoryResponse:
    entity = pb.EntityKey(fields={"user": "ada"})
    request = pb.GetHistoryRequest(view="users", entity=entity, **asked)
    question = replace(inquiry, kind="history", request=request.SerializeToString())
    reply = answered(question)
    assert isinstance(reply, pb.GetHistoryResponse)
    return reply


def test_a_history_ends_with_what_is_served_and_says_what_it_left_out(
    project: project_pb2.Project, archive: WrittenArchive, tmp_path: Path
) -> None:
    inquiry = an_inquiry(project, archive, tmp_path, "ada")
    whole = a_history(inquiry, max_events=10)
    assert list(whole.rows[-1].values) == [4.0, 4.0, 37.0]
    assert [list(row.values) for row in whole.rows] == [
        [1.0, 1.0, 1.0],
        [2.0, 2.0, 5.0],
        [3.0, 3.0, 5.0],
        [4.0, 4.0, 37.0],
    ]
    assert [event.id for event in whole.events] == ["v0", "v2", "v3", "v5"]
    assert not whole.rows_cut
    part = a_history(inquiry, features=["sum_amount_1h"], limit=2, max_events=1)
    assert [list(row.values) for row in part.rows] == [[5.0], [37.0]]
    assert part.rows_cut
    assert ([event.id for event in part.events], part.events_total) == (["v5"], 3)
    assert not a_history(inquiry).events


@pytest.mark.parametrize(
    "request_",
    [
        pb.ExplainFeaturesRequest(max_events=-1),
        pb.GetHistoryRequest(limit=-1),
        pb.GetHistoryRequest(max_events=-1),
        pb.GetHistoryRequest(every=timedelta(seconds=-1)),
    ],
)
def test_negative_counts_are_refused(
    request_: pb.ExplainFeaturesRequest | pb.GetHistoryRequest,
) -> None:
    with pytest.raises(Invalid, match="is negative"):
        not_negative(request_)


class Long:
    """A job that does not fit into a pipe that nobody reads."""

    def to_line(self) -> bytes:
        return b"x" * (8 << 20) + b"\n"


async def test_a_process_that_ends_without_an_answer_is_away_and_no_bug() -> None:
    async with building("tidemill_features.no_such_module") as process:
        for _ in range(2):
            with pytest.raises(Unavailable, match="no_such_module"):
                async for _ in process.run(Long()):
                    pass


async def test_a_process_of_its_own_answers_and_an_unknown_entity_has_a_near_one(
    project: project_pb2.Project, archive: WrittenArchive, tmp_path: Path
) -> None:
    async with building(INSPECTOR) as process:
        with pytest.raises(NotFound, match="never had an event of user=adda") as refused:
            async for _ in process.run(an_inquiry(project, archive, tmp_path, "adda")):
                pass
        assert refused.value.hint == "did you mean 'user=ada'?"
        steps = [step async for step in process.run(an_inquiry(project, archive, tmp_path, "bob"))]
    (answer,) = steps
    assert isinstance(answer, bytes)
    assert pb.ExplainFeaturesResponse.FromString(answer).features[2].recomputed == 18.0


async def test_a_job_that_a_process_did_not_take_is_given_to_another(
    project: project_pb2.Project, archive: WrittenArchive, tmp_path: Path
) -> None:
    async with building(INSPECTOR) as process:
        await process.warm()
        first = process._process
        assert first is not None
        assert first.stdin is not None
        first.stdin.close()
        inquiry = an_inquiry(project, archive, tmp_path, "bob")
        (answer,) = [step async for step in process.run(inquiry)]
        assert process._process is not first
    assert isinstance(answer, bytes)
    assert pb.ExplainFeaturesResponse.FromString(answer).features[2].recomputed == 18.0
