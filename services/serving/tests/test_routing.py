"""Promises of the routing table."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tidemill_serving.routing import (
    BUCKETS,
    Pin,
    Table,
    Variant,
    bucket,
    limit_of,
    route,
    supersedes,
    trip,
)

KEYS = st.binary(max_size=40)


def a_table(share: float = 0.2, *, version: int = 1, challenger: int = 2, salt: str = "s") -> Table:
    return Table(
        "m",
        version,
        salt,
        champion=Pin(1, "a" * 64),
        challenger=Pin(challenger, "b" * 64) if challenger else None,
        limit=limit_of(share),
    )


@given(KEYS)
def test_a_key_always_goes_to_the_same_version(key: bytes) -> None:
    assert route(a_table(), key) == route(a_table(), key)


@given(KEYS, st.floats(0, 1), st.floats(0, 1))
def test_a_ramp_that_grows_takes_no_key_away_from_the_challenger(
    key: bytes, one: float, other: float
) -> None:
    small, large = sorted((one, other))
    before, after = route(a_table(small), key), route(a_table(large), key)
    assert before is not None
    assert after is not None
    if before.variant is Variant.CHALLENGER:
        assert after.variant is Variant.CHALLENGER


def test_the_share_is_kept_within_a_percent_and_the_propensities_say_it() -> None:
    routes = [route(a_table(0.2), str(n).encode()) for n in range(20_000)]
    counts = Counter(one.variant for one in routes if one is not None)
    assert abs(counts[Variant.CHALLENGER] / 20_000 - 0.2) < 0.01
    assert {(one.variant, one.propensity) for one in routes if one is not None} == {
        (Variant.CHALLENGER, 0.2),
        (Variant.CHAMPION, 0.8),
    }


def test_another_salt_chooses_other_keys() -> None:
    keys = [str(n).encode() for n in range(2_000)]
    chosen = {key for key in keys if bucket("s", key) < 2_000}
    again = {key for key in keys if bucket("t", key) < 2_000}
    assert 0.1 < len(chosen & again) / len(chosen) < 0.3


def test_the_bucket_is_the_same_in_every_process_and_release() -> None:
    assert [bucket("salt", key) for key in (b"", b"a", b"\xff")] == [9907, 8827, 7172]


def test_without_a_champion_nothing_is_routed() -> None:
    assert route(Table("m", 1, ""), b"k") is None


def test_without_a_challenger_everything_goes_to_the_champion() -> None:
    only = route(a_table(1.0, challenger=0), b"k")
    assert only is not None
    assert (only.variant, only.propensity) == (Variant.CHAMPION, 1.0)


@given(KEYS)
def test_a_tripped_table_routes_nothing_to_its_challenger(key: bytes) -> None:
    found = route(trip(a_table(1.0), "5 failures in a row"), key)
    assert found is not None
    assert found.variant is Variant.CHAMPION


def test_the_first_reason_of_a_trip_stays() -> None:
    assert trip(trip(a_table(), "first"), "second").tripped == "first"


def test_only_a_newer_table_supersedes() -> None:
    assert supersedes(a_table(version=1), None)
    assert supersedes(a_table(version=2), a_table(version=1))
    assert not supersedes(a_table(version=1), a_table(version=1))
    assert not supersedes(a_table(version=1), a_table(version=2))


@given(st.floats(allow_nan=False))
def test_a_share_beyond_its_range_is_cut(share: float) -> None:
    assert 0 <= limit_of(share) <= BUCKETS


def test_every_version_that_may_be_needed_is_wanted() -> None:
    table = Table("m", 1, "", Pin(3, "c"), Pin(4, "d"), Pin(2, "b"))
    assert table.wanted == {3: "c", 4: "d", 2: "b"}
