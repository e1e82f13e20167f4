"""A name that an expression gives finds exactly the rows whose key a view computes with it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.definitions.v1 import project_pb2
from tidemill.errors import FailedPrecondition, Invalid
from tidemill.project import loads, normalise
from tidemill.registry.v1 import erasure_service_pb2 as pb
from tidemill_common.computed_names import Computed
from tidemill_common.entity_names import names_of, to_proto
from tidemill_common.erased_entity import Entity, entity_of
from tidemill_common.erasures import Erased, ErasedKey, from_reply, key_table, request_table
from tidemill_common.feature_views import view_definition
from tidemill_tiles.canonical import canonical_key
from tidemill_tiles.columns import view_rows
from tidemill_tiles.fieldtypes import FieldType

SECRET = b"c" * 32
GUARDED = "CASE WHEN NOT guest THEN concat(lower(email), '-', CAST(branch AS VARCHAR)) END"


def a_project(user: str = "lower(email)", kind: str = "string") -> project_pb2.Project:
    text = f"""
project: shop
streams:
  paid:
    key: [user]
    fields:
      user: {{type: {kind}, required: true}}
      way: {{type: string}}
  mailed:
    key: [email]
    fields:
      email: {{type: string, required: true}}
      branch: {{type: int64}}
      guest: {{type: bool}}
      at: {{type: timestamp}}
      share: {{type: float64}}
views:
  payments:
    entity: [user, way]
    sources:
      - stream: paid
      - {{stream: mailed, columns: {{user: "{user}", way: "'mail'"}}}}
    aggregations: [{{function: count, windows: [1h]}}]
