"""Decide which version answers a key: a pure function, the same on every replica."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import xxhash

BUCKETS = 10_000


class Variant(StrEnum):
    """What part a version plays in an answer."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class Pin:
    """A version that a table names: its number and what it must hold."""

    number: int
    digest: str


@dataclass(frozen=True, slots=True)
class Table:
    """One routing table of one model. Tables with a larger version replace it.

    `limit` is the challenger's range [0, limit) of the buckets. Law: with the same salt a larger
    share keeps every key that the challenger had, so a ramp moves no key back and forth.
    """

    model: str
    version: int
    salt: str
    champion: Pin | None = None
    challenger: Pin | None = None
    previous: Pin | None = None
    limit: int = 0
    tripped: str = ""

    @property
    def share(self) -> float:
        """The share of keys that the challenger answers now."""
        return 0.0 if self.challenger is None or self.tripped else self.limit / BUCKETS

    @property
    def wanted(self) -> dict[int, str]:
        """Return number -> digest of every version to hold ready; the last champion stays one."""
        pins = (self.champion, self.challenger, self.previous)
        return {pin.number: pin.digest for pin in pins if pin is not None}


@dataclass(frozen=True, slots=True)
class Route:
    """Where one row goes, and how likely that was."""

    number: int
    variant: Variant
    propensity: float
    table_version: int


def limit_of(share: float) -> int:
    """Turn a share in 0..1 into a number of buckets; anything beyond is cut."""
    return round(min(max(share, 0.0), 1.0) * BUCKETS)


def bucket(salt: str, key: bytes) -> int:
    """Place `key` in one of the buckets."""
    return xxhash.xxh3_64_intdigest(salt.encode() + key) % BUCKETS


def route(table: Table, key: bytes) -> Route | None:
    """Choose the version for `key`; None while the model has no champion."""
    if table.champion is None:
        return None
    if table.challenger is None or table.tripped or not table.limit:
        return Route(table.champion.number, Variant.CHAMPION, 1.0, table.version)
    share = table.limit / BUCKETS
    if bucket(table.salt, key) < table.limit:
        return Route(table.challenger.number, Variant.CHALLENGER, share, table.version)
    return Route(table.champion.number, Variant.CHAMPION, 1.0 - share, table.version)


def supersedes(new: Table, old: Table | None) -> bool:
    """Say whether `new` is to be routed by: late and repeated news of the registry is not."""
    return old is None or new.version > old.version


def trip(table: Table, reason: str) -> Table:
    """Stop routing to the challenger for this table version; the first reason stays."""
    if table.challenger is None or table.tripped:
        return table
    return replace(table, tripped=reason)
