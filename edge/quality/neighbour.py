"""Pure: checks of one point against the same point of another device of this gateway.

A check hears of the other sensor through the gateway's :class:`Board`. It compares only with what the other one's own
judge let pass, and that is not old: a neighbour that is absent or in doubt says nothing. Where two that watch each
other no longer agree, both are suspect, because no sensor can tell which of them is wrong.

* :class:`Neighbour` learns how far apart two sensors usually are, and how far that varies, over weeks. Three samples in
  a row and ten minutes further apart than that are ``NEIGHBOUR``. What is flagged hardly teaches, so a drift is not
  learned away; after some weeks a sensor that was moved is taken as it is.
* :class:`BlockedGauge`: of two rain gauges, the one that says less than a tenth of what the other one did in the last
  hours is ``BLOCKED``, once that is 10 mm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import NeighbourChoice
from edge.contract.readings import Flag, Reading, Test
from edge.quality.kept import Count, Kept, Moment, Number, Size
from edge.quality.rain import most_mm

NOT_OLD_MS: Final = 900_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

LEARN_MS: Final = 3 * DAY_MS  # until then nothing is flagged
LEARN_PAIRS: Final = 200
MEMORY_MS: Final = 30 * DAY_MS
RECENT_MS: Final = DAY_MS
FAR: Final = 8.0  # times the usual distance from the difference of late
LEAST_DIGITS: Final = 6
RUN_SAMPLES: Final = 3
RUN_MS: Final = 10 * MINUTE_MS
FLAGGED_TEACHES: Final = 0.25  # of its share

RAIN_MEMORY_MS: Final = 6 * HOUR_MS
RAIN_LEAST_MM: Final = 10.0
BLOCKED_SHARE: Final = 0.1
FREE_SHARE: Final = 0.2

Key = tuple[str, str]
"""Device and point."""


class Board:
    """What those sensors of one gateway last showed that others are compared with."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[Key, tuple[int, float] | None] = {}

    def watch(self, key: Key) -> None:
        """Keep what this point shows."""
        self._last.setdefault(key, None)

    def tell(self, readings: Iterable[Reading]) -> None:
        """Take what was read; a reading that did not pass leaves nothing to compare with."""
        last = self._last
        if not last:
            return
        for one in readings:
            key = (one.device, one.point)
            if key in last:
                passed = one.value is not None and one.flag is Flag.PASS
                last[key] = (one.taken_at, one.value) if passed and one.value is not None else None

    def last(self, key: Key, at_ms: int) -> tuple[int, float] | None:
        """When it was last read and what it showed; None where that is in doubt, or a quarter of an hour old."""
        found = self._last.get(key)
        return found if found is not None and abs(at_ms - found[0]) <= NOT_OLD_MS else None


class _Apart(msgspec.Struct):
    since_ms: Moment | None = None
    at_ms: Moment = 0
    pairs: Count = 0
    usual: Number = 0.0  # difference, over weeks
    recent: Number = 0.0  # over a day
    spread: Size = 0.0  # mean distance from the recent one, which a slow drift does not widen
    run: Count = 0
    run_from_ms: Moment = 0


