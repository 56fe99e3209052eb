"""The judge of a level: what it flags of a made-up river, and what it lets pass."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator

import pytest

from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality.judge import PASS, Step, Verdict
from edge.quality.level import LevelJudge

QUARTER_MS = 15 * 60_000
START_MS = 1_767_225_600_000  # 2026-01-01
DAY = 96  # samples


def river(days: float, seed: int = 1) -> list[float]:
    """Levels in cm every quarter of an hour: a day's rhythm, some noise, shown in mm."""
    rng = random.Random(seed)
    return [
        round(120 + 4 * math.sin(2 * math.pi * at / DAY) + rng.gauss(0, 0.15), 1) for at in range(round(days * DAY))
    ]


def judge_all(
    judge: LevelJudge, values: Iterable[float], start_ms: int = START_MS, found: list[Verdict] | None = None
) -> list[Verdict]:
    """A verdict for each value, after those that were found before; what is held at the end is in doubt."""
    found = [] if found is None else found
    for number, value in enumerate(values):
        step = judge.feed(start_ms + number * QUARTER_MS, value)
        settle(found, step)
        if step.now is None:
            found.append(judge.doubt)
    return found


def settle(found: list[Verdict], step: Step) -> None:
    if step.held is not None:
        found[-1] = step.held
    if step.now is not None:
        found.append(step.now)


def flagged(verdicts: Iterable[Verdict], test: Test = ~Test.NONE) -> Iterator[int]:
    """Where a verdict is suspect or worse, by one of these tests."""
    return (at for at, verdict in enumerate(verdicts) if verdict.flag >= Flag.SUSPECT and verdict.tests & test)


def test_a_quiet_river_passes() -> None:
    """Sixty days of rhythm and noise give no flag, from the first sample on."""
    assert list(flagged(judge_all(LevelJudge(), river(60)))) == []


@pytest.mark.parametrize("height", [-60, -5, 5, 60, 9999])
def test_a_spike_is_flagged_alone(height: float) -> None:
    """One sample away and back is a spike, and those beside it pass."""
    values = river(10)
    values[800] += height
    verdicts = judge_all(LevelJudge(), values)
    assert list(flagged(verdicts)) == [800]
    assert verdicts[800].tests & Test.SPIKE


def test_one_sample_is_held_and_no_more() -> None:
    """A jump is doubted at once, and so is one sample that stays there; each is decided with the next sample."""
    judge = LevelJudge()
    judge_all(judge, river(5))
    after_ms = START_MS + 5 * DAY * QUARTER_MS
    step = Verdict(Flag.SUSPECT, Test.STEP)
    assert judge.feed(after_ms, 300.0) == Step(None, None)
    assert judge.doubt == Verdict(Flag.SUSPECT, Test.SPIKE)
    assert judge.feed(after_ms + QUARTER_MS, 301.0) == Step(step, None)
    assert judge.doubt == step
    assert judge.feed(after_ms + 2 * QUARTER_MS, 301.0) == Step(step, step)
    assert judge.doubt == PASS


def test_a_surge_that_seems_to_stay_for_one_sample_passes() -> None:
    """Where the water is rough at times, a surge a little beyond the limit that falls back slowly is no step."""
    rng = random.Random(5)
    values = river(10)
    values[:760] = [value + (rng.gauss(0, 1.5) if rng.random() < 0.04 else 0.0) for value in values[:760]]
    judge = LevelJudge()
    judge_all(judge, values[:800])
    top = next(each.high for each in judge.limits() if each.test is Test.SPIKE) or 0.0
    for at, part in enumerate((1.3, 1.25, 0.8, 0.5, 0.2)):
        values[800 + at] += part * top
    assert [at for at in flagged(judge_all(LevelJudge(), values)) if at >= 760] == []


def test_what_is_held_is_a_step_where_it_seemed_to_stay() -> None:
    """When the sample that would show it does not come, the second one of a jump stays suspect."""
    judge = LevelJudge()
    judge_all(judge, river(5))
    after_ms = START_MS + 5 * DAY * QUARTER_MS
    for number in range(2):
        judge.feed(after_ms + number * QUARTER_MS, 300.0)
    assert judge.miss(after_ms + 2 * QUARTER_MS) == Verdict(Flag.SUSPECT, Test.STEP)


