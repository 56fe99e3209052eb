"""The judge of voltages, currents, powers and the like."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality import Verdict
from edge.quality.kinds import Setting, judge_for
from edge.quality.power import PowerJudge
from tests.edge.quality.decided import judged
from tests.edge.quality.homes import DAY_MS, MONDAY_MS

MINUTE_MS = 60_000
Series = list[tuple[int, float]]


def voltage(days: int, *, digits: int = 1, seed: int = 1) -> Series:
    """A value a minute of a mains voltage that wanders."""
    rng, level, found = random.Random(seed), 230.0, []
    for minute in range(days * 1440):
        level += (230 - level) * 0.02 + rng.gauss(0, 0.3)
        found.append((MONDAY_MS + minute * MINUTE_MS, round(level + rng.gauss(0, 0.2), digits)))
    return found


def power(days: int, *, seed: int = 1) -> Series:
    """A value a minute of a home's power: nothing at night, a kettle, a standby of some watts."""
    rng, found = random.Random(seed), []
    for minute in range(days * 1440):
        hour = minute % 1440 / 60
        kettle = 2000 if 7 <= hour < 22 and rng.random() < 0.02 else 0
        found.append((MONDAY_MS + minute * MINUTE_MS, float(0 if hour < 6 else kettle + 7 + rng.choice((0, 0, 0, 90)))))
    return found


@pytest.mark.parametrize("series", [voltage(6), voltage(6, digits=0), power(6)], ids=["0.1 V", "1 V", "W"])
def test_usual_values_pass(series: Series) -> None:
    """At most one value in a thousand is flagged of what has nothing wrong, no power at night among it."""
    unit = "W" if series[0][1] == 0 else "V"
    verdicts = judged(PowerJudge(unit=unit), series)
    assert sum(verdict.flag != Flag.PASS for verdict in verdicts) <= len(verdicts) / 1000


def test_a_voltage_that_stands_still_is_found() -> None:
    """A voltage that does not move a digit for some hours is flagged, and fails after days; a usual one follows."""
    series = voltage(9)
    series[4 * 1440 : 8 * 1440] = [(at_ms, 230.4) for at_ms, _ in series[4 * 1440 : 8 * 1440]]
    verdicts = judged(PowerJudge(unit="V"), series)
    assert verdicts[4 * 1440 + 180] == Verdict(Flag.SUSPECT, Test.FLAT)
    assert verdicts[8 * 1440 - 1] == Verdict(Flag.FAIL, Test.FLAT)
    assert verdicts[8 * 1440 + 5] == Verdict(Flag.PASS)


@pytest.mark.parametrize(("unit", "value"), [("V", 0.0), ("W", 0.0), ("1", 1.0), ("1", 0.0)])
def test_what_may_stand_still_is_exempt(unit: str, value: float) -> None:
    """A phase that is not there, no power and a power factor of 1 may stand for weeks."""
    series = [(MONDAY_MS + hour * 60 * MINUTE_MS, value) for hour in range(24 * 30)]
    assert {verdict.flag for verdict in judged(PowerJudge(unit=unit), series)} == {Flag.PASS}


def test_a_frequency_with_few_digits_may_stand_for_hours() -> None:
    """Where a meter shows 50.0 Hz for hours every day, that is what is usual for it."""
    rng = random.Random(3)
    series, value = [], 50.0
    for minute in range(20 * 1440):
        if minute % 240 == 0:
            value = rng.choice((49.9, 50.0, 50.1))
        series.append((MONDAY_MS + minute * MINUTE_MS, value))
    assert {verdict.flag for verdict in judged(PowerJudge(unit="Hz"), series)} == {Flag.PASS}


@pytest.mark.parametrize("size", [-200.0, 90.0, 1000.0])
def test_one_value_far_away_from_its_neighbours_is_a_spike(size: float) -> None:
    """It is held for one sample and flagged, alone; a step that stays passes."""
    series = voltage(5)
    at, step = 4 * 1440, 4 * 1440 + 300
    series[at] = (series[at][0], series[at][1] + size)
    series[step:] = [(at_ms, value + size) for at_ms, value in series[step:]]
    verdicts = judged(PowerJudge(unit="V"), series)
    assert [number for number, one in enumerate(verdicts) if one.tests & Test.SPIKE and number >= at] == [at]


