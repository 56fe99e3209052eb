"""The judge of what is there at an instant: voltage, current, power, frequency, flow, pressure.

Span is physics, and any load may come and go at once, so little else can be said of one value:

========  ====  =====================================================================================================
test      flag  is set when
========  ====  =====================================================================================================
SPIKE     3     one value is away from both neighbours by more than it ever was, by a margin
FLAT      3, 4  one value that is not 0 stands for longer than it ever did; 4: for three days and longer
========  ====  =====================================================================================================

A voltage or a frequency never stands still for an hour, unless the meter shows few digits; a standby power may for a
day. Both are learned, from the longest of each day (:mod:`edge.quality.tops`). No power at night, no voltage of a phase
that is not there, and a power factor of 1 are no fault. Only a value that stands out is held, until the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality.judge import PASS, PASSED, Step, Verdict
from edge.quality.kept import Count, Kept, Moment, Number
from edge.quality.tops import DAY_MS, Tops

HOUR_S: Final = 3600.0
LEAST_STILL_S: Final[Mapping[str, float]] = {"V": HOUR_S, "Hz": HOUR_S, "kPa": 6 * HOUR_S}
OTHERS_STILL_S: Final = 24 * HOUR_S
UNKNOWN_STILL_S: Final = 24 * HOUR_S  # until two days are known: some meters show few digits
KNOWN_DAYS: Final = 2
NEVER_STILL: Final[Mapping[str, frozenset[float]]] = {"1": frozenset({-1.0, 0.0, 1.0})}  # a power factor may be
STUCK_FOR_LONG_S: Final = 72 * HOUR_S
TIMES_FOR_GOOD: Final = 3
DIGITS: Final = 2  # no limit is below so many
AGAIN: Final = 4  # days on which what was flagged must come to be believed
SPIKE: Final = Verdict(Flag.SUSPECT, Test.SPIKE)
HOLD: Final = Step(None, None)


class _State(msgspec.Struct):
    alone: Tops = msgspec.field(default_factory=Tops)
    still: Tops = msgspec.field(default_factory=Tops)
    held_at: Moment | None = None
    last: Number | None = None
    before: Number | None = None
    since: Moment | None = None  # the last value stands since then
    first_at: Moment | None = None
    last_at: Moment = 0
    samples: Count = 0


class PowerJudge(Kept[_State]):
    """Judges the values of one instantaneous quantity; ``unit`` says what never stands still."""

    __slots__ = ("_choice", "_exempt", "_least", "_least_still_s")

    def __init__(self, *, unit: str = "", resolution: float | None = None, choice: QualityChoice | None = None) -> None:
        self._choice = choice or QualityChoice()
        self._least = DIGITS * (resolution or 0.0)
        self._least_still_s = LEAST_STILL_S.get(unit, OTHERS_STILL_S)
        self._exempt = NEVER_STILL.get(unit, frozenset({0.0}))
        super().__init__(_State())

    @property
    def doubt(self) -> Verdict:
        """A held value stands out."""
        return PASS if self._state.held_at is None else SPIKE

    def feed(self, at_ms: int, value: float) -> Step:
        """Take the next value."""
        state = self._state
        last, gap_ms = state.last, at_ms - state.last_at
        if state.first_at is None:
            state.first_at = at_ms
        state.samples += 1
        state.last_at = at_ms
        if value == last:
            return self._stay(at_ms, value, gap_ms)
        if state.since is not None:
            self._learn_still(at_ms)
        state.since = at_ms
        held = None
        before = state.before
        if last is not None and before is not None:
            away = _away(last, before, value)
            if state.held_at is not None:
                held = self._decide(away)
            elif away > 0:
                state.alone.learn(at_ms // DAY_MS, away)
        state.before, state.last = last, value
        if last is not None:
            limit = self._limit()
            if 0 < limit < abs(value - last):
                state.held_at = at_ms
                return HOLD if held is None else Step(held, None)
        return PASSED if held is None else Step(held, PASS)

    def miss(self, at_ms: int) -> Verdict | None:  # noqa: ARG002 -- of the seam
        """Nothing follows what is held: it stays in doubt."""
        state = self._state
        held = None if state.held_at is None else SPIKE
        state.held_at = state.last = state.before = state.since = None
        return held

    def _stay(self, at_ms: int, value: float, gap_ms: int) -> Step:
        """The same value again: what is held was no spike."""
        state = self._state
        state.before = value
        held = None
        if state.held_at is not None:
            state.held_at, held = None, PASS
        if self._can_stick(value):
            limit_ms = 1000 * self._still_limit_s()
            if state.since is None or gap_ms > limit_ms / 4:  # nobody looked: it may have moved and come back
                state.since = at_ms
            still_ms = at_ms - state.since
            if still_ms > limit_ms:
                is_for_good = still_ms >= max(1000 * STUCK_FOR_LONG_S, TIMES_FOR_GOOD * limit_ms)
                return Step(held, Verdict(Flag.FAIL if is_for_good else Flag.SUSPECT, Test.FLAT))
        return PASSED if held is None else Step(held, PASS)

    def _can_stick(self, value: float) -> bool:
        return value not in self._exempt and abs(value) >= self._least

    def _decide(self, away: float) -> Verdict:
        state = self._state
        day = (state.held_at or 0) // DAY_MS
        state.held_at = None
        if away > self._limit():
            state.alone.refuse(day, away, again=AGAIN)
            return SPIKE
        if away > 0:
            state.alone.learn(day, away)
        return PASS

    def _learn_still(self, at_ms: int) -> None:
        """A value has moved on: learn how long it stood, where that was no fault and can be one."""
        state = self._state
        if state.since is None or state.last is None or not self._can_stick(state.last):
            return
        still_s = (at_ms - state.since) / 1000
        if still_s <= self._still_limit_s():
            state.still.learn(at_ms // DAY_MS, still_s)
        else:
            state.still.refuse(at_ms // DAY_MS, still_s, again=AGAIN)

    def _limit(self) -> float:
        """Further away from both neighbours is a spike; 0: not known."""
        said = self._choice.spike
        if said is not None:
            return 0.0 if said.off or said.least is None else said.least
        limit = self._state.alone.limit
        return limit if limit == 0 or limit > self._least else self._least

    def _still_limit_s(self) -> float:
        """Longer at one value is strange."""
        said = self._choice.flat
        if said is not None:
            return float("inf") if said.off or said.after_s is None else said.after_s
        if self._state.still.days < KNOWN_DAYS:
            return UNKNOWN_STILL_S
        return max(self._least_still_s, self._state.still.limit)

    def limits(self) -> Sequence[LearnedLimit]:
        """What is known of spikes and of standing still."""
        state, choice, found = self._state, self._choice, list[LearnedLimit]()
        still_s = self._still_limit_s()
        for test, said, high, unit, note in (
            (Test.SPIKE, choice.spike, self._limit(), "", "most away from both neighbours, with a margin"),
            (Test.FLAT, choice.flat, still_s, "s", "longest that one value stood, with a margin"),
        ):
            if not 0 < high < float("inf"):
                continue
            if said is not None:
                found.append(LearnedLimit(test=test, high=high, unit=unit, source=said.source))
            elif test == Test.FLAT and self._state.still.days < KNOWN_DAYS:
                found.append(LearnedLimit(test=test, high=high, unit=unit, source="default"))
            else:
                since, until, samples = state.first_at, state.last_at or None, state.samples
                found.append(
                    LearnedLimit(test=test, high=high, unit=unit, since=since, until=until, samples=samples, note=note)
                )
        return found

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        state = self._state
        state.held_at = None if state.held_at is None else state.held_at + by_ms
        state.since = None if state.since is None else state.since + by_ms
        state.first_at = None if state.first_at is None else state.first_at + by_ms
        state.last_at += by_ms


def _away(value: float, before: float, after: float) -> float:
    """How far a value is from the nearer of its neighbours; 0 or less where it is between them."""
    if value > before:
        return value - max(before, after)
    return min(before, after) - value