def test_a_held_sample_is_decided_when_the_next_one_does_not_come() -> None:
    """Nobody saw whether it came back: it stays suspect, and nothing is held any more."""
    judge = LevelJudge()
    judge_all(judge, river(5))
    after_ms = START_MS + 5 * DAY * QUARTER_MS
    judge.feed(after_ms, 300.0)
    assert judge.miss(after_ms + QUARTER_MS) == Verdict(Flag.SUSPECT, Test.RATE)
    assert judge.miss(after_ms + 2 * QUARTER_MS) is None


@pytest.mark.parametrize("height", [-30, 12, 80])
def test_a_step_is_flagged_for_a_bounded_time(height: float) -> None:
    """The first samples of another level are flagged, then it is normal; going back again is no second fault."""
    values = river(20)
    values[800:1100] = [value + height for value in values[800:1100]]
    found = list(flagged(judge_all(LevelJudge(), values)))
    assert found[0] == 800
    assert found[-1] < 810


def test_the_end_of_a_step_is_no_drift() -> None:
    """A falling river in whole cm, of which a sensor shows 5 more for three days: its repair does not creep."""
    values = [
        float(
            round(120 + 0.8 * math.sin(2 * math.pi * at / DAY) + 0.5 * math.sin(at / DAY / 3) - max(0, at / DAY - 38))
        )
        for at in range(46 * DAY)
    ]
    values[40 * DAY : 43 * DAY] = [value + 5 for value in values[40 * DAY : 43 * DAY]]
    assert all(at > 45 * DAY for at in flagged(judge_all(LevelJudge(), values), Test.DRIFT))


def test_a_flood_passes() -> None:
    """Water that gathers speed and rises by two metres within hours passes; its fall, of days, is said a few times."""
    values = river(30)
    for number in range(1500, len(values)):
        hours = (number - 1500) / 4
        values[number] += 200 * (1 - math.exp(-((hours / 4) ** 2))) * math.exp(-hours / 60)
    found = list(flagged(judge_all(LevelJudge(), values)))
    assert all(at > 1500 + 2 * DAY for at in found)
    assert len(found) <= 5


def test_a_level_that_stands_still_is_flat_and_in_the_end_stuck() -> None:
    """A frozen sensor is suspect within hours, failed after days, and free with its first move."""
    values = river(20)
    values[900:1400] = [values[900]] * 500
    verdicts = judge_all(LevelJudge(), values)
    found = list(flagged(verdicts, Test.FLAT))
    assert 900 < found[0] < 900 + 24
    assert verdicts[1399].flag is Flag.FAIL
    assert found[-1] == 1399
    assert list(flagged(verdicts[1400:])) == []


def test_a_dither_of_one_digit_is_stuck() -> None:
    """A sensor that only trembles between two values beside each other stands still."""
    values = river(20)
    values[900:1100] = [120.0 + 0.1 * (at % 3 == 0) for at in range(200)]
    assert len(list(flagged(judge_all(LevelJudge(), values), Test.FLAT))) > 150


