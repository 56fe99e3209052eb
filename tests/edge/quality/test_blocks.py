"""What judges are built of: quantiles, running means, the digit size and the season."""

from __future__ import annotations

import math
import random

import pytest

from edge.quality.digits import DigitSize
from edge.quality.scale import Quantiles, Spread
from edge.quality.season import HOUR_MS, Season


@pytest.mark.parametrize("part", [0.5, 0.9, 0.99])
def test_quantiles_are_right_to_a_tenth(part: float) -> None:
    """Of a thousand sizes over three decades each quantile is found to the width of a bin."""
    quantiles = Quantiles()
    sizes = [10 ** (3 * number / 1000) for number in range(1, 1001)]
    random.Random(1).shuffle(sizes)
    for size in sizes:
        quantiles.add(size)
    assert quantiles.quantile(part) == pytest.approx(10 ** (3 * part), rel=0.15)


def test_zeros_count_in_quantiles_and_not_in_those_of_moves() -> None:
    """Nine of ten do not move: the median is 0, the median of moves is not."""
    quantiles = Quantiles()
    for number in range(1000):
        quantiles.add(5.0 if number % 10 == 0 else 0.0)
    assert quantiles.quantile(0.5) == 0.0
    assert quantiles.quantile_of_moves(0.5) == pytest.approx(5.0, rel=0.1)
    assert Quantiles().quantile_of_moves(0.5) == 0.0


def test_quantiles_forget() -> None:
    """What was usual long ago does not count any more, and memory does not grow."""
    quantiles = Quantiles(memory=100)
    for number in range(20_000):
        quantiles.add(1000.0 if number < 10_000 else 1.0 + number % 7)
    assert quantiles.quantile(0.999) < 10
    assert quantiles.count < 110
    assert len(quantiles.bins) < 200


def test_an_outlier_hardly_moves_a_spread() -> None:
    """One surprise a million times as large counts four times the mean."""
    spread = Spread(100.0)
    for _ in range(500):
        spread.add(1.0)
    spread.add(1e6)
    assert spread.mean == pytest.approx(1.03)


@pytest.mark.parametrize(("digit", "largest"), [(0.01, 3), (1.0, 40), (0.25, 2)])
def test_the_digit_size_is_learned(digit: float, largest: int) -> None:
    """Changes are whole digits, most of them several: the smallest is found, in spite of what rounding leaves."""
    digits = DigitSize()
    rng = random.Random(2)
    value = 250.0
    for _ in range(3000):
        new = round((value + digit * rng.randint(-largest, largest)) / digit) * digit + rng.choice((0, 1e-13))
        digits.learn(abs(new - value), new)
        value = new
    assert digits.size == pytest.approx(digit, rel=1.01)


def test_a_digit_size_that_is_given_stays() -> None:
    """What the profile says is not learned again."""
    digits = DigitSize(0.5)
    for _ in range(100):
        digits.learn(0.01, 1.0)
    assert digits.size == 0.5


def test_a_tide_is_learned_in_weeks() -> None:
    """After a month a tide of two waves is forecast to a tenth, and a clock that is set does not disturb it."""
    season = Season()

    def tide(hours: float) -> float:
        return 300 * math.sin(2 * math.pi * hours / 12.4206012) + 150 * math.cos(2 * math.pi * hours / 23.9344696)

    for hour in range(24 * 45):
        season.learn(hour * HOUR_MS, 1500 + tide(hour), season.at(hour * HOUR_MS))
    season.shift(7_777_777)
    off = [season.at(hour * HOUR_MS + 7_777_777) - tide(hour) for hour in range(24 * 45, 24 * 46)]
    assert max(map(abs, off)) < 45
