"""The recomputation follows the design's rules, written out on a handful of rows."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from tests.chaos.oracle import Expected, decide, values_at
from tests.chaos.publishing import encoded
from tests.chaos.traffic import DEDUPE_US, LATENESS_US, PROJECT, SECOND_US, Row, widened
from tidemill.project import loads, normalise
from tidemill_common import events
from tidemill_common.feature_views import StreamSpec, stream_spec
from tidemill_common.kafka import Record

NOW_US = 1_700_000_000 * SECOND_US


@pytest.fixture(scope="module")
def spec() -> StreamSpec:
    return stream_spec(normalise(loads(PROJECT.format(stream="s")).project), "s")


def a_row(event_id: str, after_s: float = 0.0, **changes: object) -> Row:
    row = Row(event_id, "u1", "s1", 2.5, "someone", NOW_US + round(after_s * SECOND_US))
    return replace(row, **changes)  # type: ignore[arg-type]


def decided(
    spec: StreamSpec,
    *records: list[Row] | bytes,
    appended_s: float = 0.0,
    erased: frozenset[str] = frozenset(),
) -> Expected:
    """Decide records of one partition; each appended a second after the one before."""
    expected = Expected(erased=erased)
    made = [
        Record("t", 0, offset, (NOW_US + round((appended_s + offset) * SECOND_US)) // 1_000, None,
               one if isinstance(one, bytes) else encoded(spec, one), ())
        for offset, one in enumerate(records)
    ]  # fmt: skip
    decide(made, events.event_schema(spec.columns), expected)
    return expected


def test_an_id_counts_once_also_inside_a_record(spec: StreamSpec) -> None:
    found = decided(spec, [a_row("a"), a_row("a"), a_row("b")], [a_row("b")])
    assert (len(found.applied), found.duplicates) == (2, 2)


def test_a_record_of_a_newer_schema_counts_and_one_of_another_type_does_not(
    spec: StreamSpec,
) -> None:
    newer = encoded(stream_spec(widened("s"), "s"), [a_row("a")])
    batch = events.decode(newer)
    place = batch.schema.get_field_index("amount")
    other = batch.set_column(place, "amount", batch["amount"].cast(pa.string()))
    found = decided(spec, newer, events.encode(other))
    assert [one.id for one in found.applied] == ["a"]
    assert list(found.dead) == [(0, 1, None)]


def test_an_id_counts_again_when_the_window_has_passed(spec: StreamSpec) -> None:
    gap = [[a_row("x")]] * (DEDUPE_US // SECOND_US)
    assert len(decided(spec, [a_row("a")], *gap, [a_row("a")]).applied) == 3
    assert len(decided(spec, [a_row("a")], *gap[1:], [a_row("a")]).applied) == 2


def test_a_row_beyond_the_lateness_bound_is_late_even_if_it_is_a_duplicate(
    spec: StreamSpec,
) -> None:
    bound = LATENESS_US / SECOND_US
    found = decided(
        spec, [a_row("a")], [a_row("b", -bound), a_row("c", -bound - 1), a_row("c", -bound - 1)]
    )
    assert (len(found.applied), found.late) == (2, {(0, 1, 1), (0, 1, 2)})


def test_garbage_and_rows_that_no_feature_can_hold_are_dead(spec: StreamSpec) -> None:
    rows = [a_row("a"), a_row("b", amount=float("nan")), a_row("c", amount=1e15)]
    found = decided(spec, b"", b"garbage", rows)
    assert found.dead == {
        (0, 0, None): b"",
        (0, 1, None): b"garbage",
        (0, 2, 1): b"b",
        (0, 2, 2): b"c",
    }
    assert len(found.applied) == 1


def test_a_window_covers_its_tiles_and_the_head_tile_whole(spec: StreamSpec) -> None:
    found = decided(spec, [a_row("a", -60.0), a_row("b", -59.0), a_row("c", 0.0, amount=-1.0)])
    minute, hour = values_at(found, "user", NOW_US)["u1"]
    assert minute == (2.0, 150.0, 250.0)
    assert hour == (3.0, 400.0, 250.0)


def test_an_entity_without_a_key_counts_nowhere(spec: StreamSpec) -> None:
    assert values_at(decided(spec, [a_row("a", shop=None)]), "shop", NOW_US) == {}


def test_rows_of_the_erased_come_to_nothing_and_change_no_other_rows_fate(
    spec: StreamSpec,
) -> None:
    late_s = -LATENESS_US / SECOND_US - 1.0
    rows = [
        a_row("a"),
        a_row("b", user="gone", after_s=10.0),
        a_row("c", user="gone", after_s=-200.0),
        a_row("d", user="gone", amount=float("nan")),
        a_row("e", after_s=10.0 + late_s),
    ]
    there = decided(spec, rows)
    left = decided(spec, rows, erased=frozenset({"gone"}))
    assert [one.id for one in there.applied] == ["a", "b"]
    assert [one.id for one in left.applied] == ["a"]
    assert (left.late, left.dead) == ({(0, 0, 4)}, {})
    assert left.left_out == {(0, 0, 1), (0, 0, 2), (0, 0, 3)}
    assert there.ids == left.ids
