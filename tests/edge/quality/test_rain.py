"""A rain gauge: storms pass, bursts of a contact do not, and a total that begins again is no rain."""

from __future__ import annotations

import random

import pytest

from edge.contract.quality_config import QualityChoice, RateChoice
from edge.contract.readings import Flag, Test
from edge.quality import PASS, Verdict
from edge.quality.rain import RainJudge, most_mm

MINUTE_MS = 60_000
TIP = 0.2


def judge(amounts: list[float], *, minutes: float = 1, judge: RainJudge | None = None, first: float = 7.0) -> list[int]:
    """The tests that each amount got once it was decided; what is held at the end stays in doubt."""
    one, total, said, held = judge or RainJudge(), first, list[Verdict | None](), -1
    one.feed(0, total)
    for number, amount in enumerate(amounts, 1):
        total = round(total + amount, 6)
        step = one.feed(round(number * minutes * MINUTE_MS), total)
        if held >= 0:
            said[held] = step.held
            held = -1
        said.append(step.now)
        if step.now is None:
            held = len(said) - 1
    if held >= 0:
        said[held] = one.doubt
    return [(verdict or PASS).tests for verdict in said]


def tips(rate_mm_h: float, minutes: int, seed: int = 1) -> list[float]:
    """Tips of rain of about one intensity, minute by minute."""
    rng, kept, found = random.Random(seed), 0.0, []
    for _ in range(minutes):
        kept += rate_mm_h / 60 * rng.uniform(0.5, 1.5)
        count = int(kept / TIP)
        kept -= count * TIP
        found.append(count * TIP)
    return found


@pytest.mark.parametrize("rate_mm_h", [1, 10, 50, 120, 200])
def test_rain_passes(rate_mm_h: float) -> None:
    """From a drizzle to the heaviest hour measured in China, an hour of rain between dry ones is not flagged."""
    assert not any(judge([0.0] * 60 + tips(rate_mm_h, 60) + [0.0] * 60))


@pytest.mark.parametrize("minutes", [10, 60])
def test_a_shower_between_dry_samples_passes(minutes: int) -> None:
    """Where samples are ten minutes or an hour apart, a whole shower may be one of them."""
    assert not any(judge([0, 0, 12.0 if minutes == 10 else 50.0, 0, 0], minutes=minutes))


def test_a_day_of_the_heaviest_rain_passes() -> None:
    """1672 mm in a day, hour by hour."""
    assert not any(judge([1672 / 24] * 24, minutes=60))


def test_more_than_can_fall_is_a_burst() -> None:
    """40 mm in a minute of rain, and the minutes beside it pass."""
    said = judge([*tips(30, 30), 40.0, *tips(30, 30, seed=2)])
    assert said[30] == Test.BURST
    assert not any(said[:30] + said[31:])


def test_a_lone_sample_of_rain_is_a_burst() -> None:
    """Thirty tips in one minute, dry before and after."""
    assert judge([0.0] * 30 + [6.0] + [0.0] * 30)[30] == Test.BURST


def test_the_first_minute_of_a_storm_waits_and_passes() -> None:
    """The same amount passes when it goes on raining; a detector hears of the doubt at once."""
    assert not any(judge([0.0] * 30 + [6.0, 3.0, 4.0, 2.0] + [0.0] * 30))
    one = RainJudge()
    one.feed(0, 0.0)
    one.feed(MINUTE_MS, 0.2)
    assert one.feed(100 * MINUTE_MS, 12.0 + most_mm(99)).now is None
    assert one.doubt == Verdict(Flag.SUSPECT, Test.BURST)


def test_a_contact_that_bounces_for_long_is_a_burst() -> None:
    """8 mm a minute for twenty minutes: each of them can be, all of them cannot."""
    said = judge([*tips(30, 10), *([8.0] * 20), *([0.0] * 30)])
    assert not any(said[:14])
    assert said[20:30].count(Test.BURST) >= 8


@pytest.mark.parametrize("after", [0.0, 0.2])
def test_a_total_that_begins_again_is_no_rain(after: float) -> None:
    """100 mm, then 0 and on from there: nothing is flagged, and the next 100 mm are not made up."""
    assert not any(judge([0.2, -100.2, 0.0, after, 0.2, 0.0], first=100.0))


def test_a_single_wrong_total_is_a_glitch() -> None:
    """A single 0, and a single total far too high, are spikes; what follows goes on as if they had not been."""
    assert judge([0.2, -100.2, 100.2, 0.2, 0.0], first=100.0) == [0, Test.SPIKE, 0, 0, 0]
    assert judge([0.2, 500.0, -500.0, 0.2, 0.0], first=100.0) == [0, Test.SPIKE, 0, 0, 0]


def test_a_gap_decides_what_is_held() -> None:
    """With nothing after it, what cannot be rain is a burst, and what can passes."""
    for amount, expected in ((40.0, Verdict(Flag.SUSPECT, Test.BURST)), (6.0, PASS)):
        one = RainJudge(resolution=TIP)
        one.feed(0, 0.0)
        assert one.feed(MINUTE_MS, amount).now is None
        assert one.miss(2 * MINUTE_MS) == expected
        assert one.doubt == PASS


def test_a_site_says_how_much_can_fall() -> None:
    """`rate: {per_min: 2}` holds instead of the curve and is shown as the site's; `rate: off` flags no burst."""
    said = QualityChoice(rate=RateChoice(per_min=2.0))
    assert judge([1.0, 1.8, 3.0, 1.0], judge=RainJudge(choice=said, resolution=TIP)) == [0, 0, Test.BURST, 0]
    assert [(one.high, one.source) for one in RainJudge(choice=said).limits()] == [(2.0, "site")]
    off = QualityChoice.model_validate({"rate": False})
    assert not any(judge([0.0, 0.2, 40.0, 0.2], judge=RainJudge(choice=off)))
    assert RainJudge(choice=off).limits() == []
    assert [(one.high, one.source) for one in RainJudge().limits()] == [(15.0, "default")]


def test_what_fell_survives_a_restart() -> None:
    """A judge that goes on from a state says what the other would have said."""
    one, other = RainJudge(), RainJudge()
    judge([*tips(30, 30), *([8.0] * 12)], judge=one)
    other.restore(one.state())
    other.shift(5 * MINUTE_MS)
    step = other.feed((42 + 1 + 5) * MINUTE_MS, 7.0 + sum(tips(30, 30)) + 13 * 8.0)
    assert step.now == Verdict(Flag.SUSPECT, Test.BURST)
