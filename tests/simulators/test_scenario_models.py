"""The models behind the scenario: homes and storms that are plausible and the same for the same seed."""

from __future__ import annotations

import pytest

from simulators.household import DAY_S, HOUR_S, Household
from simulators.scenarios.storm import Rain, River, Road, at

HOMES = [Household(f"home-{number}") for number in range(30)]


def test_a_home_is_its_seed() -> None:
    """The same seed gives the same home, another seed another one."""
    again = Household("home-0")
    assert [again.power_w(second) for second in range(0, DAY_S, 600)] == [
        HOMES[0].power_w(second) for second in range(0, DAY_S, 600)
    ]
    assert again.first_wh != HOMES[1].first_wh


def test_homes_use_what_homes_use() -> None:
    """Every home uses 2 to 25 kWh a day, never less than its base load, and homes together peak at meals."""
    for home in HOMES:
        assert 2_000 < home.energy_wh(0, DAY_S) < 25_000
        assert min(home.power_w(second) for second in range(0, DAY_S, 300)) >= home.base_w
    by_hour = [sum(home.energy_wh(hour * HOUR_S, (hour + 1) * HOUR_S) for home in HOMES) for hour in range(24)]
    assert max(by_hour[17:21]) > 2 * max(by_hour[1:5])
    assert max(by_hour[6:8]) > 1.5 * max(by_hour[1:5])


def test_energy_is_the_sum_of_power() -> None:
    """What the counter gains is what the load adds up to, also past midnight, and it never falls."""
    home = HOMES[3]
    seconds = range(20 * HOUR_S, 30 * HOUR_S)
    summed = sum(home.power_w(second + 0.5) for second in seconds) / HOUR_S
    assert home.energy_wh(seconds.start, seconds.stop) == pytest.approx(summed, rel=0.001)
    assert all(home.energy_wh(0, second) <= home.energy_wh(0, second + 600) for second in range(0, 2 * DAY_S, 600))


def test_rain_begins_peaks_and_ends() -> None:
    """It is dry before the rain begins, heaviest at the peak, and over two hours later."""
    rain = Rain(begins_min=10, peak_min=24, peak_mm_h=95)
    assert rain.intensity_mm_h(10) == 0
    assert rain.intensity_mm_h(24) == pytest.approx(95)
    assert max(rain.intensity_mm_h(minute) for minute in range(150)) <= 95
    assert rain.intensity_mm_h(150) < 0.01


def test_a_road_with_a_good_drain_stays_dry() -> None:
    """Water stands only where more comes than the drain takes, and never below 0."""
    rain = Rain()
    assert max(Road(gathers=1, drain_mm_min=3).depths_mm(rain, 180)) == 0
    blocked = Road(gathers=1, drain_mm_min=0).depths_mm(rain, 180)
    fell_mm = sum(rain.intensity_mm_h(minute / 10) / 600 for minute in range(1800))
    assert blocked[-1] == pytest.approx(fell_mm, rel=0.01)


def test_a_river_rises_and_falls_slowly() -> None:
    """The river rises with the rain, is highest after the rain's peak, and falls towards its base."""
    levels = River(base_mm=1_000, rise_mm_per_mm=26, lag_min=60).levels_mm(Rain(begins_min=10, peak_min=24), 600)
    assert levels[0] == 1_000
    assert levels.index(max(levels)) > 24 * 4
    assert 1_000 < levels[-1] < 1_010


def test_between_steps_the_level_is_on_the_line() -> None:
    """A level between two steps is interpolated; after the last it stays."""
    assert [at([0.0, 10.0, 20.0], minute) for minute in (0, 0.125, 0.25, 0.5, 9)] == [0, 5, 10, 20, 20]
