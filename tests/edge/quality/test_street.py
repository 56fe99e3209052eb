"""A street sensor: what passes or stands under it is named, and no flood is taken for that."""

from __future__ import annotations

import pytest

from edge.contract.quality_config import FlatChoice, GapChoice, QualityChoice, RateChoice, SpikeChoice, StepChoice
from edge.contract.readings import Flag, Test
from edge.quality import PASS
from edge.quality.street import StreetJudge
from tests.edge.quality.streets import MINUTE_MS, START_MS, judge, noise, street

DRY = noise(200)


def after_dry(depths: list[float], one: StreetJudge | None = None) -> list[Test]:
    """The tests of what comes after a dry time, and a dry half hour after that."""
    tests = judge([*DRY, *depths, *noise(30, seed=2)], one).tests
    assert not any(tests[: len(DRY)])
    return tests[len(DRY) : len(DRY) + len(depths)]


def test_a_dry_road_passes() -> None:
    """A day of noise, or of zeros, is not flagged."""
    assert judge(noise(1440)).flagged == []
    assert judge([0.0] * 1440).flagged == []


@pytest.mark.parametrize("height", [40, 150, 1400])
def test_one_sample_up_and_back_is_a_blip(height: float) -> None:
    """It is held until the next sample, and then flagged alone."""
    tests = after_dry([height, 1.0, 0.0])
    assert tests[0] & (Test.BLIP | Test.SPIKE) == Test.BLIP | Test.SPIKE
    assert not any(tests[1:])


def test_the_third_blip_in_half_an_hour_is_a_chain() -> None:
    """Vehicles in a queue give pulses."""
    tests = after_dry([300, 1, 0, 0, 420, 0, 1, 250, 1, 0])
    assert [bool(one & Test.PULSES) for one in tests if one] == [False, False, True]


@pytest.mark.parametrize("height", [60, 155, 240, 700])
def test_a_box_is_flagged_as_long_as_it_stands(height: float) -> None:
    """From the first sample to the last, with the noise of the sensor; the road after it passes."""
    tests = after_dry([height + one for one in noise(90, seed=3)])
    assert all(tests)
    assert all(one & Test.BOX for one in tests)


def test_who_jumps_from_a_dry_road_and_rises_on_is_water() -> None:
    """A flood that jumps by 15 cm in a minute passes at its second sample, and its first one too."""
    judged = judge([*DRY, 155.0, 192.0, 305.0, 339.0, 393.0, 400.0, 396.0])
    assert judged.flagged == []
    assert judged.at_once[len(DRY)].flag is Flag.SUSPECT
    assert judged.at_once[len(DRY) + 1] == PASS


def test_a_box_that_moves_as_water_does_is_water() -> None:
    """A flood that jumped and stood for some samples is released as soon as it rises on, or falls in small steps."""
    risen = after_dry([113, 113, 119, 142, 147, 147, 152])
    assert all(risen[:2])
    assert not any(risen[4:])
    fallen = after_dry([160, 160, 158, 149, 140, 131, 122])
    assert not any(fallen[5:])


def test_water_that_stood_and_sinks_ever_so_slowly_is_water() -> None:
    """By a millimetre in three minutes: nothing that stands on a road sinks by 3 cm."""
    tests = after_dry([float(round(200 - minute / 3)) for minute in range(150)])
    assert all(tests[:80])
    assert not any(tests[100:])


def test_water_that_rose_while_samples_were_missing_is_water() -> None:
    """A car leaves 120 mm of water, and two late samples show 5 mm more a minute: that is no other car each time."""
    depths = [*DRY, *([600.0] * 10), 120.0, 121.0, 221.0, 321.0]
    seconds = [60 * number for number in range(len(depths))]
    seconds[-2:] = [seconds[-3] + 20 * 60, seconds[-3] + 40 * 60]
    judged = judge(depths, seconds=seconds)
    assert judged.tests[-3] & Test.BOX
    assert judged.decided[-1].flag is not Flag.SUSPECT


def test_in_traffic_no_leap_is_water() -> None:
    """After three vehicles in half an hour two that are each higher than the one before are two more of them."""
    traffic = [700.0, 300.0, 800.0, 200.0, 900.0, 400.0]
    tests = after_dry([*traffic, 180.0, 250.0, 340.0, 340.0])
    assert all(one & Test.PULSES for one in tests[-4:-1])
    assert after_dry([300.0, 300.0, 370.0, 440.0])[-1] == Test.NONE


