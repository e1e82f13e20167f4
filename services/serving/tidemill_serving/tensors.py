"""Open Inference Protocol tensors: a ModelInferRequest becomes rows, answers become a response."""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from tidemill.errors import Invalid, NotFound, TooLarge, Violation
from tidemill.ingestion.v1.ingestion_service_pb2 import PositionToken
from tidemill_serving.fields import parse_time, time_in_range
from tidemill_tiles.fieldtypes import FieldType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill_serving.fields import RequestField, RequestFields, Row, Value

MAX_ROWS: Final = 64
_IGNORED: Final = frozenset(
    {"priority", "timeout", "sequence_id", "sequence_start", "sequence_end", "binary_data_output"}
)
_TOKEN_MAX: Final = 16_384
# datatype -> (struct code, bytes, field of InferTensorContents)
_NUMBERS: Final = {
    "BOOL": ("?", 1, "bool_contents"),
    "INT8": ("b", 1, "int_contents"),
    "INT16": ("h", 2, "int_contents"),
    "INT32": ("i", 4, "int_contents"),
    "INT64": ("q", 8, "int64_contents"),
    "UINT8": ("B", 1, "uint_contents"),
    "UINT16": ("H", 2, "uint_contents"),
    "UINT32": ("I", 4, "uint_contents"),
    "FP32": ("f", 4, "fp32_contents"),
    "FP64": ("d", 8, "fp64_contents"),
}
_INTEGERS: Final = ("INT64", "INT32", "INT16", "INT8", "UINT8", "UINT16", "UINT32")
_ACCEPTED: Final = {
    FieldType.BOOL: ("BOOL",),
    FieldType.INT64: _INTEGERS,
    FieldType.FLOAT64: ("FP64", "FP32", *_INTEGERS),
    FieldType.STRING: ("BYTES",),
    FieldType.TIMESTAMP: ("BYTES", "INT64"),
}
DATATYPES: Final = {kind: names[0] for kind, names in _ACCEPTED.items()}


@dataclass(slots=True)
class Ask:
    """What a caller wants predicted."""

    rows: list[Row]
    at_us: int | None = None
    token: PositionToken | None = None
    key: str = ""


def ask_of(request: Any, fields: RequestFields) -> Ask:
    """Read a ModelInferRequest; Invalid or TooLarge say what is wrong with it, and where."""
    ask = Ask([])
    columns: dict[int, Sequence[Value]] = {}
    rows = _tensors(request, fields, columns)
    for name, parameter in request.parameters.items():
        _parameter(name, parameter, ask, fields, columns)
    ask.rows = _rows(fields, columns, rows)
    return ask


