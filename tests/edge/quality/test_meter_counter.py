"""The judge of counters: what they gain in half hours is judged, and no count is held."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality import PASS, Verdict
from edge.quality.counter_use import CounterJudge
from edge.quality.judge import PASSED
from edge.quality.kinds import Setting, judge_for
from edge.quality.meter import UseJudge
from tests.edge.quality.homes import HALF_HOUR_MS, MONDAY_MS, use_of_home

MINUTE_MS = 60_000


def counts(days: int, *, seed: int = 1, begin: int = 0, part: float = 1.0) -> list[tuple[int, int]]:
    """A count of Wh every five minutes; from one half hour on only a part is counted."""
    found, total = [], 0.0
    for number, (at_ms, kwh) in enumerate(use_of_home(seed, days)):
        for sixth in range(6):
            found.append((at_ms + sixth * 5 * MINUTE_MS, int(total)))
            total += kwh * 1000 / 6 * (part if number >= begin else 1.0)
    return found


def judged(judge: CounterJudge, series: list[tuple[int, int]]) -> list[Verdict]:
    """The verdict of each count."""
    steps = [judge.feed(at_ms, count) for at_ms, count in series]
    assert all(step.held is None for step in steps)
    return [step.now or PASS for step in steps]


def test_a_counter_gets_the_judge_of_counters() -> None:
    """A point that only grows is judged by its gains, another one by its values."""
    assert isinstance(judge_for(Setting("meter", is_counter=True)), CounterJudge)
    assert isinstance(judge_for(Setting("meter")), UseJudge)


def test_a_counter_that_is_led_around_is_found() -> None:
    """A counter that gains but a third of what is usual is flagged within ten days, one reading at a time."""
    verdicts = judged(CounterJudge(), counts(65, begin=50 * 48, part=0.3))
    found = [number / 288 for number, verdict in enumerate(verdicts) if verdict.tests & Test.BYPASS]
    assert len(found) == 2
    assert 50 < found[0] <= 60


def test_a_usual_counter_passes() -> None:
    """Hardly any count of a home that has nothing wrong is flagged."""
    verdicts = judged(CounterJudge(), counts(60))
    assert sum(verdict.flag != Flag.PASS for verdict in verdicts) <= len(verdicts) / 1000


def test_a_jump_of_a_counter_is_flagged_at_once() -> None:
    """A counter that gains far more than ever in a half hour is suspect at the count that shows it, and not held."""
    series = counts(40)
    at = 35 * 288 + 100
    series[at:] = [(at_ms, count + 500_000) for at_ms, count in series[at:]]
    verdicts = judged(CounterJudge(), series)
    found = [number for number, verdict in enumerate(verdicts) if verdict.tests & Test.SPIKE]
    assert len(found) == 1
    assert at <= found[0] < at + 6


def test_a_counter_that_begins_again_used_nothing() -> None:
    """Neither a replaced meter nor half hours without any count are taken for a use."""
    judge = CounterJudge(choice=QualityChoice.model_validate({"rate": {"per_min": 1}}))
    series = [(0, 9_000_000), (1, 9_000_010), (2, 0), (3, 10), (9, 8_000), (10, 8_010), (11, 9_000)]
    verdicts = judged(judge, [(MONDAY_MS + slot * HALF_HOUR_MS, count) for slot, count in series])
    assert [verdict.tests for verdict in verdicts] == [0, 0, 0, 0, 0, 0, Test.RATE | Test.SPIKE]


def test_a_counter_that_is_read_every_other_hour_is_judged_too() -> None:
    """Readings further apart than half an hour are judged from one to the next, a little early or late."""
    judge = CounterJudge(interval_ms=4 * HALF_HOUR_MS, choice=QualityChoice.model_validate({"rate": {"per_min": 1}}))
    times = [MONDAY_MS + number * 4 * HALF_HOUR_MS + number % 2 * 50 for number in range(4)]
    verdicts = judged(judge, list(zip(times, [0, 100, 900, 1000], strict=True)))
    assert [verdict.tests for verdict in verdicts] == [0, 0, Test.RATE | Test.SPIKE, 0]


def test_counts_between_half_hours_cost_nothing() -> None:
    """Most counts are passed without a look, and a missing one changes nothing."""
    judge = CounterJudge()
    judge.feed(MONDAY_MS, 5)
    assert judge.feed(MONDAY_MS + MINUTE_MS, 6) is PASSED
    assert judge.miss(MONDAY_MS + 2 * MINUTE_MS) is None


@settings(max_examples=5, deadline=None)
@given(cut=st.integers(0, 20 * 288), part=st.sampled_from([1.0, 0.2, 30.0]))
def test_a_restored_judge_goes_on_exactly(cut: int, part: float) -> None:
    """A judge that was saved in the midst of a half hour says of all that follows what the first one says."""
    series = counts(22, begin=16 * 48, part=part)
    first, second = CounterJudge(), CounterJudge()
    judged(first, series[:cut])
    second.restore(first.state())
    assert judged(first, series[cut:]) == judged(second, series[cut:])
    assert first.state() == second.state()


def test_a_clock_that_was_set_begins_a_half_hour_anew() -> None:
    """What was gained over a step of the clock is no use of a half hour."""
    judge = CounterJudge(choice=QualityChoice.model_validate({"rate": {"per_min": 1}}))
    judge.feed(MONDAY_MS, 0)
    judge.shift(HALF_HOUR_MS)
    assert judge.feed(MONDAY_MS + 2 * HALF_HOUR_MS, 1_000_000) is PASSED