def test_what_rose_once_and_stands_is_another_box() -> None:
    """Two vehicles, of which the second is higher, each for some minutes."""
    assert all(after_dry([200.0, 201.0, 280.0, 279.0, 281.0, 280.0, 279.0]))


def test_water_that_came_at_once_never_rises_faster_than_water() -> None:
    """Two low vehicles pass for water, and a lorry after them does not: it stands there."""
    tests = after_dry([62.0, 126.0, 1434.0, 1434.0, 1434.0])
    assert not any(tests[:2])
    assert all(tests[2:])


def test_a_jump_from_water_that_stays_is_flagged_once() -> None:
    """In water a step is the sample that jumped; the event needs the next one."""
    judged = judge([*DRY, *range(10, 120, 5), *([117.0] * 5), *([234.0] * 6)])
    assert [judged.tests[number] for number in judged.flagged] == [Test.STEP]


def test_a_spike_in_water_is_flagged_alone() -> None:
    """Up or down, and also to zero, as where the echo is lost."""
    for wrong in (320.0, 0.0):
        judged = judge([*DRY, *range(10, 120, 5), 118.0, wrong, 119.0, 119.0, 120.0])
        assert judged.flagged == [len(DRY) + 23]


def test_water_that_does_not_move_for_an_hour_is_flat() -> None:
    """With a digit of one mm; what moves by a digit now and then passes."""
    rise = [float(one) for one in range(10, 41)]
    judged = judge([*DRY, *rise, *([41.0] * 120)])
    assert judged.flagged[0] == len(DRY) + len(rise) + 61
    assert {judged.tests[number] for number in judged.flagged} == {Test.FLAT}
    assert judge([*DRY, *rise, *([41.0, *([42.0] * 50)] * 5)]).flagged == []


