"""Avro schemas: the columns of a record that one describes."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final

from tidemill.project.schemas.columns import (
    MAX_DEPTH,
    MAX_SCHEMA_CHARACTERS,
    Column,
    SchemaError,
    Stored,
    by_name,
)

PLAIN: Final = {
    "boolean": Stored.BOOL,
    "int": Stored.INT64,
    "long": Stored.INT64,
    "float": Stored.FLOAT64,
    "double": Stored.FLOAT64,
    "string": Stored.STRING,
}
LOGICAL: Final = {
    ("long", "timestamp-millis"): Stored.MILLISECONDS,
    ("long", "timestamp-micros"): Stored.MICROSECONDS,
}
NULL: Final = "null"


@lru_cache(maxsize=64)
def columns(text: str) -> dict[str, Column]:
    """Return the columns of a record's schema; SchemaError if it cannot be used.

    Arrays, maps, bytes and unions of several types hold no column, but may be there. A schema
    that holds itself is refused: how deep its records are would be for their writer to say.
    """
    schema = parse(text)
    walk = _Walk()
    kind = walk.resolved(schema)
    if not (isinstance(kind, dict) and kind.get("type") == "record"):
        raise SchemaError("the schema is not of a record")
    walk.visit(schema, (), inside=())
    return by_name(walk.found)


def parse(text: str) -> Any:
    """Return the parsed schema, every name in it written out."""
    import fastavro

    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise SchemaError(f"{len(text)} characters, at most {MAX_SCHEMA_CHARACTERS}")
    try:
        raw = json.loads(text)
        _check_depth(raw, 0)
        return fastavro.parse_schema(raw)
    except json.JSONDecodeError as error:
        raise SchemaError(f"not JSON in line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise SchemaError("nested too deeply") from error
    except (
        fastavro.schema.SchemaParseException,
        fastavro.schema.UnknownType,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        if isinstance(error, SchemaError):
            raise
        raise SchemaError(f"not an Avro schema: {_said(error)}") from error


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _check_depth(node: Any, depth: int) -> None:
    if depth > 2 * MAX_DEPTH:
        raise SchemaError("nested too deeply")
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for each in inner:
        _check_depth(each, depth + 1)


class _Walk:
    """Goes through a schema once, and remembers the types it names."""

    def __init__(self) -> None:
        self.found: list[Column] = []
        self._named: dict[str, Any] = {}

    def resolved(self, schema: Any) -> Any:
        """Return what a name stands for, or the schema itself; remember the names it gives."""
        if isinstance(schema, str):
            return self._named.get(schema, schema)
        if isinstance(schema, dict) and "name" in schema:
            self._named[schema["name"]] = schema
        if isinstance(schema, dict) and isinstance(schema.get("type"), dict):
            return self.resolved(schema["type"])
        return schema

    def visit(
        self, schema: Any, path: tuple[str, ...], *, inside: tuple[str, ...], column: bool = True
    ) -> None:
        """Note the columns below `path`; without `column` only look for what is refused."""
        kind = self.resolved(schema)
        if isinstance(kind, list):
            several = [each for each in kind if each != NULL]
            for each in several:
                self.visit(each, path, inside=inside, column=column and len(several) == 1)
            return
        name = kind if isinstance(kind, str) else kind["type"]
        if name in {"record", "error"}:
            self._record(kind, path, inside, column=column)
        elif name in {"array", "map"}:
            items = kind["items" if name == "array" else "values"]
            if self._empty(items):
                raise SchemaError(f"{'.'.join(path)}: items without a size, so any number of them")
            self.visit(items, path, inside=inside, column=False)
        elif column:
            stored = _stored(kind)
            if stored is not None:
                self.found.append(Column(path, stored))

    def _record(
        self, kind: Any, path: tuple[str, ...], inside: tuple[str, ...], *, column: bool
    ) -> None:
        if kind["name"] in inside:
            raise SchemaError(f"{kind['name']} holds itself")
        if len(inside) >= MAX_DEPTH:
            raise SchemaError(f"records nested deeper than {MAX_DEPTH}")
        for field in kind["fields"]:
            inner = (*path, field["name"])
            self.visit(field["type"], inner, inside=(*inside, kind["name"]), column=column)

    def _empty(self, schema: Any) -> bool:
        """Tell whether a value takes no bytes at all."""
        kind = self.resolved(schema)
        if kind == NULL:
            return True
        if not isinstance(kind, dict):
            return False
        if kind["type"] == "record":
            return all(self._empty(field["type"]) for field in kind["fields"])
        return kind["type"] == NULL or (kind["type"] == "fixed" and not kind["size"])


def _stored(kind: Any) -> Stored | None:
    if isinstance(kind, str):
        return PLAIN.get(kind)
    logical = LOGICAL.get((kind["type"], kind.get("logicalType", "")))
    return logical or (Stored.STRING if kind["type"] == "enum" else PLAIN.get(kind["type"]))
