"""From the tree of a project file to its protobuf message, noting every mistake on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from google.protobuf import duration_pb2
from google.protobuf.descriptor import FieldDescriptor

from tidemill.definitions.v1 import project_pb2
from tidemill.project import durations
from tidemill.project.nodes import Items, Leaf, Node, Table
from tidemill.project.problems import Location, Problem, Report, did_you_mean
from tidemill.project.schemas.columns import SchemaError
from tidemill.project.schemas.descriptors import read_set

if TYPE_CHECKING:
    from google._upb._message import EnumDescriptor as CEnum
    from google._upb._message import FieldDescriptor as CField
    from google.protobuf.descriptor import EnumDescriptor
    from google.protobuf.message import Message

# Repeated messages that are written as a mapping from their name.
BY_NAME: Final = frozenset(
    f"tidemill.definitions.v1.{field}"
    for field in (
        "Project.streams",
        "Project.views",
        "Project.on_demand",
        "Project.models",
        "Stream.fields",
        "FeatureView.columns",
    )
)
LIFETIME: Final = "lifetime"
DESCRIPTORS: Final = "tidemill.definitions.v1.Source.descriptors"
DESCRIPTORS_HINT: Final = "protoc --include_imports --descriptor_set_out=FILE, or buf build -o FILE"
FEATURE_KEYS: Final = ("view", "name", "entity", "alias")
INPUT_KEYS: Final = (*FEATURE_KEYS, "on_demand", "field", "categorical")
WHOLE: Final = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A project as far as its form allows, what is wrong with the form, the line of each path."""

    project: project_pb2.Project
    problems: list[Problem]
    locations: dict[str, Location]
    broken: frozenset[str]  # paths whose value could not be taken


def decode(root: Node) -> Decoded:
    """Turn the tree into the message; a value that cannot be taken is left out."""
    decoder = _Decoder()
    project = project_pb2.Project()
    if isinstance(root, Table):
        decoder.fields(root, project, "")
    else:
        decoder.locations[""] = root.location
        decoder.report.add("", f"expected a mapping, got {shown(root)}", "begin with `project:`")
    problems = decoder.report.problems
    broken = frozenset(problem.path for problem in problems)
    return Decoded(project, problems + decoder.repeats, decoder.locations, broken)