def test_the_same_value_after_a_gap_was_not_watched() -> None:
    """Nobody knows whether a value stood still while the gateway was off."""
    series = [one for one in voltage(4) if not 3 * 1440 <= (one[0] - MONDAY_MS) // MINUTE_MS < 3 * 1440 + 600]
    back = next(number for number, (at_ms, _) in enumerate(series) if at_ms >= MONDAY_MS + 3 * DAY_MS)
    series[back] = (series[back][0], series[back - 1][1])
    assert judged(PowerJudge(unit="V"), series)[back] == Verdict(Flag.PASS)


def test_a_held_value_after_which_nothing_comes_stays_in_doubt() -> None:
    """Where the next value is missing, the one that is held is suspect, and a standstill begins anew."""
    judge = PowerJudge(unit="V", choice=QualityChoice.model_validate({"spike": {"least": 5}, "flat": {"after_s": 60}}))
    judge.feed(MONDAY_MS, 230.0)
    assert judge.feed(MONDAY_MS + MINUTE_MS, 250.0).now is None
    assert judge.miss(MONDAY_MS + 2 * MINUTE_MS) == Verdict(Flag.SUSPECT, Test.SPIKE)
    assert judge.feed(MONDAY_MS + 9 * MINUTE_MS, 250.0).now == Verdict(Flag.PASS)
    assert {limit.source for limit in judge.limits()} == {"site"}


def test_tests_that_are_off_say_nothing() -> None:
    """What somebody switched off is not said and has no limit."""
    series = voltage(4)
    series[3 * 1440 :] = [(at_ms, 400.0) for at_ms, _ in series[3 * 1440 :]]
    series[3 * 1440 + 9] = (series[3 * 1440 + 9][0], -9e9)
    judge = PowerJudge(unit="V", choice=QualityChoice.model_validate({"spike": False, "flat": False}))
    assert {verdict.flag for verdict in judged(judge, series)} == {Flag.PASS}
    assert not judge.limits()


def test_learned_limits_are_shown() -> None:
    """Learned limits say from what; before that the default of the standstill is shown as one."""
    judge = PowerJudge(unit="V")
    judge.feed(MONDAY_MS, 230.0)
    assert [(limit.test, limit.source) for limit in judge.limits()] == [(Test.FLAT, "default")]
    judged(judge, voltage(4))
    assert [(limit.test, limit.source) for limit in judge.limits()] == [
        (Test.SPIKE, "learned"),
        (Test.FLAT, "learned"),
    ]
    assert all(limit.high and limit.since == MONDAY_MS and limit.note for limit in judge.limits())


def test_of_the_gateway_itself_only_the_temperature_is_judged() -> None:
    """Load, memory and disk may do anything within their span."""
    assert isinstance(judge_for(Setting("health", unit="°C")), PowerJudge)
    assert judge_for(Setting("health", unit="%")) is None


@settings(max_examples=8, deadline=None)
@given(cut=st.integers(0, 4 * 1440), noise=st.sampled_from([0.0, 400.0]))
def test_a_restored_judge_goes_on_exactly(cut: int, noise: float) -> None:
    """A judge that was saved at any time says of all that follows what the first one says."""
    series = [
        (at_ms, value + (noise if number % 700 == 3 else 0.0)) for number, (at_ms, value) in enumerate(voltage(4))
    ]
    first, second = PowerJudge(unit="V"), PowerJudge(unit="V")
    judged(first, series[:cut])
    second.restore(first.state())
    assert [first.feed(*one) for one in series[cut:]] == [second.feed(*one) for one in series[cut:]]
    assert first.state() == second.state()


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-1e9, 1e9, allow_nan=False) | st.sampled_from([0.0, 5.0]), max_size=150),
    steps=st.lists(st.sampled_from([1, MINUTE_MS, DAY_MS, 400 * DAY_MS]), min_size=150, max_size=150),
)
def test_any_values_at_any_times_are_judged(values: list[float], steps: list[int]) -> None:
    """No value and no gap raises an error, and at most one is held."""
    judge, at_ms, is_held = PowerJudge(unit="V"), MONDAY_MS, False
    for value, step in zip(values, steps, strict=False):
        at_ms += step
        held, now = judge.feed(at_ms, value)
        assert (held is not None) == is_held
        is_held = now is None
        assert (judge.doubt.flag == Flag.SUSPECT) == is_held
    judge.shift(-DAY_MS)
    judge.limits()