class Neighbour(Kept[_Apart]):
    """One point beside another; ``resolution``: the smallest step it can show, None where nobody knows."""

    __slots__ = ("_board", "_choice", "_other", "_point", "_resolution", "name")

    def __init__(
        self,
        point: str,
        other: Key,
        board: Board,
        *,
        resolution: float | None = None,
        choice: NeighbourChoice | None = None,
    ) -> None:
        self.name = f"neighbour-{point}"
        self._point = point
        self._other = other
        self._board = board
        self._resolution = resolution or 0.0
        self._choice = choice or NeighbourChoice()
        super().__init__(_Apart())
        board.watch(other)

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Compare what one poll gave."""
        value = values.get(self._point)
        other = None if value is None else self._board.last(self._other, at_ms)
        if value is None or other is None:
            return {}
        return {self._point: Test.NEIGHBOUR} if self._is_far(at_ms, value - other[1]) else {}

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """How far apart the two may be."""
        state, least = self._state, self._choice.least
        if state.since_ms is None or not self._knows():
            return {}
        limit = LearnedLimit(
            test=Test.NEIGHBOUR,
            low=state.usual - self._limit(),
            high=state.usual + self._limit(),
            source="learned" if least is None else self._choice.source,
            since=state.since_ms,
            until=state.at_ms,
            samples=state.pairs,
            note=f"difference to {self._other[0]}",
        )
        return {self._point: [limit]}

    def shift(self, by_ms: int) -> None:
        """Go on with another clock."""
        state = self._state
        if state.since_ms is not None:
            state.since_ms += by_ms
            state.at_ms += by_ms
            state.run_from_ms += by_ms

    def _knows(self) -> bool:
        state = self._state
        return state.since_ms is not None and state.pairs >= LEARN_PAIRS and state.at_ms - state.since_ms >= LEARN_MS

    def _limit(self) -> float:
        if self._choice.least is not None:
            return self._choice.least
        return max(FAR * self._state.spread, LEAST_DIGITS * self._resolution)

    def _is_far(self, at_ms: int, apart: float) -> bool:
        state = self._state
        if state.since_ms is None:
            state.since_ms, state.at_ms, state.usual, state.recent = at_ms, at_ms, apart, apart
            return False
        away, limit, knows = apart - state.usual, self._limit(), self._knows()
        is_out = knows and abs(away) > limit
        if is_out and state.run == 0:
            state.run_from_ms = at_ms
        state.run = state.run + 1 if is_out else 0
        self._learn(at_ms, apart, limit if knows else math.inf, is_out=is_out)
        return state.run >= RUN_SAMPLES and at_ms - state.run_from_ms >= RUN_MS

    def _learn(self, at_ms: int, apart: float, limit: float, *, is_out: bool) -> None:
        """One sample counts by the time it stands for, and none beyond the limit for more than the limit."""
        state = self._state
        state.pairs += 1
        passed, share = min(at_ms - state.at_ms, HOUR_MS), 1 / (state.pairs + 1)
        away = max(-limit, min(limit, apart - state.usual))
        state.at_ms = at_ms
        if is_out:
            state.usual += FLAGGED_TEACHES * passed / MEMORY_MS * away
            return
        state.usual += max(passed / MEMORY_MS, share) * away
        state.recent += max(passed / RECENT_MS, share) * max(-limit, min(limit, apart - state.recent))
        state.spread += max(passed / MEMORY_MS, share) * (min(limit, abs(apart - state.recent)) - state.spread)


class _Rain(msgspec.Struct):
    at_ms: Moment | None = None
    own: Number = 0.0
    other: Number = 0.0
    other_at_ms: Moment = 0
    own_fell: Size = 0.0  # of late; fades away
    other_fell: Size = 0.0
    is_blocked: bool = False


class BlockedGauge(Kept[_Rain]):
    """One rain gauge beside another; both show running totals, mm."""

    __slots__ = ("_board", "_choice", "_other", "_point", "name")

    def __init__(self, point: str, other: Key, board: Board, *, choice: NeighbourChoice | None = None) -> None:
        self.name = f"blocked-{point}"
        self._point = point
        self._other = other
        self._board = board
        self._choice = choice or NeighbourChoice()
        super().__init__(_Rain())
        board.watch(other)

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Compare what fell since the last poll."""
        own = values.get(self._point)
        other = None if own is None else self._board.last(self._other, at_ms)
        if own is None or other is None:
            return {}
        return {self._point: Test.BLOCKED} if self._is_blocked(at_ms, own, other) else {}

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """How much the other one must have said."""
        limit = LearnedLimit(
            test=Test.BLOCKED,
            high=self._least(),
            source="default" if self._choice.least is None else self._choice.source,
            note=f"rain at {self._other[0]} within hours, with less than a tenth of it here",
        )
        return {self._point: [limit]}

    def shift(self, by_ms: int) -> None:
        """Go on with another clock."""
        if self._state.at_ms is not None:
            self._state.at_ms += by_ms
            self._state.other_at_ms += by_ms

    def _least(self) -> float:
        return RAIN_LEAST_MM if self._choice.least is None else self._choice.least

    def _is_blocked(self, at_ms: int, own: float, other: tuple[int, float]) -> bool:
        state = self._state
        if state.at_ms is not None:
            faded = math.exp(-max(0, at_ms - state.at_ms) / RAIN_MEMORY_MS)
            state.own_fell = state.own_fell * faded + _fell(own - state.own, at_ms - state.at_ms)
            state.other_fell = state.other_fell * faded + _fell(other[1] - state.other, other[0] - state.other_at_ms)
        state.at_ms, state.own, state.other_at_ms, state.other = at_ms, own, other[0], other[1]
        share = FREE_SHARE if state.is_blocked else BLOCKED_SHARE
        enough = self._least() * (0.5 if state.is_blocked else 1.0)
        state.is_blocked = state.other_fell >= enough and state.own_fell < share * state.other_fell
        return state.is_blocked


def _fell(amount: float, in_ms: int) -> float:
    """Rain between two totals; none where it is less than nothing, or more than can be."""
    return amount if 0 < amount <= most_mm(in_ms / MINUTE_MS) else 0.0
