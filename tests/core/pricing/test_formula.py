"""The demand factor: 0.8 to 1.5, smoothed, with hysteresis (brief § 3)."""

from __future__ import annotations

import pytest

from core.pricing.formula import Demand, calculate_demand_target


@pytest.mark.parametrize(
    ("day", "usual", "hours", "percent"),
    [
        (100, 100, None, 100),
        (0, 0, None, 100),
        (200, 0, 500, 100),
        (200, 100, None, 125),
        (1_000, 100, None, 130),
        (20, 100, None, 80),
        (0, 100, None, 80),
        (100, 100, 168, 100),
        (100, 100, 96, 125),
        (100, 100, 24, 150),
        (100, 100, 0, 150),
        (1_000, 100, 0, 150),
    ],
)
def test_where_it_tends(day: int, usual: int, hours: int | None, percent: int) -> None:
    assert calculate_demand_target(last_day=day, usual_day=usual, hours_left=hours) == percent


def test_a_rush_of_an_hour_moves_nothing_and_a_day_of_it_nearly_all() -> None:
    now = Demand().advance_one_hour(130)
    assert now.factor == 100
    for _ in range(23):
        now = now.advance_one_hour(130)
    assert 125 <= now.factor <= 130


def test_it_does_not_flutter() -> None:
    now, seen = Demand(), set()
    for hour in range(400):
        now = now.advance_one_hour(104 if hour % 2 else 98)
        seen.add(now.factor)
    assert seen == {100}


def test_it_comes_back_to_the_usual() -> None:
    now = Demand()
    for goal in [150] * 60 + [100] * 100:
        now = now.advance_one_hour(goal)
        assert 80 <= now.factor <= 150
    assert abs(now.factor - 100) < 5
