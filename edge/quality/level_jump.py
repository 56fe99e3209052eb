"""Samples that are not where the last ones say: a spike, a step, or water that really rises. Found by what follows.

===============================================  ============================================================
what the samples after the first one do          what it was
===============================================  ============================================================
the next one is back where it came from          SPIKE
goes on in the same direction, or falls back     water: passes (RATE, where no water ever did so much)
part of the way
stays                                            STEP, until they go back, move on, or it is the new normal
===============================================  ============================================================

The second one that stays is held in its turn: the third shows whether it was a surge, which passes, or stays.

A step that stayed is the new normal after some samples: more the further it is beyond the limit. It is remembered, and
when it is undone, nothing is wrong any more. The same holds of the end of a drift and of a long stillness. Levels here
are without their season.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edge.contract.readings import Flag, Test
from edge.quality.judge import PASS, Verdict
from edge.quality.kept import Count, Moment, Number, Size

DAY_MS = 86_400_000
SPIKE = Verdict(Flag.SUSPECT, Test.SPIKE)
STEP = Verdict(Flag.SUSPECT, Test.STEP)
RATE = Verdict(Flag.SUSPECT, Test.RATE)
SPIKE_BEYOND = Verdict(Flag.SUSPECT, Test.SPIKE | Test.SPAN)
STEP_BEYOND = Verdict(Flag.SUSPECT, Test.STEP | Test.SPAN)

STEP_FLAGS = ((1.5, 2), (4.0, 3))  # size in limits, below it: samples that are flagged
MOST_STEP_FLAGS = 6
BEYOND_MS = 3 * DAY_MS  # the same where no level ever was
_LITTLE = 0.15  # of its size: how far what stays may move
_NOISE = 4.0  # local scales: the same
_WEAK = 1.5  # limits: the first sample of it may be a wave of the water
_EXTREME = 3.0  # limits
_REMEMBERED = 6
_REMEMBER_MS = 20 * DAY_MS
_REMEMBER_SAMPLES = 12
_RETURNS = 0.15  # of a step's size: how exactly it is undone


class Jump(msgspec.Struct):
    """From the first sample that was elsewhere on."""

    at_ms: Moment
    first: Number
    size: Number  # from what was forecast
    limit: Size
    local: Size
    before: Number
    before_ms: Moment
    is_beyond: bool
    undoes: bool = False  # an earlier step
    drifted: bool = False  # the end of a drift
    released: bool = False  # after it stood still for long
    count: Count = 1


class Past(msgspec.Struct):
    """A jump that was taken as the new normal."""

    until_ms: Moment
    size: Number
    before: Number


class Outcome(msgspec.Struct):
    """What the next sample of a jump shows; ``held`` is of the one before, if it was held."""

    now: Verdict | None  # None: it is held
    held: Verdict = PASS
    is_over: bool = True
    is_elsewhere: bool = False  # it is over, and the level is another
    is_water: bool = False  # and it was the water's doing


GOES_ON = Outcome(STEP, STEP, is_over=False)
SEEMS_TO_STAY = Outcome(None, STEP, is_over=False)
SEEMS_TO_STAY_WEAKLY = Outcome(None, PASS, is_over=False)
GOES_ON_BEYOND = Outcome(STEP_BEYOND, STEP_BEYOND, is_over=False)


class Jumps(msgspec.Struct):
    """Follows one jump at a time."""

    jump: Jump | None = None
    past: Annotated[list[Past], Meta(max_length=_REMEMBERED)] = msgspec.field(default_factory=list)

    def begin(self, jump: Jump) -> None:
        """A sample is elsewhere."""
        room = jump.limit / 2
        jump.undoes = any(
            abs(jump.size + each.size) <= _RETURNS * abs(each.size) + room
            and abs(jump.first - each.before) < 1.5 * abs(each.size) + room / 2
            for each in self.past
            if jump.at_ms < each.until_ms
        )
        self.jump = jump

    def follow(self, jump: Jump, at_ms: int, level: float, surprise: float) -> Outcome:
        """Take the next level, and how far it is from what was forecast before the jump."""
        jump.count += 1
        size = abs(jump.size)
        room = max(_LITTLE * size, _NOISE * jump.local)
        if abs(surprise) <= jump.limit * min(4.0, jump.count**0.5) and abs(surprise) < size / 2:
            outcome = self._returned(jump, at_ms, level, is_exact=abs(surprise) <= room)
        elif jump.count == 2:
            outcome = self._second(jump, at_ms, level, surprise)
        elif abs(level - jump.first) > 2 * room:
            self.remember(at_ms + _REMEMBER_SAMPLES * (at_ms - jump.at_ms), surprise, jump.before)
            outcome = Outcome(PASS, is_elsewhere=True, is_water=True)
        elif self._is_normal(jump, at_ms):
            self.remember(at_ms + _REMEMBER_MS, jump.size, jump.before)
            outcome = Outcome(PASS, STEP, is_elsewhere=True)
        else:
            outcome = GOES_ON_BEYOND if jump.is_beyond else GOES_ON
        if outcome.is_over:
            self.jump = None
        return outcome

    def remember(self, until_ms: int, size: float, before: float) -> None:
        """When a jump of this size is undone, nothing is wrong."""
        self.past = [*self.past[1 - _REMEMBERED :], Past(until_ms, size, before)]

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        if self.jump is not None:
            self.jump.at_ms += by_ms
            self.jump.before_ms += by_ms
        for each in self.past:
            each.until_ms += by_ms

    def _returned(self, jump: Jump, at_ms: int, level: float, *, is_exact: bool) -> Outcome:
        passed = at_ms - jump.before_ms
        part = (jump.at_ms - jump.before_ms) / passed if passed > 0 else 0.5
        between = jump.before + (level - jump.before) * part
        sticks_out = abs(jump.first - between) > 0.7 * jump.limit
        spike = SPIKE_BEYOND if jump.is_beyond else SPIKE
        return Outcome(PASS, spike if is_exact and sticks_out else PASS)

    def _second(self, jump: Jump, at_ms: int, level: float, surprise: float) -> Outcome:
        moved = level - jump.first
        noise = _NOISE / 2 if moved * jump.size > 0 else _NOISE
        soon_ms = at_ms + _REMEMBER_SAMPLES * (at_ms - jump.at_ms)
        if abs(moved) > max(_LITTLE * abs(jump.size), noise * jump.local):
            self.remember(soon_ms, surprise, jump.before)
            held = RATE if abs(jump.size) > _EXTREME * jump.limit else PASS
            return Outcome(PASS, held, is_elsewhere=True, is_water=True)
        if jump.undoes and self.past:
            self.past.remove(min(self.past, key=lambda each: abs(each.size + jump.size)))
        elif not (jump.drifted or jump.released):
            if jump.is_beyond:
                return GOES_ON_BEYOND
            return SEEMS_TO_STAY if abs(jump.size) > _WEAK * jump.limit else SEEMS_TO_STAY_WEAKLY
        is_lasting = jump.drifted or jump.released
        self.remember(at_ms + _REMEMBER_MS if is_lasting else soon_ms, surprise, jump.before)
        return Outcome(PASS, is_elsewhere=True)

    def _is_normal(self, jump: Jump, at_ms: int) -> bool:
        if jump.is_beyond:
            return at_ms - jump.at_ms > BEYOND_MS
        size = abs(jump.size)
        return jump.count > next((many for below, many in STEP_FLAGS if size < below * jump.limit), MOST_STEP_FLAGS)