def test_a_river_that_stood_still_before_may_do_so_again() -> None:
    """In whole cm a dry season is flat for a day at a time: what was usual at first is not flagged later."""
    steps = [120.0 - at // 100 for at in range(3000)]
    assert list(flagged(judge_all(LevelJudge(), steps), Test.FLAT)) == []


def test_a_drift_is_flagged_while_it_goes_on_and_forgotten_when_it_is_over() -> None:
    """A sensor that creeps away by a metre in six days is flagged; its repair is no fault."""
    values = river(50)
    for number in range(3000, 3600):
        values[number] += 100 * (number - 3000) / 600
    verdicts = judge_all(LevelJudge(), values)
    found = list(flagged(verdicts, Test.DRIFT))
    assert found
    assert 3000 < found[0] < 3400
    assert all(3000 <= at < 3600 for at in flagged(verdicts))


def test_the_first_sample_after_a_gap_is_not_evaluated() -> None:
    """After samples that did not come nobody knows what happened meanwhile: flag 2."""
    judge = LevelJudge(interval_ms=QUARTER_MS)
    judge_all(judge, river(5))
    after_ms = START_MS + 5 * DAY * QUARTER_MS + 3 * QUARTER_MS
    assert judge.feed(after_ms, 120.0).now == Verdict(Flag.NOT_EVALUATED, Test.GAP)
    assert judge.feed(after_ms + QUARTER_MS, 120.1).now == PASS


def test_far_beyond_all_that_was_seen_is_out_of_range() -> None:
    """Without a span of the sensor a value far beyond its learned range is suspect as long as it lasts."""
    values = river(15)
    values[1200:1230] = [9999.0] * 30
    verdicts = judge_all(LevelJudge(), values)
    assert list(flagged(verdicts, Test.SPAN)) == list(range(1200, 1230))
    assert list(flagged(verdicts)) == list(range(1200, 1230))


def test_a_test_that_is_off_says_nothing() -> None:
    """A site may switch a test off; what only that test says passes."""
    choice = QualityChoice.model_validate({"spike": False, "step": False, "rate": False})
    values = river(10)
    values[800] += 5
    assert list(flagged(judge_all(LevelJudge(choice=choice), values))) == []


def test_what_a_site_says_replaces_what_is_learned() -> None:
    """The height of a spike, the time of a stillness and the rate may be given, and limits say who said it."""
    choice = QualityChoice.model_validate(
        {"spike": {"least": 40}, "flat": {"after_s": 7200}, "rate": {"per_min": 10}}
    ).said_by("site")
    values = river(10)
    values[700] += 30
    values[800] += 200
    values[850:870] = [values[850]] * 20
    judge = LevelJudge(choice=choice)
    verdicts = judge_all(judge, values)
    assert list(flagged(verdicts, Test.SPIKE)) == [800]
    assert min(flagged(verdicts, Test.FLAT)) < 862
    assert verdicts[800].tests & Test.RATE
    said = {limit.test: limit.source for limit in judge.limits()}
    assert said[Test.SPIKE] == said[Test.FLAT] == said[Test.RATE] == "site"
    assert said[Test.DRIFT] == "learned"


def test_a_sensor_that_is_stuck_again_and_again_is_found_as_soon_each_time() -> None:
    """What frees itself with a leap was no water that stood still: it does not make the next time seem usual."""
    values = river(60)
    begins = range(10 * DAY, 60 * DAY, 3 * DAY)
    for begin in begins:
        values[begin : begin + 32] = [values[begin]] * 32
        values[begin + 32] = values[begin] + 1
    found = list(flagged(judge_all(LevelJudge(), values), Test.FLAT))
    first = [next(at for at in found if at >= begin) - begin for begin in begins]
    assert max(first[1:]) <= first[0]


def test_what_stood_still_does_not_teach_how_little_it_moves() -> None:
    """A sensor that was stuck for two days, weeks ago, is found when it shows a twentieth of what the water does."""
    values = river(60)
    values[20 * DAY : 22 * DAY] = [values[20 * DAY]] * (2 * DAY)
    values[40 * DAY : 44 * DAY] = [round(120 + (value - 120) / 20, 1) for value in values[40 * DAY : 44 * DAY]]
    found = [at for at in flagged(judge_all(LevelJudge(), values), Test.ATTENUATED) if at >= 40 * DAY]
    assert found
    assert found[0] < 42 * DAY


def test_a_step_may_end_where_the_river_has_risen_meanwhile() -> None:
    """What goes back by what it came is no second fault, though the water stands higher by as much."""
    values = [value + 12 * min(max(at - 850, 0) / 200, 1) for at, value in enumerate(river(20))]
    values[800:1100] = [value + 12 for value in values[800:1100]]
    found = list(flagged(judge_all(LevelJudge(), values), Test.STEP))
    assert found[0] == 800
    assert found[-1] < 810
