"""At its limit a worker is full, until something makes room."""

from __future__ import annotations

import pytest

from tidemill_features.capacity import LOOK_SECONDS, Capacity


def test_a_worker_is_full_from_its_limit_on_and_has_room_again_below() -> None:
    held, now = [99, 100, 101, 99], iter(range(4))
    capacity = Capacity(100, lambda: held.pop(0), lambda: float(next(now)))
    assert [capacity.is_full() for _ in range(4)] == [False, True, True, False]


def test_state_is_not_measured_at_every_flush() -> None:
    measured, now = [], 0.0

    def held() -> int:
        measured.append(now)
        return 0

    capacity = Capacity(100, held, lambda: now)
    for now in (0.0, LOOK_SECONDS / 2, LOOK_SECONDS):  # noqa: B007 (read by the clock)
        capacity.is_full()
    assert measured == [0.0, LOOK_SECONDS]


def test_becoming_full_and_getting_room_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    held, now = [100, 100, 0, 0], iter(range(4))
    capacity = Capacity(100, lambda: held.pop(0), lambda: float(next(now)))
    with caplog.at_level("INFO"):
        for _ in range(4):
            capacity.is_full()
    assert [one.message for one in caplog.records] == ["state.full", "state.has_room"]
