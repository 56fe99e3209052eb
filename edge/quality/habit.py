"""What a home usually uses at which time of day, and whether all of it is still counted.

A meter that was led around shows a part of what is used: every value times the same factor. Empty rooms, holidays and
seasons do something else: the high values go, what always runs stays. So a day is weighed value by value: how likely is
it as a day like those before (its share in the histogram of its hours), and how likely as such a day times a factor
(its share so many steps further up, as the histogram is logarithmic)? The logarithm of the ratio, summed over a day, is
scaled by what is natural for this home's days, so that it counts as much as it is worth, and added up over days
(Page's CUSUM, one for each factor). A second weight is the day's total against earlier ones; it carries homes with few
values, such as a water meter's. One more sum takes values below all that is usual: a constant part is not counted.

Days that look like less are not learned from until it is clear that they are as before. A day without any use is never
learned from: an empty home says nothing of its habit.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.quality.kept import LARGEST, Count, Day, Number, Size

DAY_MS: Final = 86_400_000
PER_OCTAVE: Final = 6
LOWEST_OCTAVE: Final = -14  # below 2**-14 of its unit nothing is counted
BUCKETS: Final = 216  # up to 2**22 of its unit; the first is for what counts as nothing
CLASSES: Final = 8  # of the day: three hours each
PLACES: Final = BUCKETS * CLASSES
LEAST: Final = 2.0**LOWEST_OCTAVE
SHIFTS: Final = (3, 6, 10, 16, 24)  # counts 71, 50, 31, 16 or 6 % of what is used
FACTORS: Final = tuple(-shift * math.log(2) / PER_OCTAVE for shift in SHIFTS)
SUMS: Final = len(SHIFTS) + 1  # the last one: below all that is usual
KERNEL: Final = ((-2, 1 / 9), (-1, 2 / 9), (0, 3 / 9), (1, 2 / 9), (2, 1 / 9))

BACKGROUND: Final = 0.002  # share that every bucket has beside what was seen
MOST_OF_VALUE, MOST_OF_DAY, MOST_OF_TOTAL = 2.0, 2.5, 1.5  # no value, day or total weighs more
LOW_POWER: Final = 0.8  # share u of what was lower weighs as (1 - 0.8) * u ** -0.8: most for the lowest hundredth
ALARM: Final = 10.0  # logarithm of odds; a home's usual days reach it about once in e ** 10
QUIET: Final = 1.0
LEARN_DAYS: Final = 14
FORGET_DAYS: Final = 45  # weighs half
FOLLOW: Final = 1 / 30  # how fast the scale of days follows
SAID_DAYS: Final = 2  # a suspicion is said on one reading a day, so long
EMPTY_DAYS: Final = 6  # without any use are no suspicion, nor twice as many as ever were
ACCEPT_DAYS: Final = 21  # what stayed so long is the new habit
_NEXT_TO_NOTHING: Final = 1e-200  # what was seen fades away, over centuries


_Numbers = Annotated[list[Number], Meta(min_length=SUMS, max_length=SUMS)]
_Sizes = Annotated[list[Size], Meta(min_length=SUMS, max_length=SUMS)]


def _places(size: int) -> Meta:
    return Meta(min_length=size * PLACES, max_length=size * PLACES)


class HabitState(msgspec.Struct):
    """Everything that is remembered; the two histograms as numbers of 8 and of 2 bytes."""

    seen: Annotated[bytearray, _places(8)] = msgspec.field(default_factory=lambda: bytearray(8 * PLACES))
    fresh: Annotated[bytearray, _places(2)] = msgspec.field(default_factory=lambda: bytearray(2 * PLACES))
    growth: Annotated[float, Meta(ge=1, le=LARGEST)] = 1.0  # a day weighs the more the later it is, instead of all
    # earlier ones the less
    least: Annotated[float, Meta(ge=LEAST, le=LARGEST)] = LARGEST  # smallest use that was ever shown
    day: Day | None = None
    today: _Numbers = msgspec.field(default_factory=lambda: [0.0] * SUMS)
    samples: Count = 0  # of today
    total: Size = 0.0
    most: Size = 0.0  # samples that a day has
    learned: Count = 0  # days
    level: _Numbers = msgspec.field(default_factory=lambda: [0.0] * SUMS)
    spread: _Sizes = msgspec.field(default_factory=lambda: [0.0] * SUMS)
    totals: Count = 0
    total_level: Annotated[float, Meta(ge=-700, le=700)] = 0.0  # a logarithm
    total_spread: Size = 0.0
    sums: _Sizes = msgspec.field(default_factory=lambda: [0.0] * SUMS)
    empty: Count = 0  # days without any use until now
    longest_empty: Count = 0
    told: Count = 0  # days since a suspicion was raised
    raised_by: Annotated[int, Meta(ge=0, lt=SUMS)] = 0  # which of the sums did

    def __post_init__(self) -> None:
        if not all(share == 0 or _NEXT_TO_NOTHING < share < LARGEST for share in memoryview(self.seen).cast("d")):
            raise ValueError("the shares of a histogram are not all numbers")


class Habit:
    """Takes the use of every interval; about 20 kB."""

    __slots__ = ("_fresh", "_seen", "_weights", "state")

    def __init__(self) -> None:
        self.go_on(HabitState())

    def go_on(self, state: HabitState) -> None:
        """Take a state as one's own."""
        self.state = state
        self._seen = memoryview(state.seen).cast("d")
        self._fresh = memoryview(state.fresh).cast("H")
        self._weigh_classes()

    @property
    def is_doubted(self) -> bool:
        """Whether a suspicion stands."""
        return self.state.told > 0

    def feed(self, at_ms: int, used: float) -> bool:
        """Take the use of one interval, not below 0; return whether it is to carry the suspicion."""
        state = self.state
        day = at_ms // DAY_MS
        is_said = False
        if day != state.day:
            is_said = state.day is not None and self._close()
            state.day = day
        place = at_ms % DAY_MS * CLASSES // DAY_MS
        if used <= LEAST:
            at = 0
        else:
            at = int(PER_OCTAVE * (math.log2(used) - LOWEST_OCTAVE)) + 1
            if at >= BUCKETS:
                at = BUCKETS - 1
            state.least = min(state.least, used)
        first = place * BUCKETS
        weight = self._weights[place]
        if weight:
            self._weigh(at, first, weight)
        if self._fresh[first + at] < 65_535:
            self._fresh[first + at] += 1
        state.samples += 1
        state.total += used
        return is_said

    def shift(self, by_ms: int) -> None:
        """Begin the day anew where the clock was set to another time of day."""
        if abs(by_ms) >= DAY_MS // 48:
            state = self.state
            state.day, state.samples, state.total = None, 0, 0.0
            state.today[:] = [0.0] * SUMS

    def _weigh(self, at: int, first: int, weight: float) -> None:
        """Add what one value says to today's sums."""
        seen, today = self._seen, self.state.today
        background = BACKGROUND * weight
        usual = seen[first + at] + background
        for number, shift in enumerate(SHIFTS):
            if at:
                further = at + shift
                reduced = background + (seen[first + further] if further < BUCKETS else 0.0)
            else:
                reduced = background + self._shown_as_nothing(first, shift)
            odds = math.log(reduced / usual)
            today[number] += MOST_OF_VALUE if odds > MOST_OF_VALUE else max(odds, -MOST_OF_VALUE)
        lower = (sum(seen[first : first + at]) + usual / 2) / (weight * (1 + BACKGROUND))
        odds = math.log(1 - LOW_POWER) - LOW_POWER * math.log(lower)
        today[-1] += min(MOST_OF_VALUE, odds)

    def _shown_as_nothing(self, first: int, shift: int) -> float:
        """How much of what is usual would be less than half of the smallest step, times a factor."""
        least = self.state.least
        if least == LARGEST:
            return self._seen[first]
        top = int(PER_OCTAVE * (math.log2(least / 2) - LOWEST_OCTAVE)) + 1 + shift
        return sum(self._seen[first : first + max(1, min(top + 1, BUCKETS))])

    def _close(self) -> bool:
        """A day is over: add up what it says, and learn from it where it is as usual."""
        state = self.state
        state.most = max(float(state.samples), state.most * 0.98)
        if state.samples >= state.most / 2:
            self._add_up()
        is_empty = state.total <= 0
        if is_empty and max(state.sums) <= QUIET:
            self._drop_fresh()
        elif max(state.sums) <= QUIET:
            self._learn(state.growth)
        state.growth *= 2 ** (1 / FORGET_DAYS)
        is_said = self._follow(is_empty=is_empty)
        state.today[:] = [0.0] * SUMS
        state.samples, state.total = 0, 0.0
        return is_said

    def _add_up(self) -> None:
        """Weigh the day by what is natural for days, and add it to the sums."""
        state = self.state
        is_calm = max(state.sums) < ALARM / 2 and not state.told
        away = self._weigh_total(is_calm=is_calm)
        is_known = state.learned >= LEARN_DAYS
        follow = max(FOLLOW, 1 / (state.learned + 1))
        for number, odds in enumerate(state.today):
            level, spread = state.level[number], state.spread[number]
            if is_known:
                worth = min(1.0, 2 * max(-level, 0.0) / spread) if spread > 0 else 0.0
                said = _within(odds * worth, MOST_OF_DAY)
                if number < len(SHIFTS):
                    said += away[number]
                state.sums[number] = min(max(0.0, state.sums[number] + said), 1.5 * ALARM)
                odds = _within(odds - level, 3 * math.sqrt(spread)) + level  # noqa: PLW2901
            if is_calm and any(self._weights):
                apart = odds - level
                state.level[number] = level + follow * apart
                state.spread[number] = (1 - follow) * (spread + follow * apart * apart)
        if is_calm and any(self._weights):
            state.learned += 1

    def _weigh_total(self, *, is_calm: bool) -> list[float]:
        """What the day's total says for each factor, against totals of earlier days; a day of nothing says nothing."""
        state = self.state
        if state.total <= 0:
            return [0.0] * len(SHIFTS)
        total, known = math.log(state.total), state.totals
        apart, spread = total - state.total_level, state.total_spread
        said = [0.0] * len(SHIFTS)
        if known >= LEARN_DAYS:
            spread = max(spread, 0.01)
            said = [_within((by * apart - by * by / 2) / spread, MOST_OF_TOTAL) for by in FACTORS]
            apart = _within(apart, 3 * math.sqrt(spread))
        if is_calm:
            follow = max(FOLLOW, 1 / (known + 1))
            state.total_level += follow * apart
            state.total_spread = (1 - follow) * (state.total_spread + follow * apart * apart)
            state.totals += 1
        return said

    def _follow(self, *, is_empty: bool) -> bool:
        """Raise a suspicion, or go on with it; return whether it is to be said."""
        state = self.state
        self._count_empty(is_empty=is_empty)
        highest = max(state.sums)
        if not state.told:
            if highest <= ALARM:
                return False
            state.told, state.raised_by = 1, state.sums.index(highest)
            return True
        if highest < ALARM / 2:
            state.told = 0
            self._drop_fresh()
            return False
        state.told += 0 if is_empty and state.told == ACCEPT_DAYS else 1
        if state.told > ACCEPT_DAYS:
            self._accept()
            return False
        return state.told <= SAID_DAYS

    def _count_empty(self, *, is_empty: bool) -> None:
        """Nothing at all for longer than the home was ever empty counts as below all that is usual."""
        state = self.state
        if not is_empty:
            if not state.told:
                state.longest_empty = max(state.longest_empty, state.empty)
            state.empty = 0
            return
        state.empty += 1
        if state.learned >= LEARN_DAYS and state.empty > max(EMPTY_DAYS, 2 * state.longest_empty):
            state.sums[-1] = 1.5 * ALARM

    def _accept(self) -> None:
        """Take what has stayed for weeks as the new habit."""
        state = self.state
        self._seen[:] = memoryview(bytearray(8 * PLACES)).cast("d")
        self._learn(state.growth)
        state.told = 0
        state.sums[:] = [0.0] * SUMS

    def _learn(self, growth: float) -> None:
        """Add what is fresh to the habit, each value to the buckets around it too."""
        seen, fresh = self._seen, self._fresh
        for first in range(0, PLACES, BUCKETS):
            seen[first] += growth * fresh[first]
            for at in range(1, BUCKETS):
                count = fresh[first + at]
                if count:
                    for off, share in KERNEL:
                        if 1 <= at + off < BUCKETS:
                            seen[first + at + off] += growth * share * count
        self._drop_fresh()
        if growth > 1e6:
            for at, weight in enumerate(seen):
                seen[at] = weight / growth
            self.state.growth = 1.0
        self._weigh_classes()

    def _drop_fresh(self) -> None:
        self._fresh[:] = memoryview(bytes(2 * PLACES)).cast("H")

    def _weigh_classes(self) -> None:
        self._weights = [sum(self._seen[first : first + BUCKETS]) for first in range(0, PLACES, BUCKETS)]


def _within(value: float, most: float) -> float:
    return most if value > most else max(value, -most)
