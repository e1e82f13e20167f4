"""Which polars expressions depend on nothing but their own row.

The tree is checked node by node against what is known to be scalar: what is not known is refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import polars as pl

NODES: Final = frozenset({"Column", "Literal", "BinaryExpr", "Ternary", "Cast", "Function"})
FUNCTIONS: Final = frozenset(
    {
        "Abs",
        "Ceil",
        "Clip",
        "Coalesce",
        "Exp",
        "FillNull",
        "Floor",
        "Log",
        "Log1p",
        "MaxHorizontal",
        "MinHorizontal",
        "Negate",
        "Pow",
        "Sign",
        "Sql",
        "TemporalExpr",
        "Trigonometry",
    }
)
FAMILIES: Final = {
    "Boolean": frozenset(
        {"IsNull", "IsNotNull", "Not", "IsNan", "IsNotNan", "IsFinite", "IsInfinite", "IsBetween"}
    ),
    "StringExpr": frozenset(
        {
            "ConcatHorizontal",
            "Contains",
            "EndsWith",
            "Find",
            "Head",
            "LenBytes",
            "LenChars",
            "Lowercase",
            "Normalize",
            "PadEnd",
            "PadStart",
            "Replace",
            "Reverse",
            "Slice",
            "StartsWith",
            "StripChars",
            "StripCharsEnd",
            "StripCharsStart",
            "StripPrefix",
            "StripSuffix",
            "Strptime",
            "Tail",
            "Titlecase",
            "Uppercase",
        }
    ),
}


def impurity(expr: pl.Expr) -> str | None:
    """Return the first part of an expression that is not known to be scalar, or None."""
    try:
        pending: list[Any] = [json.loads(expr.meta.serialize(format="json"))]
    except RecursionError:
        return "more nesting than can be checked"
    while pending:
        node = pending.pop()
        kind, body = _opened(node)
        if kind not in NODES:
            return str(kind)
        if kind == "BinaryExpr":
            pending += [body["left"], body["right"]]
        elif kind == "Ternary":
            pending += [body["predicate"], body["truthy"], body["falsy"]]
        elif kind == "Cast":
            pending.append(body["expr"])
        elif kind == "Function":
            if unknown := _unknown_function(body["function"]):
                return unknown
            pending += body["input"]
    return None


def _opened(node: Any) -> tuple[str, Any]:
    """Return the name and the body of a node, which is its name only when it has no body."""
    if isinstance(node, dict) and node:
        name, body = next(iter(node.items()))
        return str(name), body
    return str(node), {}


def _unknown_function(function: Any) -> str | None:
    name, variant = _opened(function)
    if name in FUNCTIONS:
        return None
    word = _opened(variant)[0]
    return None if word in FAMILIES.get(name, ()) else f"{name} {word}".strip()
