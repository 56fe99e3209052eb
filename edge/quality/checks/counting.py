"""Whether a counter gains what flows: energy against power, water against flow.

Power is added up from poll to poll (the mean of two neighbours times the time between them) until it makes enough
digits of the counter and half an hour is over; then both are compared, and a new window begins. What may have happened
between two polls is not known: half of every change between them, as a root of the sum of squares, is room for either.
A window in which something flowed the other way, or in which polls were missing, is left out: meters with three phases
differ in what they then count. Water is drawn for seconds between two polls, so a counter of it may gain more.

A counter that gained nothing although five of its digits flowed is stuck, at once and until it gains again. How far it
counts is learned: its smallest gain; until there was one, a whole kWh or m³.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import SanityChoice
from edge.contract.readings import Test
from edge.quality.checks.streak import share_limit, share_of
from edge.quality.kept import Count, Kept, Moment, Number, Size

HOUR_MS: Final = 3_600_000
SHARE: Final = 0.2
STUCK_DIGITS: Final = 5
STUCK_MS: Final = 10 * 60_000
COMPARED_DIGITS: Final = 20
COMPARED_POLLS: Final = 30
COMPARED_MS: Final = HOUR_MS // 2
ROOM_DIGITS: Final = 2
ROOM_SPREAD: Final = 3.0
GAP_MS: Final = 15 * 60_000
DIGIT_GROWS: Final = 1.01  # a gain: a float32 counts in larger steps the higher it is
UNKNOWN_DIGIT: Final = 1000.0
WRONG_WINDOWS: Final = 2  # in a row


class _Window(msgspec.Struct):
    at: Moment | None = None  # of the latest poll
    rate: Number = 0.0
    count: Number = 0.0
    begun: Moment = 0
    first: Number = 0.0  # the count with which the window began
    flowed: Size = 0.0
    spread: Size = 0.0  # squares of what is not known
    polls: Count = 0
    is_mixed: bool = False  # something flowed the other way
    digit: Size | None = None  # smallest gain of the counter
    still_flowed: Size = 0.0  # since the counter last gained
    still_since: Moment = 0
    wrong: Count = 0


class Counting(Kept[_Window]):
    """Compares one counter with one rate; ``sign`` -1: it counts what flows backwards."""

    def __init__(
        self,
        counter: str,
        rate: str,
        *,
        sign: int = 1,
        is_seen: bool = True,
        digit: float | None = None,
        choice: SanityChoice | None = None,
    ) -> None:
        self.name = f"counting/{counter}"
        self._counter, self._rate = counter, rate
        self._sign, self._is_seen, self._digit = sign, is_seen, digit
        self._choice, self._share = choice, share_of(choice, SHARE)
        super().__init__(_Window())

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Take one poll."""
        count, rate = values.get(self._counter), values.get(self._rate)
        if count is None or rate is None:
            return {}
        window, rate = self._state, rate * self._sign
        if window.at is None or not 0 < at_ms - window.at <= GAP_MS or count < window.count:
            self._begin_anew(at_ms, count, rate)
            return {}
        self._add(at_ms, count, rate)
        if self._is_stuck(at_ms):
            return {self._counter: Test.STUCK}
        if self._is_full(at_ms):
            self._compare()
            self._begin(at_ms)
        return dict.fromkeys((self._counter, self._rate), Test.SANITY) if window.wrong >= WRONG_WINDOWS else {}

    def _begin_anew(self, at_ms: int, count: float, rate: float) -> None:
        window = self._state
        window.at, window.count, window.rate = at_ms, count, rate
        window.still_flowed, window.still_since = 0.0, at_ms
        self._begin(at_ms)

    def _begin(self, at_ms: int) -> None:
        window = self._state
        window.begun, window.first = at_ms, window.count
        window.flowed = window.spread = 0.0
        window.polls, window.is_mixed = 0, False

    def _add(self, at_ms: int, count: float, rate: float) -> None:
        window = self._state
        hours = (at_ms - (window.at or at_ms)) / HOUR_MS
        flowed = (max(rate, 0.0) + max(window.rate, 0.0)) / 2 * hours
        window.is_mixed |= rate < 0
        window.flowed += flowed
        unseen = (rate - window.rate) / 2 * hours
        window.spread += unseen * unseen  # not a power: that has no infinity
        window.polls += 1
        gained = count - window.count
        if gained > 0:
            window.digit = gained if window.digit is None else min(window.digit * DIGIT_GROWS, gained)
            window.still_flowed, window.still_since = 0.0, at_ms
        elif not window.is_mixed:
            window.still_flowed += flowed
        window.at, window.count, window.rate = at_ms, count, rate

    def _digits(self) -> float:
        window = self._state
        return self._digit or window.digit or UNKNOWN_DIGIT

    def _is_stuck(self, at_ms: int) -> bool:
        window = self._state
        is_long = at_ms - window.still_since >= STUCK_MS
        return is_long and window.still_flowed >= STUCK_DIGITS * self._digits()

    def _is_full(self, at_ms: int) -> bool:
        window = self._state
        enough = COMPARED_DIGITS * self._digits()
        is_long = window.polls >= COMPARED_POLLS and at_ms - window.begun >= COMPARED_MS
        return is_long and (window.flowed >= enough or window.count - window.first >= enough or window.is_mixed)

    def _compare(self) -> None:
        """Say of a full window whether both agree."""
        window = self._state
        if window.is_mixed:
            return
        gained = window.count - window.first
        room = self._share * max(gained, window.flowed) + ROOM_DIGITS * self._digits()
        room += ROOM_SPREAD * math.sqrt(window.spread)
        too_little, too_much = window.flowed - gained > room, gained - window.flowed > room
        window.wrong = window.wrong + 1 if too_little or (too_much and self._is_seen) else 0

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """By how much they may differ."""
        return {self._counter: [share_limit(self._choice, self._share, f"between what is counted and {self._rate}")]}

    def shift(self, by_ms: int) -> None:
        """Move with the clock."""
        window = self._state
        window.at = None if window.at is None else window.at + by_ms
        window.begun += by_ms
        window.still_since += by_ms
