"""What the commands about one view or entity print, of answers that a server gives."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from tidemill.cli.app import main
from tidemill.definitions.v1 import project_pb2
from tidemill.features.v1 import feature_service_pb2 as pb

PRESENT, NULL = pb.VALUE_STATUS_PRESENT, pb.VALUE_STATUS_NULL
DAY = 86_400


@dataclass
class Answers:
    """Gives prepared answers, and keeps what it was asked."""

    explained: pb.ExplainFeaturesResponse = field(default_factory=pb.ExplainFeaturesResponse)
    course: pb.GetHistoryResponse = field(default_factory=pb.GetHistoryResponse)
    view: pb.DescribeViewResponse = field(default_factory=pb.DescribeViewResponse)
    asked: list[pb.GetHistoryRequest] = field(default_factory=list)

    def handlers(self) -> grpc.GenericRpcHandler:
        def history(request: pb.GetHistoryRequest, _: object) -> pb.GetHistoryResponse:
            self.asked.append(request)
            return self.course

        answer = grpc.unary_unary_rpc_method_handler

        def text(reply: Message) -> bytes:
            return reply.SerializeToString()

        methods = {
            "GetHistory": answer(history, pb.GetHistoryRequest.FromString, text),
            "ExplainFeatures": answer(lambda *_: self.explained, None, text),
            "DescribeView": answer(lambda *_: self.view, None, text),
        }
        name = pb.DESCRIPTOR.services_by_name["FeatureService"].full_name
        return grpc.method_handlers_generic_handler(name, methods)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Answers]:
    prepared = Answers()
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((prepared.handlers(),))
    monkeypatch.setenv("TIDEMILL_FEATURES", f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    server.start()
    yield prepared
    server.stop(None).wait()


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tidemill", "features", *words])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def an_explanation(served: float, recomputed: float) -> pb.ExplainFeaturesResponse:
    one = pb.Explanation(
        feature="sum_1d",
        served=served,
        served_status=PRESENT,
        recomputed=recomputed,
        recomputed_status=PRESENT,
        agrees=served == recomputed,
        tiles_total=3,
        events_total=1,
        left_out={"late": 2},
    )
    tile = one.tiles.add(value=7.5, events=1)
    tile.start.FromSeconds(DAY)
    tile.end.FromSeconds(DAY + 300)
    event = one.events.add(stream="visits", partition=1, offset=4, row=2, id="v9", value=7.5)
    event.event_time.FromSeconds(DAY + 60)
    return pb.ExplainFeaturesResponse(features=[one], agrees=one.agrees)


def test_a_value_is_printed_with_its_tiles_and_events(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.explained = an_explanation(7.5, 7.5)
    assert run(monkeypatch, "explain", "v", "user=ada", "sum_1d") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sum_1d = 7.5"
    assert "tiles (the newest 1 of 3)" in lines
    assert any(line.startswith("1970-01-02 00:00:00  1970-01-02 00:05:00  7.5") for line in lines)
    assert any(line.startswith("v9 ") and "visits/1@4.2" in line for line in lines)
    assert "left out: 2 late" in lines
    assert "adds up  yes, bit for bit" in lines


def test_a_value_that_does_not_add_up_is_said_aloud_and_exits_with_1(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.explained = an_explanation(8.0, 7.5)
    assert run(monkeypatch, "explain", "v", "user=ada", "sum_1d") == 1
    printed = capsys.readouterr()
    assert "but its events make 7.5" in printed.out
    assert "error: sum_1d: served is not what the events make" in printed.err
    assert "docs/runbooks/skew.md" in printed.err
    assert run(monkeypatch, "explain", "v", "user=ada", "--json") == 1
    assert '"agrees": false' in capsys.readouterr().out


def a_course(*values: float, cut: bool = False) -> pb.GetHistoryResponse:
    reply = pb.GetHistoryResponse(features=["since_1d"], rows_cut=cut, events_total=1)
    for hour, value in enumerate(values):
        status = NULL if math.isnan(value) else PRESENT
        row = reply.rows.add(values=[value], statuses=[status])
        row.at.FromMicroseconds(hour * 3_600_000_000 + 1)
    event = reply.events.add(id="v1", stream="visits", verdict=pb.VERDICT_LATE)
    event.event_time.FromSeconds(60)
    return reply


def test_a_history_is_a_row_for_every_change(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.course = a_course(1.0, math.nan, cut=True)
    words = ("--since", "1970-01-01", "--every", "1h", "--limit", "7", "--events", "3")
    assert run(monkeypatch, "history", "v", "user=ada", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["1970-01-01 00:00:00.000001  1", "1970-01-01 01:00:00.000001  null"]
    assert "the newest 2; --limit or --since shows others" in lines
    assert lines[-1].endswith("late")
    (asked,) = answers.asked
    assert (asked.limit, asked.max_events, asked.every.ToSeconds()) == (7, 3, 3_600)
    assert asked.HasField("since")


@pytest.mark.parametrize(
    ("function", "asked"),
    [(project_pb2.FUNCTION_SUM, 1), (project_pb2.FUNCTION_TIME_SINCE_LAST, 2)],
)
def test_a_feature_that_never_stands_still_is_asked_for_at_regular_moments_too(
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    function: project_pb2.Function,
    asked: int,
) -> None:
    answers.course = a_course(1.0, 2.0)
    answers.view.features.add(name="since_1d", function=function)
    assert run(monkeypatch, "plot", "v", "user=ada", "since_1d", "-o", "it.png") == 0
    assert (tmp_path / "it.png").read_bytes().startswith(b"\x89PNG")
    assert len(answers.asked) == asked
    assert [one.every.ToMicroseconds() for one in answers.asked[1:]] == [7_200_000][: asked - 1]


def test_a_picture_into_a_folder_that_is_not_there_is_refused(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.course = a_course(1.0)
    answers.view.features.add(name="since_1d")
    assert run(monkeypatch, "plot", "v", "user=ada", "since_1d", "-o", "no/it.png") == 1
    assert "no/it.png: No such file or directory" in capsys.readouterr().err


def test_a_view_is_described_with_every_default(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    view = answers.view
    view.view, view.version, view.models[:] = "users", "0123456789ab", ["buys"]
    view.entity.add(name="user", type=project_pb2.FIELD_TYPE_STRING)
    one = view.features.add(name="mean_1h", function=project_pb2.FUNCTION_MEAN, field="amount")
    one.window.FromSeconds(3_600)
    one.hop.FromSeconds(10)
    one.default, one.error_bound = -1.0, "one rounding of exact sums"
    view.streams.add(stream="visits", key=["user"], partitions=2, log="features.users.1.visits")
    view.logs.add(stream="visits", position=5, source_end=9, ready=True)
    monkeypatch.setenv("COLUMNS", "200")
    assert run(monkeypatch, "describe", "users") == 0
    out = capsys.readouterr().out
    assert "entity       user (string)" in out
    assert "read by      features get, model buys" in out
    row = next(line.split() for line in out.splitlines() if line.startswith("mean_1h"))
    assert row[:6] == ["mean_1h", "mean", "amount", "1h", "10s", "-1"]
    assert " ".join(row[7:]) == "one rounding of exact sums"
    assert next(line.split() for line in out.splitlines() if line.startswith("visits  0"))[3] == "4"
