"""How long a build will still take, by what was seen of it."""

from __future__ import annotations

from tidemill_features.progress import Pace


def test_a_build_takes_as_long_for_the_rest_as_its_pace_of_the_last_minute_says() -> None:
    pace = Pace()
    pace.saw("g", 100.0, 0)
    assert pace.seconds_for(1_000) is None
    pace.saw("g", 110.0, 500)
    assert pace.seconds_for(1_000) == 20.0
    pace.saw("g", 165.0, 600)  # the first look is too long ago to count
    assert pace.seconds_for(110) == 60.5


def test_a_build_that_stands_has_no_end_that_anybody_could_tell() -> None:
    pace = Pace()
    pace.saw("g", 100.0, 500)
    pace.saw("g", 110.0, 500)
    assert pace.seconds_for(1) is None


def test_another_generation_begins_anew() -> None:
    pace = Pace()
    pace.saw("g", 100.0, 0)
    pace.saw("g", 110.0, 500)
    pace.saw("h", 111.0, 10)
    assert pace.seconds_for(1) is None


def test_many_looks_in_a_second_count_as_one() -> None:
    pace = Pace()
    for look in range(1_000):
        pace.saw("g", 100.0 + look / 1_000, look)
    pace.saw("g", 102.0, 2_000)
    assert pace.seconds_for(1_000) == 1.0
