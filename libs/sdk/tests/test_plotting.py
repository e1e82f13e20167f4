"""A picture shows the values as they were served, with gaps, and every event with its fate."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tidemill.cli.plotting import draw
from tidemill.features.v1 import feature_service_pb2 as pb

PNG = b"\x89PNG\r\n\x1a\n"
START = datetime(2026, 1, 1, tzinfo=UTC)


def a_history(values: list[float], verdicts: list[pb.Verdict]) -> pb.GetHistoryResponse:
    reply = pb.GetHistoryResponse(features=["sum_1h"], events_total=len(verdicts))
    for hour, value in enumerate(values):
        row = reply.rows.add(values=[value], statuses=[pb.VALUE_STATUS_PRESENT])
        row.at.FromDatetime(START + timedelta(hours=hour))
    for minute, verdict in enumerate(verdicts):
        event = reply.events.add(verdict=verdict)
        event.event_time.FromDatetime(START + timedelta(minutes=minute))
    return reply


def drawn(figure: Figure, axes: int) -> list[list[float]]:
    return [np.asarray(line.get_ydata()).tolist() for line in figure.axes[axes].lines]


def test_values_are_steps_and_a_missing_one_is_a_gap() -> None:
    figure = draw(a_history([1.0, math.nan, 3.0], []), "a title")
    line, last = figure.axes[0].lines
    assert line.get_drawstyle() == "steps-post"
    assert np.array_equal(np.asarray(line.get_ydata()), [1.0, math.nan, 3.0], equal_nan=True)
    assert np.asarray(last.get_ydata()).tolist() == [3.0]
    assert figure.axes[0].get_title(loc="left") == "a title"


def test_events_are_marked_by_their_fate() -> None:
    fates = [pb.VERDICT_APPLIED, pb.VERDICT_LATE, pb.VERDICT_APPLIED]
    figure = draw(a_history([1.0], fates), "")
    assert drawn(figure, 1) == [[0, 0], [1]]
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels == ["applied", "late"]
    assert figure.axes[1].get_xlabel() == "UTC"


def test_a_part_of_a_history_is_called_one() -> None:
    reply = a_history([1.0], [pb.VERDICT_APPLIED])
    reply.events_total = 2
    assert "newest part" in draw(reply, "").axes[1].get_xlabel()


@pytest.mark.parametrize("values", [[], [math.nan], [1.0, 2.0]])
def test_any_history_becomes_a_png(tmp_path: Path, values: list[float]) -> None:
    file = tmp_path / "it.png"
    draw(a_history(values, []), "it").savefig(file, format="png")
    assert file.read_bytes().startswith(PNG)
