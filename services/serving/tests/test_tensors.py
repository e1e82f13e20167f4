"""Promises of the Open Inference Protocol's requests and responses."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as client
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from services.serving.tests.serving_models import purchase
from tidemill.errors import Invalid, NotFound, TidemillError, TooLarge
from tidemill.ingestion.v1.ingestion_service_pb2 import PositionToken
from tidemill_serving.tensors import MAX_ROWS, ask_of, check_outputs, response

AT = "2024-03-01T10:00:00Z"
AT_US = 1_709_287_200_000_000
FIELDS = purchase().fields
VALUES: dict[str, tuple[str, list[Any]]] = {
    "user": ("BYTES", ["u1"]),
    "item": ("BYTES", ["i1"]),
    "amount": ("FP64", [3.5]),
    "weekday": ("INT64", [7]),
    "member": ("BOOL", [True]),
    "country": ("BYTES", ["NL"]),
}


def a_tensor(name: str, datatype: str, values: list[Any], shape: list[int] | None = None) -> Any:
    """Encode a tensor by tritonclient itself."""
    if datatype == "BYTES":
        array = np.array([str(value).encode() for value in values], dtype=object)
    else:
        array = np.array(values, dtype=client.triton_to_np_dtype(datatype))
    tensor = client.InferInput(name, shape or list(array.shape), datatype)
    tensor.set_data_from_numpy(array.reshape(shape or array.shape))
    return tensor


def a_request(
    changes: dict[str, tuple[str, list[Any]] | None] | None = None,
    parameters: dict[str, Any] | None = None,
    shape: list[int] | None = None,
) -> pb.ModelInferRequest:
    from tritonclient.grpc._utils import _get_inference_request

    values = {**VALUES, **(changes or {})}
    inputs = [a_tensor(name, *pair, shape) for name, pair in values.items() if pair is not None]
    made: pb.ModelInferRequest = _get_inference_request(
        "purchase", inputs, "", "id", None, 0, False, False, 0, None, parameters
    )
    return made


def row_of(request: pb.ModelInferRequest, index: int = 0) -> dict[str, Any]:
    names = [field.name for field in FIELDS.fields]
    return dict(zip(names, ask_of(request, FIELDS).rows[index], strict=True))


def test_every_field_is_read_by_its_name() -> None:
    assert row_of(a_request()) == {
        "user": "u1", "item": "i1", "amount": 3.5, "weekday": 7, "member": True,
        "country": "NL", "visit_id": None, "at": None,
    }  # fmt: skip


@pytest.mark.parametrize("shape", [[1], [1, 1]])
def test_both_shapes_of_a_column_are_one_row(shape: list[int]) -> None:
    assert row_of(a_request(shape=shape))["user"] == "u1"


def test_a_batch_keeps_its_order() -> None:
    batch = {name: (kind, values * 3) for name, (kind, values) in VALUES.items()}
    batch["amount"] = ("FP64", [1.0, 2.0, 3.0])
    request = a_request(batch)  # type: ignore[arg-type]
    assert [row_of(request, index)["amount"] for index in range(3)] == [1.0, 2.0, 3.0]


def test_a_single_row_may_come_as_parameters() -> None:
    request = a_request(
        dict.fromkeys(VALUES),
        {"user": "u1", "item": "i", "amount": 3, "member": True, "country": "NL", "weekday": "5"},
    )
    row = row_of(request)
    assert (row["user"], row["amount"], row["member"], row["weekday"]) == ("u1", 3, True, 5)


def test_typed_contents_are_read_too() -> None:
    request = pb.ModelInferRequest(model_name="purchase")
    for name, (kind, values) in VALUES.items():
        tensor = request.inputs.add(name=name, datatype=kind, shape=[1])
        if kind == "BYTES":
            tensor.contents.bytes_contents.append(str(values[0]).encode())
        elif kind == "FP64":
            tensor.contents.fp64_contents.extend(values)
        elif kind == "INT64":
            tensor.contents.int64_contents.extend(values)
        else:
            tensor.contents.bool_contents.extend(values)
    assert row_of(request) == row_of(a_request())


def test_nan_and_an_empty_optional_text_are_missing() -> None:
    row = row_of(a_request({"item": ("BYTES", [""]), "weekday": None, "member": None}))
    assert (row["item"], row["weekday"], row["member"]) == (None, None, None)
    with pytest.raises(Invalid, match="amount: required"):
        ask_of(a_request({"amount": ("FP64", [float("nan")])}), FIELDS)


@pytest.mark.parametrize("at", [AT, "2024-03-01T11:00:00+01:00", AT_US])
def test_the_moment_is_text_or_microseconds(at: str | int) -> None:
    assert ask_of(a_request(parameters={"at": at}), FIELDS).at_us == AT_US


def test_a_token_and_a_key_are_parameters() -> None:
    token = PositionToken()
    token.positions.add(stream="visit", partition=1, next_offset=7)
    text = base64.urlsafe_b64encode(token.SerializeToString()).decode().rstrip("=")
    ask = ask_of(a_request(parameters={"tidemill_token": text, "key": "k"}), FIELDS)
    assert ask.token == token
    assert ask.key == "k"


def test_the_whole_event_of_the_spine_may_be_sent() -> None:
    request = a_request({"note": ("BYTES", ["hello"]), "visit_id": ("BYTES", ["v"])})
    assert row_of(request)["visit_id"] == "v"


@pytest.mark.parametrize(
    ("changes", "parameters", "said"),
    [
        ({"user": None}, None, "user: required"),
        ({"usr": ("BYTES", ["u"])}, None, "usr: the model has no such input"),
        ({"user": ("FP64", [1.0])}, None, "user: datatype 'FP64'; string wants BYTES"),
        ({"amount": ("BYTES", ["3.5"])}, None, "amount: datatype 'BYTES'"),
        ({"weekday": ("FP64", [1.0])}, None, "weekday: datatype 'FP64'; int64 wants INT64"),
        ({"user": ("BYTES", ["a", "b"])}, None, "rows"),
        ({"weekday": ("INT64", [8])}, None, "weekday: 8 is above the maximum 7"),
        ({"amount": ("FP64", [float("inf")])}, None, "amount: infinite"),
        ({"user": ("BYTES", ["a\x1fb"])}, None, "user: the character 0x1F"),
        ({"user": ("BYTES", ["x" * 5000])}, None, "user: 5000 characters"),
        ({"user": None}, {"user": 1.5}, "user: a parameter of type float; string is wanted"),
        ({}, {"user": "u1"}, "user: given as a tensor and as a parameter"),
        ({}, {"usr": "u1"}, "usr: the model has no such input"),
        ({}, {"at": "yesterday"}, "at: "),
        ({}, {"at": "2024-03-01T10:00:00"}, "at: "),
        ({}, {"at": -5}, "at: "),
        ({}, {"tidemill_token": "%%%"}, "tidemill_token: "),
    ],
)
def test_what_is_wrong_is_named(
    changes: dict[str, Any], parameters: dict[str, Any] | None, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        ask_of(a_request(changes, parameters), FIELDS)
    assert said in refused.value.message


def test_a_wrong_shape_and_too_many_rows_are_told_apart() -> None:
    request = a_request()
    request.inputs[0].shape[:] = [1, 2]
    with pytest.raises(Invalid, match="shape"):
        ask_of(request, FIELDS)
    request.inputs[0].shape[:] = [MAX_ROWS + 1]
    with pytest.raises(TooLarge, match="at most 64"):
        ask_of(request, FIELDS)


def test_raw_and_typed_together_are_refused() -> None:
    request = a_request()
    request.inputs[0].contents.bytes_contents.append(b"x")
    with pytest.raises(Invalid, match="raw and as typed"):
        ask_of(request, FIELDS)
    del request.raw_input_contents[0]
    with pytest.raises(Invalid, match="raw tensors"):
        ask_of(request, FIELDS)


@given(st.binary(max_size=60), st.sampled_from(["BYTES", "INT64", "FP64", "BOOL", "FP16", ""]))
def test_no_bytes_make_the_parser_raise_anything_but_its_own_errors(
    data: bytes, datatype: str
) -> None:
    request = a_request()
    for tensor in request.inputs:
        tensor.datatype = datatype or tensor.datatype
    for index in range(len(request.raw_input_contents)):
        request.raw_input_contents[index] = data
    with contextlib.suppress(TidemillError):
        ask_of(request, FIELDS)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_a_mutated_message_is_read_or_refused(noise: bytes) -> None:
    body = bytearray(a_request().SerializeToString())
    for index in range(0, len(noise) - 1, 2):
        body[noise[index] * len(body) // 256] = noise[index + 1]
    # What protobuf itself refuses is gRPC's to answer, before this code sees it.
    with contextlib.suppress(TidemillError, DecodeError):
        ask_of(pb.ModelInferRequest.FromString(bytes(body)), FIELDS)


def test_one_answer_is_read_by_tritonclient_with_its_id_as_a_parameter() -> None:
    scores = np.array([0.25], dtype="<f4").tobytes()
    facts: list[tuple[str, str | float | bool]] = [
        ("variant", "champion"),
        ("freshness_ms", 1.5),
        ("state_newer", True),
    ]
    made = response(a_request(), "probability", scores, ["p1"], 3, facts)
    result = client.InferResult(pb.ModelInferResponse.FromString(made.SerializeToString()))
    assert result.as_numpy("probability").tolist() == [[0.25]]
    parameters = result.get_response().parameters
    assert parameters["prediction_id"].string_param == "p1"
    assert parameters["freshness_ms"].double_param == 1.5
    assert parameters["state_newer"].bool_param
    assert (made.model_version, made.id) == ("3", "id")


def test_several_answers_carry_their_ids_in_a_tensor() -> None:
    scores = np.array([0.25, 0.5], dtype="<f4").tobytes()
    made = response(a_request(), "probability", scores, ["p1", "p22"], 3, [])
    result = client.InferResult(pb.ModelInferResponse.FromString(made.SerializeToString()))
    assert result.as_numpy("prediction_id").tolist() == [b"p1", b"p22"]
    assert result.as_numpy("probability").shape == (2, 1)


def test_a_caller_gets_the_outputs_it_names_and_an_unknown_one_is_not_found() -> None:
    request = a_request()
    request.outputs.add(name="prediction_id")
    check_outputs(request, "probability")
    made = response(request, "probability", b"\0\0\0\0", ["p1"], 3, [])
    assert [tensor.name for tensor in made.outputs] == ["prediction_id"]
    request.outputs.add(name="logits")
    with pytest.raises(NotFound, match="logits"):
        check_outputs(request, "probability")
