"""A level that creeps away: for days in one direction, evenly, and further than it ever did.

Floods rise within hours and fall slower and slower; what creeps is a sensor. *Creep* over some days is four times the
least of the changes in its four quarters, 0 where they do not all have one direction: a quick rise does not count.

An *alarm*, one flag: it crept further than ever, by six tenths. *Far*, flagged while it lasts, six days at most: it
creeps on, and is out of its learned range by half of that. The range follows what creeps by a tenth of its own width a
day: a drift is not absorbed, a season is. What proves to be a fault, because the level jumps back, teaches nothing.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Moment, Number, Size

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BLOCK_MS = 3 * HOUR_MS
LAGS = (16, 32, 64)  # blocks: 2, 4 and 8 days
HISTORY = 128  # blocks
SETTLE_MS = 4 * DAY_MS  # until the season is known
LEARN_MS = 10 * DAY_MS
FACTOR = 1.6
_HALF_LIFE_MS = 90 * DAY_MS
_FORGET_ALARM_MS = 10 * DAY_MS
_SAY_AGAIN_MS = DAY_MS
_OUT = 0.5  # of the width of the range
_EVEN = 0.4  # of the way out must be creep
_CHECKPOINT_MS = 4 * DAY_MS
_USUAL_MS = 20 * DAY_MS
_FLOOR = 0.6  # of what is usual
_WIDEN_A_DAY = 0.1
_FAR_MS = 6 * DAY_MS
_RECENT = 8  # blocks of a day
_CHECKPOINTS = 4
_Most = Annotated[list[Size], Meta(min_length=len(LAGS), max_length=len(LAGS))]


class Before(msgspec.Struct):
    """What was known when an alarm began."""

    most: _Most
    low: Number
    high: Number


class Drift(msgspec.Struct):
    """Mean levels of a day, every three hours, without their season, the furthest that they crept, and their range."""

    blocks: Annotated[list[Number], Meta(max_length=HISTORY)] = msgspec.field(default_factory=list)
    recent: Annotated[list[Number], Meta(max_length=_RECENT)] = msgspec.field(default_factory=list)
    begin_ms: Moment | None = None
    started_ms: Moment | None = None
    total: Number = 0.0
    count: Count = 0
    most: _Most = msgspec.field(default_factory=lambda: [0.0] * len(LAGS))
    has_range: bool = False
    low: Number = 0.0
    high: Number = 0.0
    before: Before | None = None
    checkpoints: Annotated[list[Before], Meta(max_length=_CHECKPOINTS)] = msgspec.field(default_factory=list)
    checked_ms: Moment = 0
    usual: Size = 0.0  # distance from the level and its season
    alarm_ms: Moment | None = None
    alarms: Count = 0
    crept: Number = 0.0  # at the last alarm
    is_alarm: bool = False
    is_far: bool = False
    far_since_ms: Moment | None = None

    def take(self, at_ms: int, level: float, digit: float, usual: float, least: float | None) -> bool:
        """Take one trusted level; return whether it is to be flagged.

        ``usual``: how far it is from its season now. ``least``: somebody said from where on it is one.
        """
        if self.begin_ms is None:
            self.begin_ms = at_ms
            self.started_ms = self.started_ms or at_ms
        elif at_ms - self.begin_ms >= BLOCK_MS:
            self._close(self.begin_ms, at_ms)
            if self.blocks:
                self._learn_usual(usual)
                floor = self.floor(digit)
                self._look(at_ms, floor, least)
                self._reach(at_ms, floor)
        self.total += level
        self.count += 1
        if self.is_alarm:
            self.is_alarm = False
            return True
        return self.is_far

    def is_learned(self, at_ms: int) -> bool:
        """Whether the range is known."""
        return self.started_ms is not None and at_ms - self.started_ms > LEARN_MS

    def is_undone(self, size: float) -> bool:
        """Whether a jump ends a drift that was flagged."""
        return self.alarms >= 2 and self.crept * size < 0 and self.leads_back(size)

    def leads_back(self, size: float) -> bool:
        """Whether a jump leads about back to where it came from in the last days."""
        if len(self.blocks) <= LAGS[0]:
            return False
        now = self.blocks[-1]
        gone = abs(now - (min(self.blocks) if size < 0 else max(self.blocks)))
        return gone / 2 < abs(size) < 1.6 * gone

    def undo(self, size: float) -> None:
        """It was a fault, and this jump ended it: forget what it taught, but for the level that it ended at."""
        before = self.before or (self.checkpoints[0] if self.checkpoints else None)
        if before is not None and self.blocks:
            level = self.blocks[-1] + size
            self.most, self.low, self.high = list(before.most), min(before.low, level), max(before.high, level)
        self._forget_alarm()
        self.restart()

    def restart(self) -> None:
        """Another level, or nothing for long."""
        self.blocks, self.recent = [], []
        self.begin_ms = None
        self.total, self.count = 0.0, 0
        self.is_alarm, self.is_far, self.far_since_ms = False, False, None

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        self.begin_ms = None if self.begin_ms is None else self.begin_ms + by_ms
        self.started_ms = None if self.started_ms is None else self.started_ms + by_ms
        self.checked_ms += by_ms
        self.alarm_ms = None if self.alarm_ms is None else self.alarm_ms + by_ms
        self.far_since_ms = None if self.far_since_ms is None else self.far_since_ms + by_ms

    def _forget_alarm(self) -> None:
        self.before, self.alarm_ms, self.crept, self.alarms = None, None, 0.0, 0

    def floor(self, digit: float) -> float:
        """Less is no creep."""
        return max(5 * digit, _FLOOR * self.usual)

    def _learn_usual(self, usual: float) -> None:
        if not self.usual:
            self.usual = usual
        elif not self.is_far:  # slowly: a drift is never usual
            self.usual += (min(usual, 2 * self.usual) - self.usual) * BLOCK_MS / _USUAL_MS

    def _close(self, begin_ms: int, at_ms: int) -> None:
        is_behind = at_ms - begin_ms >= 2 * BLOCK_MS
        self.begin_ms = at_ms if is_behind else begin_ms + BLOCK_MS
        mean = self.total / max(self.count, 1)
        self.total, self.count = 0.0, 0
        if at_ms - (self.started_ms or at_ms) < SETTLE_MS:
            return
        if at_ms - begin_ms > 4 * BLOCK_MS:
            self.restart()
            self.begin_ms = at_ms
            return
        self.recent = [*self.recent[1 - _RECENT :], mean]
        self.blocks.append(sum(self.recent) / len(self.recent))
        if len(self.blocks) > HISTORY:
            del self.blocks[0]
        if self.alarm_ms is not None and at_ms - self.alarm_ms > _FORGET_ALARM_MS:
            self._forget_alarm()
        if at_ms - self.checked_ms > _CHECKPOINT_MS:
            self.checked_ms = at_ms
            self.checkpoints = [*self.checkpoints[1 - _CHECKPOINTS :], Before(list(self.most), self.low, self.high)]

    def _look(self, at_ms: int, floor: float, least: float | None) -> None:
        age_ms = at_ms - (self.started_ms or at_ms)
        fade = 0.5 ** (BLOCK_MS / _HALF_LIFE_MS)
        for number, lag in enumerate(LAGS):
            if len(self.blocks) <= lag:
                break
            crept = self.creep(lag)
            size, most = abs(crept), self.most[number]
            is_learned = least is not None or age_ms > LEARN_MS + 2 * lag * BLOCK_MS
            if is_learned and size > (FACTOR * max(most, floor) if least is None else max(least, FACTOR * most)):
                self.is_alarm = self.is_alarm or self.alarm_ms is None or at_ms - self.alarm_ms > _SAY_AGAIN_MS
                self._alarm(at_ms, crept, times=1)
            self.most[number] = max(most * fade, size)

    def _alarm(self, at_ms: int, crept: float, *, times: int) -> None:
        if self.before is None:
            self.before = Before(list(self.most), self.low, self.high)
        self.alarm_ms = at_ms
        self.alarms = self.alarms + times if self.crept * crept > 0 else times
        self.crept = crept

    def _reach(self, at_ms: int, floor: float) -> None:
        level = self.blocks[-1]
        self.is_far = False
        if not self.has_range:
            self.low = self.high = level
            self.has_range = True
        out = level - self.high if level > self.high else min(0.0, level - self.low)
        if out == 0:
            self.far_since_ms = None
            return
        width = max(self.high - self.low, floor)
        if self.is_learned(at_ms):
            crept = max((self.creep(lag) for lag in LAGS[:2] if lag < len(self.blocks)), key=abs, default=0.0)
            self.far_since_ms = self.far_since_ms or at_ms
            is_new = at_ms - self.far_since_ms < _FAR_MS
            if is_new and abs(out) > _OUT * width and crept * out > 0 and abs(crept) > _EVEN * abs(out):
                self._alarm(at_ms, crept, times=2)
                self.is_far = True
            if is_new:
                most = _WIDEN_A_DAY * width * (BLOCK_MS / DAY_MS)
                out = max(-most, min(most, out))
        if out > 0:
            self.high += out
        else:
            self.low += out

    def creep(self, lag: int) -> float:
        """How far it crept over so many blocks."""
        blocks, quarter = self.blocks, lag // 4
        steps = [blocks[-1 - quarter * each] - blocks[-1 - quarter * (each + 1)] for each in range(4)]
        if min(steps) > 0:
            return 4 * min(steps)
        return 4 * max(steps) if max(steps) < 0 else 0.0
