"""What applying a project would change."""

from __future__ import annotations

import re

from google.protobuf import any_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from tidemill.definitions.v1 import project_pb2 as pb
from tidemill.project import feature_names, load, loads, normalise
from tidemill_registry.plan import Kind, declares_more, incompatible, plan


def edited() -> pb.Project:
    """Give the reference project with what these tests change as they expect it."""
    project = load("examples/flights/tidemill.yaml")
    project.models[0].rollout.canary = 0.2
    project.models[0].label.max_delay.FromSeconds(2 * 86_400)
    return project


FLIGHTS = normalise(edited())


def test_the_first_project_adds_everything_and_says_what_views_cost() -> None:
    changes = plan(pb.Project(), FLIGHTS)
    assert {change.kind for change in changes} == {Kind.ADDED}
    view = next(change for change in changes if change.name == "weather")
    assert view.rows_per_entity > 180
    assert view.bytes_per_entity > view.rows_per_entity


def test_the_same_project_changes_nothing() -> None:
    assert plan(FLIGHTS, FLIGHTS) == []


def test_a_changed_model_is_shown_field_by_field() -> None:
    project = edited()
    project.models[0].rollout.canary = 0.5
    project.models[0].label.max_delay.FromSeconds(86_400)
    (change,) = plan(FLIGHTS, normalise(project))
    assert (change.kind, change.type, change.name) == (Kind.CHANGED, "model", "late_arrival")
    assert change.details == ("label.max_delay: 2d -> 1d", "rollout.canary: 0.2 -> 0.5")


def test_a_changed_view_is_built_anew_and_a_changed_text_is_not() -> None:
    project = edited()
    view = next(view for view in project.views if view.name == "weather")
    view.description = "hourly"
    (change,) = plan(FLIGHTS, normalise(project))
    assert change.details == ("description: + hourly",)
    view.aggregations[0].windows[0].length.FromSeconds(7200)
    changes = {change.name: change for change in plan(FLIGHTS, normalise(project))}
    assert "built anew" in changes["weather"].details[-1]


def test_the_price_of_a_view_holds_what_its_sketches_may_take() -> None:
    before = next(one for one in plan(pb.Project(), FLIGHTS) if one.name == "weather")
    added = {}
    for function, more in (
        (pb.FUNCTION_RATIO, {"of": ["a", "b"]}),
        (pb.FUNCTION_LAST_K, {"k": 4}),
        (pb.FUNCTION_QUANTILE, {"quantiles": [0.5]}),
    ):
        project = edited()
        view = next(view for view in project.views if view.name == "weather")
        field = next(one.field for one in view.aggregations if one.field)
        one = view.aggregations.add(function=function, field=field, name="more", **more)
        if function == pb.FUNCTION_RATIO:
            names = feature_names(view)
            one.of[:], one.field = names[:2], ""
        else:
            one.windows.add().CopyFrom(view.aggregations[0].windows[0])
        changes = plan(FLIGHTS, normalise(project))
        change = next(one for one in changes if one.name == "weather")
        assert change.rows_per_entity == before.rows_per_entity
        added[function] = change.bytes_per_entity - before.bytes_per_entity
    assert added[pb.FUNCTION_RATIO] == 0
    assert 0 < added[pb.FUNCTION_LAST_K] < added[pb.FUNCTION_QUANTILE]


PAYMENTS = """
project: shop
streams:
  paid: {key: [user], fields: {user: {type: string, required: true}}}
  refunded: {key: [customer], fields: {customer: {type: string, required: true}}}
views:
  payments:
    entity: [user]
    sources:
      - stream: paid
      - {stream: refunded, columns: {user: customer}}
    aggregations: [{function: count, windows: [1h]}]
"""


def payments(text: str, before: str = "") -> tuple[str, ...]:
    """What the plan says of the view of payments."""
    old = normalise(loads(before).project) if before else pb.Project()
    changes = plan(old, normalise(loads(text).project))
    return next((one.details for one in changes if one.name == "payments"), ())


def test_a_view_that_calls_its_entity_otherwise_says_so_when_that_is_new() -> None:
    said = (
        "user is customer in refunded: who is erased is refused there too,"
        " and searched for in what is stored"
    )
    assert payments(PAYMENTS) == (said,)
    longer = PAYMENTS.replace("[1h]", "[2h]")
    assert said not in payments(longer, PAYMENTS)
    assert payments(longer, PAYMENTS)
    same = PAYMENTS.replace("customer", "user").replace(", columns: {user: user}", "")
    assert payments(same) == ()
    assert said in payments(PAYMENTS, same)


def test_a_view_that_computes_its_entity_says_so_when_that_is_new_or_changes() -> None:
    computed = PAYMENTS.replace("{user: customer}", "{user: lower(customer)}")
    (said,) = payments(computed)
    assert said.startswith("user is lower(customer) in refunded: who is erased is refused there")
    assert said not in payments(computed.replace("[1h]", "[2h]"), computed)
    changed = payments(computed.replace("lower(", "upper("), computed)
    assert any(one.startswith("user is upper(customer) in refunded") for one in changed)


