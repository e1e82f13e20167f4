"""Which rows a training set has, and which label each of them gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tidemill.definitions.v1 import project_pb2
from tidemill_common.events import TIMESTAMP
from tidemill_features.ordering import Order, sorted_rows
from tidemill_features.spine import Exclusion, Labels, Spine, asked, kept, spine_of
from tidemill_features.trainingset import model_of

SECOND = 1_000_000


def a_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Archive rows; times in seconds, in log order."""
    times = ("_time", "_available", "wanted_at")
    columns: dict[str, Any] = {
        name: [row.get(name) for row in rows]
        for name in dict.fromkeys(k for row in rows for k in row)
    }
    for name in times:
        if name in columns:
            micros = [None if value is None else value * SECOND for value in columns[name]]
            columns[name] = pa.array(micros, pa.int64()).cast(TIMESTAMP)
    columns["_partition"] = [0] * len(rows)
    columns["_offset"] = list(range(len(rows)))
    columns["_row"] = [0] * len(rows)
    columns["_id"] = [f"e{n}" for n in range(len(rows))]
    columns["_source"] = ["test"] * len(rows)
    columns["_replay_of"] = pa.nulls(len(rows), pa.string())
    return pa.table(columns)


def visit(user: str, wanted: int | None, at: int = 0) -> dict[str, Any]:
    return {"_time": at, "_available": at, "wanted_at": wanted, "user": user}


def order(user: str, at: int, paid: float | None = 20.0) -> dict[str, Any]:
    return {"_time": at, "_available": at, "user": user, "paid": paid}


def a_spine(
    project: project_pb2.Project,
    visits: list[dict[str, Any]],
    from_us: int | None = None,
    to_us: int | None = None,
) -> Spine:
    model = model_of(project, "buys")
    table = a_table(visits)
    table = table.filter(pa.array(asked(model, table, from_us, to_us)))
    return spine_of(model, sorted_rows(table, Order("wanted_at")))


def joined(
    project: project_pb2.Project,
    visits: list[dict[str, Any]],
    orders: list[dict[str, Any]],
    *,
    at_once: int = 1_000,
) -> Spine:
    table = sorted_rows(a_table(orders or [order("nobody", 1)]), Order("_time"))
    pieces = iter([table.slice(n, at_once) for n in range(0, len(table), at_once)])
    return Labels(project, model_of(project, "buys"), pieces).join(a_spine(project, visits))


def test_rows_are_ordered_by_their_moment_and_a_row_without_one_is_none(
    project: project_pb2.Project,
) -> None:
    spine = a_spine(project, [visit("b", 20), visit("x", None), visit("a", 10)])
    assert spine.key.to_pylist() == ["a", "b"]
    assert spine.time_us.tolist() == [10 * SECOND, 20 * SECOND]


def test_the_span_takes_its_start_and_not_its_end(project: project_pb2.Project) -> None:
    rows = [visit("a", 10), visit("b", 20), visit("c", 30)]
    assert a_spine(project, rows, 10 * SECOND, 30 * SECOND).key.to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("at", "expected"),
    [(99, None), (100, None), (101, 1.0), (100 + 3_600, 1.0), (100 + 3_601, None)],
)
def test_a_label_counts_after_the_moment_and_up_to_the_maximum_delay(
    project: project_pb2.Project, at: int, expected: float | None
) -> None:
    spine = joined(project, [visit("a", 100)], [order("a", at)])
    assert np.isfinite(spine.label[0]) == (expected is not None)
    if expected is not None:
        assert spine.label[0] == expected
        assert spine.label_us[0] == at * SECOND


def test_the_first_label_in_event_time_counts(project: project_pb2.Project) -> None:
    orders = [order("a", 300, paid=50.0), order("a", 200, paid=5.0)]
    assert joined(project, [visit("a", 100)], orders).label.tolist() == [0.0]


def test_an_event_whose_expression_is_null_is_no_label(project: project_pb2.Project) -> None:
    orders = [order("a", 200, paid=None), order("a", 300, paid=50.0)]
    assert joined(project, [visit("a", 100)], orders).label_us.tolist() == [300 * SECOND]


def test_labels_of_other_keys_never_meet(project: project_pb2.Project) -> None:
    spine = joined(project, [visit("a", 100), visit("b", 100)], [order("b", 200)])
    assert dict(zip(spine.key.to_pylist(), np.isfinite(spine.label), strict=True)) == {
        "a": False,
        "b": True,
    }


def test_exactly_one_row_per_event_however_many_labels_there_are(
    project: project_pb2.Project,
) -> None:
    orders = [order("a", at) for at in (200, 200, 300)]
    assert len(joined(project, [visit("a", 100), visit("a", 150)], orders)) == 2


def test_rows_and_labels_of_an_excluded_span_are_left_out(project: project_pb2.Project) -> None:
    visits = [visit("a", 100), visit("b", 500), visit("c", 900)]
    orders = [order("a", 550), order("b", 700), order("c", 1_000)]
    spine = joined(project, visits, orders)
    span = Exclusion(500 * SECOND, 600 * SECOND)
    assert kept(spine, [span], unlabelled=False).key.to_pylist() == ["c"]


def test_labels_are_found_however_they_are_cut_and_whatever_rows_came_before(
    project: project_pb2.Project,
) -> None:
    visits = [visit(f"u{n % 3}", 100 * n) for n in range(60)]
    orders = [order(f"u{n % 3}", 70 * n + 5, paid=float(n % 20)) for n in range(90)]
    whole = joined(project, visits, orders)
    table = sorted_rows(a_table(orders), Order("_time"))
    labels = Labels(
        project, model_of(project, "buys"), iter([table.slice(n, 4) for n in range(0, 90, 4)])
    )
    parts = [labels.join(a_spine(project, visits[n : n + 7])) for n in range(0, 60, 7)]
    for name in ("label", "label_us"):
        found = np.concatenate([getattr(part, name) for part in parts])
        assert found.tobytes() == getattr(whole, name).tobytes()
    assert labels.held < 60


def test_rows_without_a_label_are_kept_only_when_asked_for(project: project_pb2.Project) -> None:
    spine = joined(project, [visit("a", 100), visit("b", 100)], [order("a", 200)])
    assert kept(spine, [], unlabelled=False).key.to_pylist() == ["a"]
    assert sorted(kept(spine, [], unlabelled=True).key.to_pylist()) == ["a", "b"]