def test_coarse_digits_may_stand_still_for_longer() -> None:
    """A sensor that shows whole centimetres shows one for hours, although nobody said that it does."""
    rise = [10.0 * (one // 3) for one in range(3, 30)]
    assert judge([*([0.0] * 200), *rise, *([100.0] * 600)]).flagged == []


def test_water_that_came_fast_tells_no_coarse_digit() -> None:
    """Steps of 5 mm and more, of which some are no multiples of it, are those of a sensor with fine digits."""
    rise = [12.0, 17.0, 30.0, 37.0, 50.0, 71.0, 88.0, 93.0]
    assert judge([*DRY, *rise, *([101.0] * 120)]).flagged[0] == len(DRY) + len(rise) + 61


def test_noise_that_ceases_is_flat() -> None:
    """A dry road must go on showing what it showed; zero is exempt."""
    assert judge([*DRY, *([3.0] * 60)]).flagged[0] < len(DRY) + 20
    assert judge([*DRY, *([0.0] * 1000)]).flagged == []


def test_hours_of_slow_rising_are_snow() -> None:
    """Snow of 30 mm an hour is flagged from 10 cm on; water that comes on top of it is not."""
    snow = [number / 2 for number in range(400)]
    judged = judge([*DRY, *snow])
    assert judged.tests[-1] == Test.SNOW
    assert all(judged.tests[number] == Test.SNOW for number in judged.flagged)
    water = [snow[-1] + 12 * number for number in range(1, 10)]
    assert judge([*DRY, *snow, *water]).tests[-1] == Test.NONE


def test_faster_than_any_flood_is_suspect_twice() -> None:
    """What rises by more than 260 mm/min needs a third sample, and is believed when it goes on."""
    one = street()
    judged = judge([*DRY, 300.0, 420.0, 520.0, 560.0, 590.0, 600.0], one)
    tests = judged.tests[len(DRY) :]
    assert all(each & Test.RATE for each in tests[:2])
    assert not any(tests[3:])
    (rate,) = (limit for limit in one.limits() if limit.test == Test.RATE)
    assert rate.source == "learned"
    assert rate.high is not None
    assert rate.high > 300


def test_no_road_is_there() -> None:
    """What is far below the road or metres above it is flagged, and never failed: only the profile's span does."""
    assert {verdict.flag for verdict in judge([*DRY, *([-4000.0] * 5), *([9000.0] * 5)]).decided} == {1, 3}


@pytest.mark.parametrize(("unit", "part"), [("cm", 0.1), ("in", 1 / 25.4), ("m", 0.001), ("", 1 / 25.4), ("", 0.1)])
def test_any_unit_gives_the_same(unit: str, part: float) -> None:
    """Limits are those of millimetres, told or seen from the digits and the noise."""
    depths = [*DRY, 400.0, 0.0, 1.0, *range(0, 200, 8), *([200.0] * 5), *([320.0] * 4), *range(320, 0, -8)]
    digits = {"cm": 1, "m": 3}.get(unit, 2)
    same = judge([round(depth * part, digits) for depth in depths], StreetJudge(unit=unit, interval_ms=MINUTE_MS))
    assert same.flagged == judge(depths).flagged != []


def test_a_zero_that_is_off_is_learned() -> None:
    """A dry road that shows 12 mm for a day is dry: what stands on it is a box, and the road is not."""
    wrong = [12 + depth for depth in noise(1500)]
    judged = judge([*wrong, *([212.0, 211.0] * 20), *wrong[:60]])
    assert judged.flagged == list(range(1500, 1540))


def test_a_rough_roof_is_a_box() -> None:
    """What stands there may show three times the noise of the road: steps up and down are no water."""
    rough = [3 * depth + 900 for depth in noise(120, seed=4)]
    assert all(one & (Test.BOX | Test.PULSES | Test.RATE) for one in after_dry(rough))


def test_a_jump_over_some_minutes_is_a_box_only_where_it_was_faster_than_water() -> None:
    """Two samples are missing: 400 mm that do not move any more are a box, 120 mm may be water."""
    seconds = [60 * number for number in range(len(DRY))]
    later = [seconds[-1] + 180 + 60 * number for number in range(5)]
    fast = judge([*DRY, *[400.0] * 5], seconds=[*seconds, *later])
    assert all(one & Test.BOX for one in fast.tests[len(DRY) :])
    slow = judge([*DRY, *[120.0] * 5], seconds=[*seconds, *later])
    assert not any(slow.tests[len(DRY) + 1 :])


def test_a_gap_is_told_and_gives_the_benefit_of_the_doubt() -> None:
    """After minutes without a sample nobody knows whether it came at once."""
    seconds = [60 * number for number in range(len(DRY))]
    judged = judge(
        [*DRY, 180.0, 180.0, 181.0], seconds=[*seconds, seconds[-1] + 420, seconds[-1] + 480, seconds[-1] + 540]
    )
    assert judged.decided[len(DRY)].flag is Flag.SUSPECT
    assert judged.decided[len(DRY) + 1] == PASS
    quiet = judge([*DRY, 1.0, 2.0], seconds=[*seconds, seconds[-1] + 420, seconds[-1] + 480])
    assert quiet.decided[len(DRY)] == (Flag.NOT_EVALUATED, Test.GAP)


def test_what_was_held_is_decided_when_nothing_comes() -> None:
    """It stays suspect, and what comes then is still seen as what stands on a dry road."""
    one = street()
    judge([*DRY, 400.0], one)
    assert one.miss(START_MS + (len(DRY) + 1) * MINUTE_MS) is not None
    assert one.miss(START_MS + (len(DRY) + 2) * MINUTE_MS) is None
    after = judge([400.0, 401.0], one, first=len(DRY) + 3)
    assert all(test & Test.BOX for test in after.tests)


def test_what_a_site_says_goes_before() -> None:
    """A test can be switched off, or be given its limit, and the limits say who said so."""
    silent = QualityChoice(spike=SpikeChoice(off=True), step=StepChoice(off=True), flat=FlatChoice(off=True))
    one = StreetJudge(unit="mm", interval_ms=MINUTE_MS, choice=silent)
    assert judge([*DRY, 200.0, *DRY, *([90.0] * 90), *DRY], one).flagged == []
    said = QualityChoice(
        rate=RateChoice(per_min=500),
        spike=SpikeChoice(least=100),
        gap=GapChoice(after_s=60_000),
        flat=FlatChoice(after_s=600),
    )
    one = StreetJudge(unit="mm", interval_ms=MINUTE_MS, choice=said)
    assert judge([*DRY, 80.0, *DRY], one).flagged == []
    assert judge([*DRY, *range(10, 60, 5), *([60.0] * 15)], StreetJudge(unit="mm", choice=said)).flagged != []
    assert {limit.test: limit.high for limit in one.limits()} == {32: 500, 64: 100, 128: 600, 512: 50}
    assert {limit.source for limit in one.limits()} == {"site", "default"}
