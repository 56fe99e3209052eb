"""The judge of what a meter counts in each interval."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality import Verdict
from edge.quality.meter import UseJudge
from tests.edge.quality.decided import judged
from tests.edge.quality.homes import DAY_MS, HALF_HOUR_MS, MONDAY_MS, use_of_home

Series = list[tuple[int, float]]


def flagged(verdicts: Iterable[Verdict]) -> list[int]:
    """Where something was flagged."""
    return [number for number, verdict in enumerate(verdicts) if verdict.flag != Flag.PASS]


def home(seed: int, days: int, **how: float) -> Series:
    """A home as a list."""
    return list(use_of_home(seed, days, **how))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_a_usual_home_is_hardly_ever_flagged(seed: int) -> None:
    """At most one reading in a thousand of a home that has nothing wrong is flagged, from the first day on."""
    verdicts = judged(UseJudge(), home(seed, 150))
    assert len(flagged(verdicts)) <= len(verdicts) / 1000


@pytest.mark.parametrize("times", [2.0, 5.0, 50.0])
def test_one_half_hour_higher_than_any_is_a_spike(times: float) -> None:
    """A value of twice the highest that was ever used, and of more, is flagged as a spike, and it alone."""
    series = home(1, 60)
    at = 55 * 48 + 7
    series[at] = (series[at][0], times * max(value for _, value in series))
    verdicts = judged(UseJudge(), series)
    assert verdicts[at].flag == Flag.SUSPECT
    assert verdicts[at].tests & Test.SPIKE
    assert at + 1 not in flagged(verdicts)


def test_a_value_that_stands_out_waits_for_the_next_one() -> None:
    """Only what stands out from its neighbours more than ever is held, and passes where the next one is as high."""
    judge = UseJudge(choice=QualityChoice.model_validate({"spike": {"least": 1.0}}))
    assert judge.feed(MONDAY_MS, 0.1).now == Verdict(Flag.PASS)
    assert judge.feed(MONDAY_MS + HALF_HOUR_MS, 2.0).now is None
    assert judge.doubt == Verdict(Flag.SUSPECT, Test.SPIKE)
    assert judge.feed(MONDAY_MS + 2 * HALF_HOUR_MS, 2.1).held == Verdict(Flag.PASS)
    assert judge.doubt == Verdict(Flag.PASS)


def test_a_held_value_after_which_nothing_comes_stays_in_doubt() -> None:
    """Where the next value is missing, the one that is held is suspect."""
    judge = UseJudge(choice=QualityChoice.model_validate({"spike": {"least": 1.0}}))
    judge.feed(MONDAY_MS, 0.1)
    judge.feed(MONDAY_MS + HALF_HOUR_MS, 2.0)
    assert judge.miss(MONDAY_MS + 2 * HALF_HOUR_MS) == Verdict(Flag.SUSPECT, Test.SPIKE)
    assert judge.miss(MONDAY_MS + 3 * HALF_HOUR_MS) is None


def test_a_bigger_heater_is_believed_after_some_days() -> None:
    """What is three times as high as before is flagged at first, and not any more once it has come on several days."""
    series = home(2, 60)
    high = 3 * max(value for _, value in series)
    for day in range(40, 60):
        for half_hour in range(36, 42):
            at = day * 48 + half_hour
            series[at] = (series[at][0], high + series[at][1])
    found = flagged(judged(UseJudge(), series))
    assert any(number // 48 == 40 for number in found)
    assert not any(number // 48 >= 45 for number in found)


def test_less_than_nothing_fails() -> None:
    """No meter counts a negative use: that is physics, and fails at the first sample."""
    assert judged(UseJudge(), [(MONDAY_MS, -0.1)]) == [Verdict(Flag.FAIL, Test.SPAN)]


@pytest.mark.parametrize("value", [0.049, 0.4])
def test_a_meter_that_stands_still_is_found(value: float) -> None:
    """The same value for half a day is flagged, and fails once it has stood for days; at 0 it is exempt."""
    series = home(3, 60)
    for at in range(50 * 48, 56 * 48):
        series[at] = (series[at][0], value)
    verdicts = judged(UseJudge(), series)
    assert any(verdict.tests & Test.FLAT for verdict in verdicts[50 * 48 : 50 * 48 + 24])
    assert verdicts[56 * 48 - 1] == Verdict(Flag.FAIL, Test.FLAT)
    assert not verdicts[56 * 48 + 1].tests & Test.FLAT


def test_a_meter_that_only_dithers_stands_still() -> None:
    """A value that goes one digit up and down for a day is stuck, as one that does not move at all."""
    rng, series = random.Random(8), home(3, 60)
    for at in range(50 * 48, 52 * 48):
        series[at] = (series[at][0], rng.choice((0.41, 0.411)))
    verdicts = judged(UseJudge(), series)
    assert any(verdict.tests & Test.FLAT for verdict in verdicts[50 * 48 : 51 * 48])


def test_an_empty_home_at_its_standby_does_not_stand_still() -> None:
    """Four or five digits, up and down for days, are what a meter shows of a steady standby."""
    rng, series = random.Random(9), home(3, 60)
    for at in range(50 * 48, 52 * 48):
        series[at] = (series[at][0], rng.choice((0.004, 0.004, 0.005)))
    assert not [verdict for verdict in judged(UseJudge(), series) if verdict.tests & Test.FLAT]


def test_an_empty_home_at_zero_does_not_stand_still() -> None:
    """A home that uses nothing while nobody is there, and the same standby for hours at night, has no stuck meter."""
    rng = random.Random(5)
    series = [
        (MONDAY_MS + number * HALF_HOUR_MS, 0.0 if number % 48 < 30 else round(rng.lognormvariate(-1, 0.6), 3))
        for number in range(60 * 48)
    ]
    assert not [verdict for verdict in judged(UseJudge(), series) if verdict.tests & Test.FLAT]


@pytest.mark.parametrize("part", [0.0, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_meter_that_was_led_around_is_found_within_ten_days(part: float, seed: int) -> None:
    """Where only a part of the use is counted from some day on, one reading says so within ten days."""
    series = home(seed, 70)
    begin = 50 * 48 + 20
    series[begin:] = [(at_ms, round(value * part, 3)) for at_ms, value in series[begin:]]
    verdicts = judged(UseJudge(), series)
    found = [at for at, verdict in enumerate(verdicts) if verdict.tests & Test.BYPASS]
    assert found
    assert begin < found[0] <= begin + 10 * 48
    assert len(found) == 2  # said on two readings, not on every one


def test_a_constant_part_that_is_not_counted_is_found() -> None:
    """Where what always runs is no longer counted, a reading says so within ten days."""
    series = home(4, 70)
    begin = 50 * 48
    series[begin:] = [(at_ms, max(0.0, round(value - 0.045, 3))) for at_ms, value in series[begin:]]
    found = [at for at, verdict in enumerate(judged(UseJudge(), series)) if verdict.tests & Test.BYPASS]
    assert begin < found[0] <= begin + 10 * 48


@pytest.mark.parametrize("seed", range(4))
def test_a_holiday_is_no_bypass(seed: int) -> None:
    """Three weeks in which only the fridge runs raise no suspicion."""
    verdicts = judged(UseJudge(), use_of_home(seed, 110, away=(60, 81)))
    assert not any(verdict.tests & Test.BYPASS for verdict in verdicts)


def test_what_is_by_passed_teaches_nothing_for_weeks() -> None:
    """Use that is back after two weeks is as usual, and the next by-pass is found as fast as the first."""
    series = home(6, 110)
    for first in (50, 80):
        for at in range(first * 48, (first + 14) * 48):
            series[at] = (series[at][0], round(series[at][1] * 0.4, 3))
    found = [at // 48 for at, verdict in enumerate(judged(UseJudge(), series)) if verdict.tests & Test.BYPASS]
    assert [day for day in found if 50 <= day < 60]
    assert [day for day in found if 80 <= day < 90]
    assert not [day for day in found if day >= 96]


@pytest.mark.parametrize("test", ["spike", "rate", "flat", "drift"])
def test_a_test_that_was_switched_off_flags_nothing(test: str) -> None:
    """What somebody switched off is not said, whatever comes."""
    series = home(1, 60)
    high = 4 * max(value for _, value in series)
    series[52 * 48] = (series[52 * 48][0], high)
    for at in range(54 * 48, 56 * 48):
        series[at] = (series[at][0], 0.4)
    choice = {"rate": False, "spike": False} if test in {"rate", "spike"} else {test: False}
    verdicts = judged(UseJudge(choice=QualityChoice.model_validate(choice)), series)
    bits = {"spike": Test.SPIKE | Test.RATE, "rate": Test.SPIKE | Test.RATE, "flat": Test.FLAT, "drift": Test.BYPASS}
    assert not [verdict for verdict in verdicts if verdict.tests & bits[test]]


def test_limits_that_somebody_said_replace_what_is_learned() -> None:
    """Configured limits judge from the first sample on, and are named with who said them."""
    choice = QualityChoice.model_validate({"rate": {"per_min": 0.1}, "flat": {"after_s": 7200}}).said_by("profile")
    judge = UseJudge(interval_ms=HALF_HOUR_MS, choice=choice)
    values = [1.0, 3.1, 2.0, 2.0, 2.0, 2.0, 2.0]
    verdicts = judged(judge, [(MONDAY_MS + n * HALF_HOUR_MS, value) for n, value in enumerate(values)])
    assert flagged(verdicts) == [1, 6]
    by_test = {limit.test: limit for limit in judge.limits()}
    assert by_test[Test.RATE].high == pytest.approx(3.0)
    assert by_test[Test.RATE].source == "profile"
    assert (by_test[Test.FLAT].high, by_test[Test.FLAT].source) == (7200, "profile")


def test_what_was_learned_is_shown() -> None:
    """Every learned limit names its test, since when it was learned and from how many values."""
    judge = UseJudge()
    judged(judge, home(1, 40))
    limits = {limit.test: limit for limit in judge.limits()}
    assert set(limits) == {Test.RATE, Test.SPIKE, Test.FLAT, Test.BYPASS}
    for limit in limits.values():
        assert limit.source == "learned"
        assert limit.since == MONDAY_MS
        assert limit.samples
        assert limit.note


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999), cut=st.integers(1, 40 * 48), part=st.sampled_from([1.0, 0.3, 5.0, 0.0]))
def test_a_judge_that_is_restored_goes_on_exactly(seed: int, cut: int, part: float) -> None:
    """Whatever has happened before, a restored judge says of all that follows what the first one says."""
    series = home(seed, 42)
    series[20 * 48 : 36 * 48] = [(at_ms, round(value * part, 3)) for at_ms, value in series[20 * 48 : 36 * 48]]
    first, second = UseJudge(), UseJudge()
    for at_ms, value in series[:cut]:
        first.feed(at_ms, value)
    state = first.state()
    second.restore(state)
    assert second.state() == state
    assert len(state) < 20_000
    assert [first.feed(*one) for one in series[cut:]] == [second.feed(*one) for one in series[cut:]]
    assert first.state() == second.state()
    assert first.limits() == second.limits()


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-1e9, 1e9, allow_nan=False) | st.sampled_from([0.0, 1e-300, 5.0]), max_size=200),
    steps=st.lists(
        st.sampled_from([1, HALF_HOUR_MS, 3 * HALF_HOUR_MS, DAY_MS, 400 * DAY_MS]), min_size=200, max_size=200
    ),
)
def test_any_values_at_any_times_are_judged(values: list[float], steps: list[int]) -> None:
    """No value and no gap raises an error, at most one is held, and no verdict is unknown to the contract."""
    judge, at_ms, is_held = UseJudge(), MONDAY_MS, False
    for value, step in zip(values, steps, strict=False):
        at_ms += step
        held, now = judge.feed(at_ms, value)
        assert (held is not None) == is_held
        is_held = now is None
        for verdict in (held, now):
            assert verdict is None or (verdict.flag == Flag.PASS) == (not verdict.tests)
        assert (judge.doubt.flag == Flag.SUSPECT) == is_held
    judge.shift(-DAY_MS)
    judge.limits()