def test_a_new_stream_says_from_where_its_events_come() -> None:
    source = pb.Source(topic="rides.raw", format=pb.FORMAT_JSON, fields={"fare": "cents / 100"})
    source.columns["cents"] = pb.FIELD_TYPE_INT64
    stream = pb.Stream(name="ride", fields=[pb.Field(name="fare", type=pb.FIELD_TYPE_FLOAT64)])
    stream.source.CopyFrom(source)
    after = normalise(pb.Project(name="p", streams=[stream]))
    (change,) = plan(pb.Project(), after)
    assert change.details == (
        "source: json records of topic rides.raw",
        "source.id: the record's place",
        "source.time: _timestamp",
        "source.fields.fare: cents / 100",
    )
    stream.source.filter = "cents > 0"
    (change,) = plan(after, normalise(pb.Project(name="p", streams=[stream])))
    assert change.details == ("source.filter: + cents > 0",)


def test_compiled_descriptors_are_shown_by_their_digest() -> None:
    def project(descriptors: bytes) -> pb.Project:
        source = pb.Source(topic="t", format=pb.FORMAT_PROTOBUF, message="google.protobuf.Any")
        source.descriptors = descriptors
        stream = pb.Stream(name="ride", source=source)
        stream.fields.add(name="type_url", type=pb.FIELD_TYPE_STRING)
        return normalise(pb.Project(name="p", streams=[stream]))

    file = FileDescriptorProto.FromString(any_pb2.DESCRIPTOR.serialized_pb)
    before = project(FileDescriptorSet(file=[file]).SerializeToString())
    (change,) = plan(pb.Project(), before)
    first, *_ = change.details
    assert re.fullmatch(
        r"source: protobuf records of topic t, message google.protobuf.Any"
        r" of descriptors sha256:[0-9a-f]{12}",
        first,
    )
    file.message_type.add(name="More")
    (change,) = plan(before, project(FileDescriptorSet(file=[file]).SerializeToString()))
    (line,) = change.details
    assert re.fullmatch(r"source.descriptors: sha256:[0-9a-f]{12} -> sha256:[0-9a-f]{12}", line)


def test_removed_and_added_definitions_are_told_apart() -> None:
    project = edited()
    del project.on_demand[:]
    del project.models[:]
    project.views[0].name = "departures"
    changes = plan(FLIGHTS, normalise(project))
    assert [(change.kind, change.name) for change in changes] == [
        (Kind.ADDED, "departures"),
        (Kind.REMOVED, "origin_departures"),
        (Kind.REMOVED, "delay_trend"),
        (Kind.REMOVED, "late_arrival"),
    ]


def test_what_the_log_already_holds_cannot_change_its_form() -> None:
    project = edited()
    stream = next(stream for stream in project.streams if stream.name == "flight_arrived")
    stream.partitions = 8
    stream.key[:] = ["carrier"]
    next(field for field in stream.fields if field.name == "arr_delay").type = pb.FIELD_TYPE_STRING
    stream.fields.add(name="gate", type=pb.FIELD_TYPE_STRING, required=True)
    found = {one.field: one.description for one in incompatible([FLIGHTS], normalise(project))}
    assert set(found) == {
        "streams.flight_arrived.partitions",
        "streams.flight_arrived.key",
        "streams.flight_arrived.fields.arr_delay",
        "streams.flight_arrived.fields.gate",
    }
    assert "float64 cannot become string" in found["streams.flight_arrived.fields.arr_delay"]


def test_a_new_optional_field_and_a_removed_field_are_compatible() -> None:
    project = edited()
    stream = next(stream for stream in project.streams if stream.name == "weather_observed")
    stream.fields.add(name="cloud", type=pb.FIELD_TYPE_FLOAT64)
    assert incompatible([FLIGHTS], normalise(project)) == []


def a_copy() -> pb.Project:
    copied = pb.Project()
    copied.CopyFrom(FLIGHTS)
    return copied


def without(*fields: str, stream: str = "weather_observed") -> pb.Project:
    """Return the flights without some fields of a stream; without any names, without the stream."""
    project = a_copy()
    of = next(each for each in project.streams if each.name == stream)
    kept = [field for field in of.fields if field.name not in fields]
    del of.fields[:]
    if fields:
        of.fields.extend(kept)
    else:
        project.streams.remove(of)
    return project


def with_type(kind: pb.FieldType, field: str, stream: str = "weather_observed") -> pb.Project:
    project = a_copy()
    of = next(each for each in project.streams if each.name == stream)
    next(each for each in of.fields if each.name == field).type = kind
    return project


def test_a_field_that_comes_back_has_the_type_of_the_events_that_it_left_behind() -> None:
    history = [FLIGHTS, without("precip"), without("precip", "wind_speed")]
    assert incompatible(history, FLIGHTS) == []
    (found,) = incompatible(history, with_type(pb.FIELD_TYPE_STRING, "precip"))
    assert found.field == "streams.weather_observed.fields.precip"
    assert "float64 cannot become string" in found.description


def test_a_stream_that_comes_back_finds_its_log_as_it_was() -> None:
    again = a_copy()
    stream = next(each for each in again.streams if each.name == "weather_observed")
    stream.partitions += 1
    assert incompatible([FLIGHTS, without()], FLIGHTS) == []
    (found,) = incompatible([FLIGHTS, without()], again)
    assert found.field == "streams.weather_observed.partitions"


def test_only_a_project_that_declares_more_needs_to_know_what_was_before() -> None:
    assert declares_more(without("precip"), FLIGHTS)
    assert declares_more(without(), FLIGHTS)
    assert not declares_more(FLIGHTS, without("precip"))
    assert not declares_more(FLIGHTS, FLIGHTS)