class _Decoder:
    def __init__(self) -> None:
        self.locations: dict[str, Location] = {}
        self.report = Report(self.locations)
        self.repeats: list[Problem] = []

    def fields(self, node: Table, message: Message, path: str) -> None:
        """Fill a message from a mapping; keys are the field names."""
        self.locations[path] = node.location
        known = {keyed(field): field for field in message.DESCRIPTOR.fields if written(field)}
        for name, child in self.once(node, path):
            inner = join(path, name)
            self.locations[inner] = child.location
            if name in known:
                self.field(child, message, known[name], inner)
            else:
                self.report.add(inner, f"unknown key {name!r}", did_you_mean(name, known))

    def once(self, node: Table, path: str) -> list[tuple[str, Node]]:
        """Return the entries; a key that stands there twice is a mistake."""
        seen: dict[str, Node] = {}
        for name, child in node.entries:
            if name in seen:
                at, hint = child.location, f"first in line {seen[name].location.line}"
                text = f"{name!r} stands here twice"
                self.repeats.append(Problem(join(path, name), text, hint, at.file, at.line))
            else:
                seen[name] = child
        return list(seen.items())

    def field(
        self, node: Node, message: Message, field: FieldDescriptor | CField, path: str
    ) -> None:
        if isinstance(node, Leaf) and node.value is None and field.message_type is None:
            self.report.add(path, f"expected {expected(field)}, got nothing")
        elif field.full_name in BY_NAME:
            self.by_name(node, getattr(message, field.name), path)
        elif is_map(field):
            self.mapping(node, message, field, path)
        elif field.is_repeated:
            self.repeated(node, message, field, path)
        elif field.message_type is not None:
            self.message(node, getattr(message, field.name), path)
        elif field.full_name == DESCRIPTORS:
            message.descriptors = self.descriptors(node, path)  # type: ignore[attr-defined]
        else:
            value = self.scalar(node, field, path)
            if value is not None:
                setattr(message, field.name, value)

    def by_name(self, node: Node, container: object, path: str) -> None:
        if not isinstance(node, Table):
            self.report.add(path, f"expected a mapping from names, got {shown(node)}")
            return
        for name, child in self.once(node, path):
            message: Message = container.add()  # type: ignore[attr-defined]
            message.name = name  # type: ignore[attr-defined]
            inner = join(path, name)
            self.locations[inner] = child.location
            self.message(child, message, inner)

    def repeated(
        self, node: Node, message: Message, field: FieldDescriptor | CField, path: str
    ) -> None:
        container = getattr(message, field.name)
        if not isinstance(node, Items):
            self.report.add(path, f"expected a list, got {shown(node)}", "write [a, b]")
            return
        for index, child in enumerate(node.items):
            inner = f"{path}[{index}]"
            self.locations[inner] = child.location
            if field.message_type is not None:
                self.message(child, container.add(), inner)
            else:
                value = self.scalar(child, field, inner)
                if value is not None:
                    container.append(value)

    def mapping(
        self, node: Node, message: Message, field: FieldDescriptor | CField, path: str
    ) -> None:
        if not isinstance(node, Table):
            self.report.add(path, f"expected a mapping, got {shown(node)}", "write {a: b}")
            return
        entry = field.message_type
        values = entry.fields_by_name["value"] if entry is not None else field
        for name, child in self.once(node, path):
            self.locations[join(path, name)] = child.location
            value = self.scalar(child, values, join(path, name))
            if value is not None:
                getattr(message, field.name)[name] = value

    def message(self, node: Node, message: Message, path: str) -> None:
        """Fill one message; some have a short form."""
        self.locations.setdefault(path, node.location)
        if isinstance(message, duration_pb2.Duration):
            self.duration(node, message, path)
        elif isinstance(message, project_pb2.Window):
            self.window(node, message, path)
        elif isinstance(message, project_pb2.Input) and isinstance(node, Table):
            self.input(node, message, path)
        elif isinstance(message, project_pb2.Field) and isinstance(node, Leaf):
            self.field(node, message, message.DESCRIPTOR.fields_by_name["type"], path)
        elif isinstance(node, Table):
            message.SetInParent()
            self.fields(node, message, path)
        elif isinstance(node, Leaf) and node.value is None:
            message.SetInParent()
        else:
            self.report.add(path, f"expected a mapping, got {shown(node)}")

    def window(self, node: Node, message: project_pb2.Window, path: str) -> None:
        if isinstance(node, Table):
            self.fields(node, message, path)
        elif not (isinstance(node, Leaf) and node.value == LIFETIME):
            self.duration(node, message.length, path)

    def input(self, node: Table, message: project_pb2.Input, path: str) -> None:
        """Fill an input, written flat: the keys of a feature's reference, on_demand or field."""
        names = {name for name, _ in node.entries}
        known_names = set(INPUT_KEYS)
        chosen = sorted(names & {"view", "on_demand", "field"})
        if len(chosen) != 1:
            said = " and ".join(chosen) or "none of them"
            hint = next(
                (did_you_mean(name, INPUT_KEYS) for name in sorted(names - known_names)), ""
            )
            self.report.add(path, f"expected one of view, on_demand, field; got {said}", hint)
            return
        feature = chosen == ["view"]
        known = INPUT_KEYS if feature else (chosen[0], "categorical")
        owner: Message = message.feature if feature else message
        for name, child in self.once(node, path):
            inner = join(path, name)
            self.locations[inner] = child.location
            if name not in known or (feature and name in {"on_demand", "field"}):
                hint = (
                    did_you_mean(name, known) if name not in INPUT_KEYS else f"not with {chosen[0]}"
                )
                self.report.add(inner, f"unknown key {name!r}", hint)
                continue
            target = owner if name in FEATURE_KEYS else message
            self.field(child, target, target.DESCRIPTOR.fields_by_name[name], inner)

    def duration(self, node: Node, message: duration_pb2.Duration, path: str) -> None:
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, timedelta):
            message.FromMicroseconds(durations.to_us(value))
        elif isinstance(value, str):
            try:
                message.FromMicroseconds(durations.parse_us(value))
            except ValueError as error:
                self.report.add(path, str(error), durations.FORM)
        else:
            self.report.add(path, f"expected a duration, got {shown(node)}", durations.FORM)

    def descriptors(self, node: Node, path: str) -> bytes:
        """Return what is in the file that is named, by its way from the project file."""
        name = node.value if isinstance(node, Leaf) else None
        if not isinstance(name, str):
            self.report.add(path, f"expected the path of a file, got {shown(node)}")
            return b""
        try:
            return read_set(Path(node.location.file).parent / name)
        except SchemaError as error:
            self.report.add(path, str(error), DESCRIPTORS_HINT)
            return b""

    def scalar(
        self, node: Node, field: FieldDescriptor | CField, path: str
    ) -> str | float | bool | None:
        """Return the value of a field's type, or None after noting what is wrong."""
        if field.enum_type is not None:
            return self.choice(node, field.enum_type, path)
        value = _taken(node.value if isinstance(node, Leaf) else None, field.cpp_type)
        if value is None:
            text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING and isinstance(node, Leaf)
            hint = 'put it in quotes: "..."' if text else ""
            self.report.add(path, f"expected {expected(field)}, got {shown(node)}", hint)
        elif field.cpp_type in WHOLE:
            low, high = WHOLE[field.cpp_type]
            if not low <= float(value) <= high:
                self.report.add(path, f"{value} is out of range {low} to {high}")
                return None
        return value

    def choice(self, node: Node, enum: EnumDescriptor | CEnum, path: str) -> int | None:
        names = choices(enum)
        value = node.value if isinstance(node, Leaf) else None
        if isinstance(value, str) and value in names:
            return names[value]
        text = value if isinstance(value, str) else ""
        known = ", ".join(names)
        self.report.add(
            path, f"expected one of {known}; got {shown(node)}", suggestion(text, names)
        )
        return None