"""
    loaded = loads(text, "tidemill.yaml")
    assert not loaded.problems
    return normalise(loaded.project)


def a_list(project: project_pb2.Project, **entity: str) -> Erased:
    one = entity_of(project, entity)
    key = ErasedKey(one.fields, one.digest(SECRET))
    return Erased(SECRET, [key], names_of(project)).of_stream("mailed")


ADA = a_list(a_project(), user="ada@x")


def test_rows_are_hers_by_what_the_expression_gives_of_them() -> None:
    table = pa.table({"email": ["Ada@X", "ada@x", "bob@x", None], "branch": [1, 2, 3, 4]})
    assert ADA.rows(table).tolist() == [True, True, False, False]
    assert [columns for _, columns, _ in ADA.named(table)] == [("email",)]
    assert ADA.columns_in(["branch", "email"]) == ["email"]
    assert not ADA.may_be_in(["branch"])
    assert not ADA.of_stream("paid").rows(table).any()


def test_a_row_that_cannot_be_computed_is_nobodys_and_hides_no_other() -> None:
    project = a_project("CAST(CAST(email AS BIGINT) AS VARCHAR)")
    table = pa.table({"email": ["7", "seven", None, "007"]})
    assert a_list(project, user="7").rows(table).tolist() == [True, False, False, True]


def test_an_entity_has_the_type_that_the_expression_gives() -> None:
    counted = a_project("branch + 1", "int64")
    assert entity_of(counted, {"user": "007"}) == Entity(("user",), b"7")
    table = pa.table({"email": ["x", "y"], "branch": [6, 7]})
    assert a_list(counted, user="7").rows(table).tolist() == [True, False]
    true = a_project("branch > 3", "bool")
    assert entity_of(true, {"user": "true"}) == Entity(("user",), b"true")
    assert a_list(true, user="true").rows(table).all()


def test_an_entity_whose_names_have_different_types_or_none_of_a_key_is_refused() -> None:
    project = a_project()
    (paid,) = (one for one in project.streams if one.name == "paid")
    paid.fields[0].type = project_pb2.FIELD_TYPE_INT64
    with pytest.raises(FailedPrecondition, match="different types"):
        entity_of(project, {"user": "7"})
    for computed in ("share / 2", "at"):
        alone = project_pb2.Project(streams=[one for one in project.streams if one is not paid])
        view = alone.views.add(name="payments", entity=["user"])
        view.sources.add(stream="mailed", columns={"user": computed})
        with pytest.raises(Invalid, match=r"entity\.user"):
            entity_of(alone, {"user": "1"})


def test_what_is_constant_in_a_stream_is_a_part_of_every_key_there() -> None:
    both = a_list(a_project(), user="ada@x", way="mail")
    table = pa.table({"email": ["Ada@X", "bob@x"]})
    assert both.rows(table).tolist() == [True, False]
    assert not a_list(a_project(), user="ada@x", way="cash").rows(table).any()
    everybody = a_list(a_project(), way="mail")
    assert everybody.rows(table).all()
    assert everybody.may_be_in(["email"])
    assert everybody.columns_in(["email"]) == []


def test_requests_and_keys_are_read_as_the_streams_columns() -> None:
    here = a_list(a_project(GUARDED), user="ada@x-7")
    requests = [
        '{"email":"Ada@X","branch":7,"guest":false}',
        '{"email":"Ada@X","branch":7,"guest":true}',
        '{"email":"Ada@X","branch":8,"guest":false}',
        '{"email":"Ada@X","branch":"seven","guest":"no"}',
        None,
    ]
    assert here.rows(request_table(requests)).tolist() == [True, False, False, False, False]
    names = ("guest", "branch", "email")
    keys = [canonical_key([guest, 7, "ADA@X"]).decode() for guest in (False, True)]
    assert here.rows(key_table(names, [*keys, None, "x"])).tolist() == [True, False, False, False]


def test_times_are_read_as_requests_and_as_keys_have_them() -> None:
    year = Computed("CAST(extract(year FROM at) AS VARCHAR)", (("at", FieldType.TIMESTAMP),))
    told = ["2031-05-01T12:00:00Z", "1935748800000000", "soon", None]
    assert year.values(pa.table({"at": told})).to_pylist() == ["2031", "2031", None, None]


def test_a_column_that_is_not_there_is_null() -> None:
    here = a_list(a_project("coalesce(CAST(branch AS VARCHAR), lower(email))"), user="ada@x")
    assert here.rows(pa.table({"email": ["Ada@X", "bob"]})).tolist() == [True, False]
    whole = pa.table({"email": ["Ada@X"], "branch": [7]})
    assert not here.rows(whole).any()


def test_whose_rows_are_is_in_doubt_where_an_expression_reads_more_than_there_is() -> None:
    here = a_list(a_project(GUARDED), user="ada@x-7")
    assert here.in_doubt(["email", "share"]) == list(here.keys)
    assert here.in_doubt(["email", "branch", "guest"]) == []
    assert here.in_doubt(["share"]) == []
    assert ADA.in_doubt(["email"]) == []


def test_numbers_count_as_integers_where_they_are_some() -> None:
    plus = Computed("CAST(branch AS VARCHAR)", (("branch", FieldType.INT64),))
    kept = pa.table({"branch": [7.0, 7.5, float("nan"), None]})
    assert plus.values(kept).to_pylist() == ["7", None, None, None]
    lower = Computed("lower(email)", (("email", FieldType.STRING),))
    assert lower.values(pa.table({"email": [7.0]})).to_pylist() == [None]


@pytest.mark.parametrize("column", [pa.array([[1]]), pa.array([b"\xff"]), pa.array([{"a": 1}])])
def test_a_column_of_a_type_that_no_field_has_is_nobodys(column: pa.Array) -> None:
    table = pa.table({"email": column})
    assert not ADA.rows(table).any()
    assert not a_list(a_project("email"), user="ada@x").rows(table).any()


def test_the_list_tells_how_names_are_computed_and_what_began_again() -> None:
    key = pb.ErasedKey(fields=["user"], digest=ADA.keys[0].digest, true_beginning=3)
    reply = pb.ListErasedKeysResponse(secret=SECRET, keys=[key], names=to_proto(ADA.names))
    told = from_reply(reply)
    assert told.names == ADA.names
    assert [one.beginning for one in told.keys] == [3]
    older = pb.ListErasedKeysResponse(keys=[pb.ErasedKey(fields=["user"], beginning=2)])
    assert [one.beginning for one in from_reply(older).keys] == [2]


def test_what_names_are_computed_from_is_known_of_the_lists_own_fields() -> None:
    assert ADA.computed_from() == {("mailed", "email")}
    assert a_list(a_project(), way="mail").computed_from() == set()


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.sampled_from(["a", "A", "b", "É", ""]),
            "branch": st.none() | st.integers(-1, 1),
            "guest": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=12,
)


@given(ROWS, st.sampled_from(["lower(email)", GUARDED, "CAST(branch * 2 AS VARCHAR)"]))
def test_exactly_the_rows_are_found_to_which_the_view_gives_the_key(
    rows: list[dict[str, object]], expression: str
) -> None:
    project = a_project(expression)
    schema = pa.schema([("email", pa.string()), ("branch", pa.int64()), ("guest", pa.bool_())])
    table = pa.Table.from_pylist(rows, schema=schema)
    definition = view_definition(project, project.views[0])
    ties = np.zeros(len(rows), np.uint64)
    keys = view_rows(definition, table, ties, "mailed").columns["user"].to_pylist()
    for key in {one for one in keys if one is not None} | {"nobody"}:
        found = a_list(project, user=key).rows(table)
        assert found.tolist() == [one == key for one in keys]
