"""Promises of typed request fields."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.serving.tests.serving_models import purchase
from tidemill.errors import Invalid
from tidemill_serving.definitions import warm_up
from tidemill_serving.fields import RequestField, parse_time, time_text
from tidemill_serving.handlers import adapted, request_json
from tidemill_tiles.fieldtypes import FieldType

FIELDS = purchase().fields
GOOD = {"user": "u1", "amount": "3.5", "country": "NL"}


def test_text_is_parsed_by_the_declared_type() -> None:
    row = FIELDS.row_of_text({**GOOD, "weekday": "7", "member": "true", "visit_id": "v"})
    named = dict(zip([field.name for field in FIELDS.fields], row, strict=True))
    assert named["amount"] == 3.5
    assert (named["weekday"], named["member"], named["item"]) == (7, True, None)


def test_every_problem_of_a_row_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        FIELDS.row_of_text({"amount": "much", "weekday": "8", "wekday": "1"})
    assert {problem.field for problem in refused.value.violations} == {
        "amount", "weekday", "wekday", "user", "country",
    }  # fmt: skip


@given(st.text(max_size=30), st.sampled_from(list(FieldType)))
def test_a_text_is_a_value_or_invalid_and_nothing_else(text: str, kind: FieldType) -> None:
    with contextlib.suppress(Invalid):
        value = RequestField("f", kind).parse(text)
        assert not isinstance(value, float) or abs(value) < float("inf")


@given(st.integers(0, 253_402_300_799_999_999 - 86_400_000_000))
def test_a_time_survives_its_text(at_us: int) -> None:
    assert parse_time(time_text(at_us)) == at_us


@pytest.mark.parametrize("text", ["", "2024-03-01", "1960-01-01T00:00:00Z", "now", "12"])
def test_a_time_without_an_offset_or_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)


def test_the_join_key_is_the_spines_and_empty_unless_complete() -> None:
    assert FIELDS.key_text(FIELDS.row_of_text({**GOOD, "visit_id": "v7"})) == "v7"
    assert FIELDS.key_text(FIELDS.row_of_text(GOOD)) == ""


def test_a_row_is_logged_as_json_with_times_as_text() -> None:
    row = FIELDS.row_of_text({**GOOD, "at": "2024-03-01T11:00:00+01:00"})
    assert '"at":"2024-03-01T10:00:00Z"' in request_json(row, purchase())
    assert '"item":null' in request_json(row, purchase())


def test_rows_keep_their_order_for_the_same_definition() -> None:
    rows = [FIELDS.row_of_text(GOOD)]
    assert adapted(rows, purchase(), purchase()) is rows


def test_expressions_can_be_warmed_up_without_any_data() -> None:
    warm_up(purchase())
