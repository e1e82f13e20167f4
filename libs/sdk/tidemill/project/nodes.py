"""The tree that both forms of a project file become: values with the line they stand on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import yaml

from tidemill.project.problems import Location, Problem

if TYPE_CHECKING:
    from datetime import timedelta

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
MAX_NODES: Final = 50_000
TAG: Final = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value."""

    value: str | int | float | bool | timedelta | None
    location: Location


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    location: Location


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; keys in the order of the file, repeats included."""

    entries: tuple[tuple[str, Node], ...]
    location: Location


Node = Leaf | Items | Table


@dataclass(slots=True)
class _Reader:
    file: str
    problems: list[Problem] = field(default_factory=list)
    count: int = 0

    def fail(self, message: str, line: int, hint: str = "") -> None:
        self.problems.append(Problem("", message, hint, self.file, line))

    def convert(self, node: yaml.Node, line: int, depth: int = 0) -> Node:
        self.count += 1
        where = Location(self.file, line)
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            return Leaf(None, where)
        if isinstance(node, yaml.MappingNode):
            return Table(tuple(self._entries(node, depth)), where)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.convert(n, line_of(n), depth + 1) for n in node.value), where)
        return Leaf(self._scalar(node), where)

    def _entries(self, node: yaml.MappingNode, depth: int) -> list[tuple[str, Node]]:
        entries: list[tuple[str, Node]] = []
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                entries.append((key.value, self.convert(value, line_of(key), depth + 1)))
            else:
                self.fail("a key must be plain text", line_of(key))
        return entries

    def _scalar(self, node: yaml.Node) -> str | float | bool | None:
        text, tag = str(node.value), node.tag.removeprefix(TAG)
        if node.tag == TAG + tag and tag in {"str", "timestamp", "value", "merge"}:
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in {"true", "yes", "on"}
        if tag in {"int", "float"}:
            return _number(text, whole=tag == "int")
        self.fail(f"the tag {node.tag} is not allowed", line_of(node), "write plain YAML")
        return None


def _number(text: str, *, whole: bool) -> str | float:
    plain = text.replace("_", "")
    try:
        return int(plain) if whole else float(plain)
    except ValueError:  # YAML's octal, sexagesimal and .inf forms mean nothing here
        return text


def line_of(node: yaml.Node) -> int:
    """Return the line on which a node begins, counted from 1."""
    return int(node.start_mark.line) + 1


def parse_yaml(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Parse plain YAML within limits; never builds anything but the tree."""
    if len(text.encode()) > MAX_BYTES:
        return None, [Problem("", f"the file is larger than {MAX_BYTES} bytes", "", file, 1)]
    reader = _Reader(file)
    try:
        if _too_much(text, reader):
            return None, reader.problems
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        reader.fail(_said(error), error.problem_mark.line + 1 if error.problem_mark else 1)
        return None, reader.problems
    except yaml.YAMLError as error:
        reader.fail(str(error).splitlines()[0], 1)
        return None, reader.problems
    if root is None:
        reader.fail("the file is empty", 1, "begin with `project: <name>`")
        return None, reader.problems
    return reader.convert(root, line_of(root)), reader.problems


def _said(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.problem, error.context) if part)


def _too_much(text: str, reader: _Reader) -> bool:
    """Walk the events first: depth and size are known before a tree exists; no anchors."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.NodeEvent) and event.anchor:
            reader.fail("anchors and aliases are not supported", line, "write the value out")
        if depth > MAX_DEPTH or count > MAX_NODES:
            reader.fail("the file is nested too deeply or too large", line)
        if reader.problems and depth > MAX_DEPTH:
            break
    return bool(reader.problems)
