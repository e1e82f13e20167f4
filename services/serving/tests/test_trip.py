"""Promises of the local trip wire."""

from __future__ import annotations

from tidemill_serving.trip import WINDOW, TripWire


def tripped_at(answers: list[bool]) -> int:
    """Return after how many answers (True: failed) the wire trips, 0 for never."""
    wire = TripWire()
    for number, failed in enumerate(answers, 1):
        if wire.record(failed=failed):
            return number
    return 0


def test_five_failures_in_a_row_trip() -> None:
    assert tripped_at([True] * 4 + [False] + [True] * 5) == 10


def test_a_fifth_of_at_least_twenty_trips_and_less_does_not() -> None:
    assert tripped_at(([True] + [False] * 4) * 4) == 20
    assert tripped_at(([True] + [False] * 9) * 100) == 0


def test_few_answers_say_nothing() -> None:
    assert tripped_at([True, False] * 9) == 0


def test_old_failures_are_forgotten() -> None:
    wire = TripWire()
    early = [wire.record(failed=n % 10 == 0) for n in range(WINDOW)]
    late = [wire.record(failed=False) for _ in range(WINDOW)]
    assert not any(early + late)
    assert wire.failures == 0
