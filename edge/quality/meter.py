"""The judge of what a meter counts in each interval: energy or water used, mostly per half hour.

========  ====  =======================================================================================================
test      flag  is set when
========  ====  =======================================================================================================
SPAN      4     less than nothing was used
RATE      3     more was used than ever in one interval, by a margin (:mod:`edge.quality.tops`)
SPIKE     3     the same, all at once; or higher than both neighbours by more than it ever was
FLAT      3, 4  one value that is not 0, or two that are a digit apart, again and again (:mod:`edge.quality.repeats`);
                4: for three days and longer
BYPASS    3     for days only a part of what is usual is counted (:mod:`edge.quality.habit`), on one reading a day
========  ====  =======================================================================================================

Only a value that stands out from the one before it is held, until the next one says whether it is alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality.habit import ALARM, Habit, HabitState
from edge.quality.judge import PASS, PASSED, Step, Verdict
from edge.quality.kept import LARGEST, Count, Kept, Moment, Size
from edge.quality.repeats import Repeats
from edge.quality.tops import Tops

DAY_MS: Final = 86_400_000
A_DIGIT: Final = 1.001  # as decimals are not exact
STANDBY_DIGITS: Final = 12  # fewer, and low for this home: a steady load, and no standstill
LOW_SHARE, LOW_FOLLOWS = 0.2, 0.02  # of its uses are lower, and how fast that is followed
NEAR_LOW: Final = 1.5
DITHER_DIGITS: Final = 20  # of less, one up or down is no standstill
STUCK_FOR_LONG_MS: Final = 3 * DAY_MS
TIMES_FOR_GOOD: Final = 3  # times the length that is strange, at least, before stuck is beyond doubt
SUSTAINED_AGAIN, ALONE_AGAIN = 3, 5  # days
LESS_THAN_NOTHING: Final = Verdict(Flag.FAIL, Test.SPAN)
SPIKE: Final = Verdict(Flag.SUSPECT, Test.SPIKE)
HOLD: Final = Step(None, None)


class UseState(msgspec.Struct):
    """All that is remembered of one meter."""

    habit: HabitState = msgspec.field(default_factory=HabitState)
    repeats: Repeats = msgspec.field(default_factory=Repeats)
    dither: Repeats = msgspec.field(default_factory=Repeats)
    highs: Tops = msgspec.field(default_factory=Tops)
    alone: Tops = msgspec.field(default_factory=Tops)
    held_at: Moment | None = None  # the last value is held
    last: Size | None = None
    before: Size | None = None
    last_at: Moment | None = None
    since: Moment | None = None
    interval_ms: Moment | None = None
    digit: Size = LARGEST  # the smallest step that was seen
    low: Size = 0.0  # a fifth of what is used in an interval is less
    is_high: bool = False
    samples: Count = 0


class UseJudge(Kept[UseState]):
    """Judges the use of intervals that follow one another."""

    __slots__ = ("_choice", "_habit", "_is_weighed")

    def __init__(self, *, interval_ms: int | None = None, choice: QualityChoice | None = None) -> None:
        self._choice = choice or QualityChoice()
        self._is_weighed = not self._choice.is_off("drift")
        self._habit = Habit()
        super().__init__(UseState(self._habit.state, interval_ms=interval_ms))

    @property
    def doubt(self) -> Verdict:
        """A held value stands out."""
        return PASS if self._state.held_at is None else SPIKE

    def feed(self, at_ms: int, value: float) -> Step:
        """Take the use of the next interval."""
        state = self._state
        if value < 0:
            return Step(self.miss(at_ms), LESS_THAN_NOTHING)
        held = self._look_back(value)
        if state.since is None:
            state.since = at_ms
        if state.interval_ms is None and state.last_at is not None:
            state.interval_ms = at_ms - state.last_at
        state.samples += 1
        state.last_at, last = at_ms, state.last
        state.before, state.last = last, value
        highest = self._highest()
        if 0 < highest < value:
            return Step(held, self._refuse_high(at_ms, value))
        state.is_high = False
        if self._is_still(at_ms, value, last):
            state.held_at = None
            return Step(held, self._stuck(at_ms))
        if last is not None and 0 < self._highest_alone() < value - last:
            state.held_at = at_ms
            return HOLD if held is None else Step(held, None)
        now = self._believe(at_ms, value)
        return PASSED if held is None and now is PASS else Step(held, now)

    def miss(self, at_ms: int) -> Verdict | None:  # noqa: ARG002 -- of the seam
        """Nothing follows what is held: it stays in doubt."""
        state = self._state
        held = None if state.held_at is None else SPIKE
        state.held_at = state.last = state.before = None
        return held

    def _look_back(self, value: float) -> Verdict | None:
        """Learn how far the last value stood out from its neighbours; decide about it where it is held."""
        state = self._state
        last, before, held_at = state.last, state.before, state.held_at
        if last is None or before is None or state.is_high:
            return None
        height = last - (max(value, before))
        if held_at is None:
            if height > 0 and state.last_at is not None:
                state.alone.learn(state.last_at // DAY_MS, height)
            return None
        state.held_at = None
        if height > self._highest_alone():
            state.alone.refuse(held_at // DAY_MS, height, again=ALONE_AGAIN)
            return SPIKE
        return self._believe(held_at, last)

    def _believe(self, at_ms: int, value: float) -> Verdict:
        """Learn from a value that nothing is wrong with."""
        self._state.highs.learn(at_ms // DAY_MS, value)
        if self._is_weighed and self._habit.feed(at_ms, value):
            return Verdict(Flag.SUSPECT, Test.BYPASS)
        return PASS

    def _highest(self) -> float:
        """More than this in one interval is strange; 0: not known."""
        said = self._choice.rate
        if said is None:
            return self._state.highs.limit
        interval_ms = self._state.interval_ms
        if said.off or said.per_min is None or interval_ms is None:
            return 0.0
        return said.per_min * interval_ms / 60_000

    def _highest_alone(self) -> float:
        """Higher than both neighbours by more than this is strange; 0: not known."""
        said = self._choice.spike
        if said is None:
            return self._state.alone.limit
        return 0.0 if said.off or said.least is None else said.least

    def _refuse_high(self, at_ms: int, value: float) -> Verdict:
        state = self._state
        if state.is_high:  # twice in a row: no spike
            state.highs.refuse(at_ms // DAY_MS, value, again=SUSTAINED_AGAIN)
            return Verdict(Flag.SUSPECT, Test.RATE)
        state.is_high = True
        return Verdict(Flag.SUSPECT, Test.RATE | Test.SPIKE)

    def _is_still(self, at_ms: int, value: float, last: float | None) -> bool:
        said, state = self._choice.flat, self._state
        if last is not None and value != last:
            step = abs(value - last)
            if max(value, last) * 1e-9 < step < state.digit:
                state.digit = step
        digit = state.digit if state.digit < LARGEST else 0.0
        is_still = state.repeats.feed(at_ms, value, digit=digit)
        is_near = state.dither.feed(at_ms, value, digit=digit, room=A_DIGIT * digit)
        is_still |= is_near and value >= DITHER_DIGITS * digit
        if value > 0:
            state.low *= 1 + LOW_FOLLOWS * LOW_SHARE if value > state.low else 1 - LOW_FOLLOWS * (1 - LOW_SHARE)
            state.low = state.low or value
        is_still &= value >= STANDBY_DIGITS * digit or value > NEAR_LOW * state.low
        if said is None:
            return is_still
        still_ms = at_ms - state.repeats.since
        return value > 0 and not said.off and said.after_s is not None and still_ms >= said.after_s * 1000

    def _stuck(self, at_ms: int) -> Verdict:
        run = max(self._state.repeats, self._state.dither, key=lambda its: its.length / max(its.limit, 1))
        is_for_good = at_ms - run.since >= STUCK_FOR_LONG_MS and run.length >= TIMES_FOR_GOOD * run.limit
        return Verdict(Flag.FAIL if is_for_good else Flag.SUSPECT, Test.FLAT)

    def limits(self) -> Sequence[LearnedLimit]:
        """What is known of spikes, runs and the habit."""
        return limits_of(self._choice, self._state, self._highest(), self._highest_alone())

    def go_on(self, state: UseState) -> None:
        """Everything, the value that is held too."""
        self._habit.go_on(state.habit)
        self._state = state

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        state = self._state
        state.repeats.shift(by_ms)
        state.dither.shift(by_ms)
        self._habit.shift(by_ms)
        state.held_at = None if state.held_at is None else state.held_at + by_ms
        state.last_at = None if state.last_at is None else state.last_at + by_ms
        state.since = None if state.since is None else state.since + by_ms


def limits_of(choice: QualityChoice, state: UseState, highest: float, alone: float) -> list[LearnedLimit]:
    """What a judge knows, for people."""
    since, until, samples = state.since, state.last_at, state.samples
    found = []
    for test, said, high, note in (
        (Test.RATE, choice.rate, highest, "most in one interval: the second highest day with a margin"),
        (Test.SPIKE, choice.spike, alone, "most above both neighbours: the second highest day with a margin"),
    ):
        if high and said is None:
            found.append(LearnedLimit(test=test, high=high, since=since, until=until, samples=samples, note=note))
        elif high and said is not None:
            found.append(LearnedLimit(test=test, high=high, source=said.source))
    found += _flat_limit(choice, state)
    if habit := habit_limit(choice, state.habit, since, until):
        found.append(habit)
    return found


def _flat_limit(choice: QualityChoice, state: UseState) -> list[LearnedLimit]:
    said, run = choice.flat, state.repeats
    if said is not None:
        return [LearnedLimit(test=Test.FLAT, high=said.after_s, unit="s", source=said.source)] if said.after_s else []
    if not run.limit or not state.interval_ms:
        return []
    return [
        LearnedLimit(
            test=Test.FLAT,
            high=run.limit * state.interval_ms / 1000,
            unit="s",
            since=state.since,
            until=state.last_at,
            samples=state.samples,
            note="how long a value of the latest size may be shown unchanged",
        )
    ]


def habit_limit(choice: QualityChoice, habit: HabitState, since: int | None, until: int | None) -> LearnedLimit | None:
    """What is usual in a day, and how far a suspicion has grown."""
    if choice.is_off("drift") or not habit.totals:
        return None
    share = min(1.0, max(habit.sums) / ALARM)
    return LearnedLimit(
        test=Test.BYPASS,
        since=since,
        until=until,
        samples=habit.learned,
        note=f"a usual day counts {math.exp(habit.total_level):.4g}; "
        f"{share:.0%} of what raises the suspicion that not all is counted",
    )