def _tensors(request: Any, fields: RequestFields, columns: dict[int, Sequence[Value]]) -> int:
    """Read all tensors into columns by place; the number of rows, 0 without a tensor."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise Invalid(f"{len(raw)} raw tensors for {len(request.inputs)} inputs")
    rows = 0
    for index, tensor in enumerate(request.inputs):
        if tensor.name in fields.ignored:
            continue
        field = fields.field(tensor.name)
        place = fields.places[tensor.name]
        if place in columns:
            raise field.wrong("given twice")
        n = _rows_of(tensor, field)
        if rows and n != rows:
            raise field.wrong(f"{n} rows where the inputs before have {rows}")
        rows = n
        if tensor.datatype not in _ACCEPTED[field.type]:
            expected = " or ".join(_ACCEPTED[field.type])
            raise field.wrong(f"datatype {tensor.datatype!r}; {field.type} wants {expected}")
        if raw and tensor.HasField("contents"):
            raise field.wrong("given as raw and as typed contents")
        values = _raw(raw[index], tensor, n, field) if raw else _typed(tensor, n, field)
        columns[place] = [field.check(value) for value in values]
    return rows


def _rows_of(tensor: Any, field: RequestField) -> int:
    shape = tensor.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)) or shape[0] < 1:
        raise field.wrong(f"shape {list(shape)}; [n] or [n, 1] with n of at least 1 is wanted")
    if shape[0] > MAX_ROWS:
        raise TooLarge(
            violations=[Violation(field.name, f"{shape[0]} rows; at most {MAX_ROWS} a request")],
            hint="split the request, or call ServingService.Predict",
        )
    return int(shape[0])


def _raw(data: bytes, tensor: Any, n: int, field: RequestField) -> Sequence[Value]:
    if tensor.datatype == "BYTES":
        return [_text(item, field) for item in _split(data, n, field)]
    size = _NUMBERS[tensor.datatype][1]
    if len(data) != n * size:
        raise field.wrong(f"{len(data)} bytes where {n} x {tensor.datatype} are {n * size}")
    return _format(tensor.datatype, n).unpack(data)


def _typed(tensor: Any, n: int, field: RequestField) -> Sequence[Value]:
    if tensor.datatype == "BYTES":
        values: Sequence[Any] = tensor.contents.bytes_contents
    else:
        values = getattr(tensor.contents, _NUMBERS[tensor.datatype][2])
    if len(values) != n:
        raise field.wrong(f"{len(values)} values where the shape says {n}")
    if tensor.datatype == "BYTES":
        return [_text(item, field) for item in values]
    return values


def _split(data: bytes, n: int, field: RequestField) -> list[bytes]:
    """Cut length-prefixed elements; every length is checked before it is used."""
    items: list[bytes] = []
    at = 0
    for _ in range(n):
        end = at + 4
        if end > len(data):
            raise field.wrong(f"{len(data)} bytes end within element {len(items)} of {n}")
        end += int.from_bytes(data[at:end], "little")
        if end > len(data):
            raise field.wrong(f"element {len(items)} is longer than the {len(data)} bytes given")
        items.append(data[at + 4 : end])
        at = end
    if at != len(data):
        raise field.wrong(f"{len(data) - at} bytes follow the last of {n} elements")
    return items


def _text(item: bytes, field: RequestField) -> Value:
    try:
        text = item.decode()
    except UnicodeDecodeError:
        raise field.wrong("not UTF-8") from None
    if text or (field.type is FieldType.STRING and field.required):
        return field.parse(text)
    return None


def _parameter(
    name: str,
    parameter: Any,
    ask: Ask,
    fields: RequestFields,
    columns: dict[int, Sequence[Value]],
) -> None:
    which = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, which) if which else None
    if name == "at":
        ask.at_us = _at(value)
    elif name == "tidemill_token":
        ask.token = token_of(value)
    elif name == "key" and "key" not in fields.places:
        if not isinstance(value, str):
            raise Invalid(violations=[Violation("key", "a string parameter is wanted")])
        ask.key = value
    elif name in fields.places or name not in _IGNORED | fields.ignored:
        field = fields.field(name)
        if fields.places[name] in columns:
            raise field.wrong("given as a tensor and as a parameter")
        columns[fields.places[name]] = [_of_parameter(value, field)]


def _of_parameter(value: Any, field: RequestField) -> Value:
    match field.type, value:
        case _, str():
            return field.parse(value)
        case (FieldType.BOOL, bool()) | (FieldType.FLOAT64, float()):
            return field.check(value)
        case (FieldType.INT64 | FieldType.FLOAT64 | FieldType.TIMESTAMP, int()) if not isinstance(
            value, bool
        ):
            return field.check(value)
        case _:
            raise field.wrong(f"a parameter of type {type(value).__name__}; {field.type} is wanted")


def _rows(fields: RequestFields, columns: dict[int, Sequence[Value]], rows: int) -> list[Row]:
    n = rows or 1
    for place, values in columns.items():
        if len(values) != n:
            raise fields.fields[place].wrong(f"a parameter is one row, the tensors have {n}")
    empty: Sequence[Value] = [None] * n
    made = list(
        zip(*(columns.get(place, empty) for place in range(len(fields.fields))), strict=True)
    )
    for row in made:
        if missing := fields.missing(row, set()):
            raise Invalid(violations=missing)
    return made


def _at(value: Any) -> int:
    try:
        if isinstance(value, str):
            return parse_time(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return time_in_range(value)
    except ValueError as error:
        raise Invalid(violations=[Violation("at", f"{value!r}: {error}")]) from None
    raise Invalid(violations=[Violation("at", "RFC 3339 text or int64 microseconds are wanted")])


def token_of(value: Any) -> PositionToken:
    """Read a position token from its base64url text."""
    text = value if isinstance(value, str) and len(value) <= _TOKEN_MAX else "?"
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return PositionToken.FromString(data)
    except (ValueError, binascii.Error, DecodeError):
        message = "not the base64url form of a PositionToken"
        raise Invalid(violations=[Violation("tidemill_token", message)]) from None


@lru_cache(maxsize=1024)
def _format(datatype: str, n: int) -> struct.Struct:
    return struct.Struct(f"<{n}{_NUMBERS[datatype][0]}")


def check_outputs(request: Any, output: str) -> None:
    """Refuse outputs that no answer has."""
    for tensor in request.outputs:
        if tensor.name not in {output, "prediction_id"}:
            raise NotFound(f"no output {tensor.name!r}; there are {output} and prediction_id")


def response(
    request: Any,
    output: str,
    scores: bytes,
    ids: Sequence[str],
    version: int,
    facts: Sequence[tuple[str, str | float | bool]],
) -> Any:
    """Make a ModelInferResponse: scores as raw float32 [n, 1], ids as parameter or BYTES [n].

    A caller that names outputs gets those, in its order.
    """
    made = service_pb2.ModelInferResponse(
        model_name=request.model_name, model_version=str(version), id=request.id
    )
    single = len(ids) == 1
    wanted = [tensor.name for tensor in request.outputs] or [output, "prediction_id"][: 2 - single]
    for name in wanted:
        if name == output:
            made.outputs.add(name=name, datatype="FP32").shape.extend((len(ids), 1))
            made.raw_output_contents.append(scores)
        else:
            made.outputs.add(name=name, datatype="BYTES").shape.append(len(ids))
            made.raw_output_contents.append(_prefixed(ids))
    parameters = made.parameters
    if single:
        parameters["prediction_id"].string_param = ids[0]
    for name, value in facts:
        if isinstance(value, str):
            parameters[name].string_param = value
        elif isinstance(value, bool):
            parameters[name].bool_param = value
        else:
            parameters[name].double_param = value
    return made


def _prefixed(texts: Sequence[str]) -> bytes:
    return b"".join(len(one).to_bytes(4, "little") + one.encode() for one in texts)