def _taken(value: object, kind: int) -> str | float | bool | None:
    """Return a value if a field of this kind can hold it."""
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return real(value)
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return value if isinstance(value, str) else None
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return value if isinstance(value, bool) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def suggestion(text: str, names: dict[str, int]) -> str:
    """Suggest a choice when one is near."""
    hint = did_you_mean(text, names)
    return hint if hint.startswith("did") else ""


def choices(enum: EnumDescriptor | CEnum) -> dict[str, int]:
    """Return an enum's values as users write them: FUNCTION_MEAN is `mean`."""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    return {v.name.removeprefix(prefix).lower(): v.number for v in enum.values if v.number}


def real(value: object) -> float | None:
    """Return a finite number, also from 1e-5, which YAML 1.1 takes for text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def keyed(field: FieldDescriptor | CField) -> str:
    """Return the key under which a field is written."""
    return "project" if field.full_name.endswith("v1.Project.name") else field.name


def written(field: FieldDescriptor | CField) -> bool:
    """Tell whether a field is a key of its own: names of mappings are not."""
    owner = field.containing_type.name if field.containing_type is not None else ""
    return not (
        field.name == "name"
        and owner in {"Stream", "FeatureView", "OnDemandFeature", "Model", "Field", "Column"}
    )


def is_map(field: FieldDescriptor | CField) -> bool:
    """Tell whether a field is a protobuf map."""
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def expected(field: FieldDescriptor | CField) -> str:
    """Name the type of a field for a person."""
    if field.enum_type is not None:
        return f"one of {', '.join(choices(field.enum_type))}"
    if field.cpp_type in WHOLE:
        return "a whole number"
    names = {
        FieldDescriptor.CPPTYPE_STRING: "text",
        FieldDescriptor.CPPTYPE_BOOL: "true or false",
        FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    }
    return names.get(field.cpp_type, "a mapping")


def shown(node: Node) -> str:
    """Describe what stands there."""
    if isinstance(node, Table):
        return "a mapping"
    if isinstance(node, Items):
        return "a list"
    if node.value is None:
        return "nothing"
    return repr(node.value)


def join(path: str, name: str) -> str:
    """Append a name to a path."""
    return f"{path}.{name}" if path else name
