"""A level that stands still, or trembles by a digit, for longer than it ever does; or that hardly moves any more.

How long is usual is learned: the longest time that it stayed within a band, forgotten by half in 90 days. Two bands:
not at all, and one digit (or a fifth of what it usually moves from sample to sample, where that is more). Longer than
the longest by a third is said once; twice as long, until it moves. What was flagged teaches little, and nothing where
it ends with a leap: water goes on by a digit, a stuck sensor that is free again by what was missed meanwhile.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Moment, Number, Size

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_HALF_LIFE_MS = 90 * DAY_MS
_SAID_ONCE = 1.4  # times the longest
_TEACHES = 1.2
_LEAST_SAMPLES = 5
_YOUNG_MS = 3 * DAY_MS
_BLOCKS = 8  # of a window


class Still(msgspec.Struct):
    """How long the last values have been within a band, and the longest that they usually are."""

    times: Size  # the longest: flagged from then on
    least_ms: Size = float(HOUR_MS)
    low: Number = 0.0
    high: Number = 0.0
    begin_ms: Moment | None = None
    last: Number = 0.0
    last_ms: Moment = 0
    held_since_ms: Moment = 0  # the last value
    samples: Count = 0
    longest_ms: Size = 0.0
    longest_at_ms: Moment = 0
    is_record: bool = False  # longer than ever, and said so
    is_flat: bool = False

    def take(self, at_ms: int, value: float, width: float, leap: float) -> int:
        """Take a trusted value; return for how many ms all were within the width. What is over ``leap`` is a leap."""
        if self.begin_ms is None:
            self._begin(at_ms, value)
            return 0
        low = min(self.low, value)
        high = max(self.high, value)
        if high - low > width:
            self._end(at_ms, has_leapt=abs(value - self.last) > leap)
            if abs(value - self.last) <= width:
                self.begin_ms, self.samples = self.held_since_ms, 2
                low, high = min(value, self.last), max(value, self.last)
            else:
                self.begin_ms, self.samples = at_ms, 1
                low = high = value
        else:
            self.samples += 1
        self.low, self.high = low, high
        if value != self.last:
            self.last, self.held_since_ms = value, at_ms
        self.last_ms = at_ms
        return at_ms - self.begin_ms

    def limit_ms(self, interval_ms: float, *, is_young: bool) -> float:
        """How long it may stand still."""
        least = max(self.times * self.longest_ms, _LEAST_SAMPLES * interval_ms, self.least_ms)
        return max(least, _YOUNG_MS) if is_young or not self.longest_ms else least

    def judge(self, stood_ms: int, limit_ms: float, least_ms: float) -> bool:
        """Whether to flag a sample that ends such a stillness."""
        if self.samples < _LEAST_SAMPLES:
            return False
        if stood_ms > limit_ms:
            self.is_flat = True
            return True
        if self.longest_ms and not self.is_record and stood_ms > _SAID_ONCE * self.longest_ms and stood_ms > least_ms:
            self.is_record = True
            return True
        return False

    def restart(self) -> None:
        """Nothing came for long: it may have moved meanwhile."""
        self.begin_ms = None
        self.is_record = self.is_flat = False

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        if self.begin_ms is not None:
            self.begin_ms += by_ms
        self.last_ms += by_ms
        self.held_since_ms += by_ms
        self.longest_at_ms += by_ms

    def _begin(self, at_ms: int, value: float) -> None:
        self.begin_ms = self.held_since_ms = self.last_ms = at_ms
        self.low = self.high = self.last = value
        self.longest_at_ms = self.longest_at_ms or at_ms
        self.samples = 1

    def _end(self, at_ms: int, *, has_leapt: bool) -> None:
        stood = float(self.last_ms - (self.begin_ms or 0))
        was_flat, was_said = self.is_flat, self.is_flat or self.is_record
        if not was_said and 2 * stood < self.longest_ms:
            return  # by far the most
        self.is_record = self.is_flat = False
        if was_said and has_leapt:
            return
        passed = max(0, at_ms - self.longest_at_ms)
        self.longest_ms *= 0.5 ** (passed / _HALF_LIFE_MS)
        self.longest_at_ms = at_ms
        if was_flat and self.longest_ms:
            stood = min(stood, _TEACHES * self.longest_ms)
        self.longest_ms = max(self.longest_ms, stood)


class Attenuation(msgspec.Struct):
    """How much it moves within a window, and the least that it ever did.

    The window is a day in eight blocks, or what somebody said.
    """

    block_ms: Count = 3 * HOUR_MS
    begin_ms: Moment | None = None
    low: Number = 0.0
    high: Number = 0.0
    blocks: Annotated[list[tuple[Number, Number]], Meta(max_length=_BLOCKS)] = msgspec.field(default_factory=list)
    windows: Count = 0
    least: Size = 0.0
    is_weak: bool = False

    def take(self, at_ms: int, value: float, digit: float) -> bool:
        """Take a trusted value; return whether it hardly moves any more."""
        if self.begin_ms is None:
            self.begin_ms, self.low, self.high = at_ms, value, value
        elif at_ms - self.begin_ms >= self.block_ms:
            if at_ms - self.begin_ms > 3 * self.block_ms:
                self.restart()
            else:
                self._close(digit)
            self.begin_ms, self.low, self.high = at_ms, value, value
        elif value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value
        return self.is_weak

    def _close(self, digit: float) -> None:
        self.blocks.append((self.low, self.high))
        if len(self.blocks) < _BLOCKS:
            return
        moved = max(high for _, high in self.blocks) - min(low for low, _ in self.blocks)
        del self.blocks[0]
        self.windows += 1
        # A tenth of the least, and that must be far from what digits make of a quiet day.
        self.is_weak = self.windows > 80 and self.least > 20 * digit and moved < self.least / 10
        if not self.is_weak:
            self.least = moved if self.windows == 1 else min(self.least * 1.002, moved)

    def restart(self) -> None:
        """Another level, or nothing for long."""
        self.begin_ms, self.blocks, self.is_weak = None, [], False

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        if self.begin_ms is not None:
            self.begin_ms += by_ms
