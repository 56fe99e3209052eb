"""Pure: judges the running total of a rain gauge, mm.

=================  =======================================================================================
what happens       judged
=================  =======================================================================================
burst              more in a time than rain ever brought (``BURST``): a contact that bounces, a gauge that is rinsed.
                   Or a sample of much rain, at least ten tips, in the midst of dry ones
glitch             one total away from those beside it, up or down (``SPIKE``)
begins again       passes: the gauge was read out, replaced or without power; no rain is negative
=================  =======================================================================================

How much can fall is no matter of one gauge, so it is not learned: ``15 mm * minutes ** 0.65`` is above the heaviest
rain measured in China, 202 mm in an hour and 1672 mm in a day (the curve is our own proposal). That a gauge is blocked
shows beside others only: :mod:`edge.quality.neighbour`. A sample is held back where only the next one tells a burst
from the first minute of a storm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality.judge import PASS, PASSED, Step, Verdict
from edge.quality.kept import Count, Kept, Moment, Number, Size

MOST_MM: Final = 15.0
GROWS: Final = 0.65
SHORTEST_MIN: Final = 1 / 6
WINDOWS_MIN: Final = (10.0, 60.0)
FADED: Final = 0.7  # of steady rain 63 % is left at the end of a window, as its sum fades away
LONE_SHARE: Final = 0.25  # of the most that can fall: so much in one sample, and none beside it, is no rain
LONE_MIN: Final = 10.0  # only where samples are no further apart; an hour can hold a whole shower
LONE_TIPS: Final = 10
DRY_MIN: Final = 20.0

BURST: Final = Verdict(Flag.SUSPECT, Test.BURST)
GLITCH: Final = Verdict(Flag.SUSPECT, Test.SPIKE)


def most_mm(minutes: float) -> float:
    """The most that can fall in so many minutes, mm."""
    return float(MOST_MM * max(minutes, SHORTEST_MIN) ** GROWS)


class _Held(msgspec.Struct):
    """A sample that the next one decides."""

    at_ms: int
    total: float
    is_over: bool  # more than can fall


_Sums = Annotated[list[Size], Meta(min_length=len(WINDOWS_MIN), max_length=len(WINDOWS_MIN))]


class _State(msgspec.Struct):
    at_ms: Moment | None = None  # of the last sample, held or not
    total: Number = 0.0  # the last that was not in doubt
    tip: Size = 0.0
    wet_at_ms: Moment | None = None
    sums: _Sums = msgspec.field(default_factory=lambda: [0.0] * len(WINDOWS_MIN))  # what fell of late
    samples: Count = 0


class RainJudge(Kept[_State]):
    """Judges one gauge; ``resolution`` is what one tip is, mm, where that is known."""

    __slots__ = ("_choice", "_held", "_most")

    def __init__(self, *, resolution: float | None = None, choice: QualityChoice | None = None) -> None:
        """Know of no rain yet."""
        self._choice = choice or QualityChoice()
        super().__init__(_State(tip=resolution or 0.0))
        self._held: _Held | None = None
        rate = self._choice.rate
        self._most = None if rate is None else rate.per_min

    @property
    def doubt(self) -> Verdict:
        """A burst, until the next sample tells."""
        held = self._held
        return PASS if held is None or held.total < self._state.total else BURST

    def feed(self, at_ms: int, value: float) -> Step:
        """Take the next total."""
        state = self._state
        if state.at_ms is None:
            state.at_ms, state.total = at_ms, value
            return PASSED
        if self._held is None and value == state.total:  # by far the most samples: no rain
            state.at_ms = at_ms
            return PASSED
        verdict = None if self._held is None else self._decide(self._held, value)
        return Step(verdict, self._look(at_ms, value))

    def miss(self, at_ms: int) -> Verdict | None:  # noqa: ARG002 -- as every judge
        """Nothing came: what is held is a burst if no rain can be so heavy, else it may be anything."""
        held = self._held
        if held is None:
            return None
        is_over = held.is_over and held.total > self._state.total
        self._go_on_from(held)
        return BURST if is_over else PASS

    def limits(self) -> Sequence[LearnedLimit]:
        """The most that can fall in a minute; in longer times it is less by the minute."""
        if self._choice.is_off("rate"):
            return []
        rate = self._choice.rate
        return [
            LearnedLimit(
                test=Test.BURST,
                high=round(most_mm(1) if self._most is None else self._most, 2),
                unit="mm/min",
                source="default" if rate is None or rate.per_min is None else rate.source,
                samples=self._state.samples,
                note="" if self._most is not None else "more than the heaviest rain that was measured in China",
            )
        ]

    def go_on(self, state: _State) -> None:
        """The last total, and what fell of late; what was held is not in it."""
        self._state = state
        self._held = None

    def shift(self, by_ms: int) -> None:
        """Go on with another clock."""
        state = self._state
        state.at_ms = None if state.at_ms is None else state.at_ms + by_ms
        state.wet_at_ms = None if state.wet_at_ms is None else state.wet_at_ms + by_ms
        if self._held is not None:
            self._held.at_ms += by_ms

    def _look(self, at_ms: int, total: float) -> Verdict | None:
        """Judge one sample after the last one that is not in doubt; None holds it back."""
        state = self._state
        assert state.at_ms is not None  # noqa: S101 -- feed begins with the first sample
        minutes = max(0.0, (at_ms - state.at_ms) / 60_000)
        amount = total - state.total
        state.samples += 1
        if amount < 0:
            self._held = _Held(at_ms, total, is_over=False)
            return None
        if amount == 0:
            state.at_ms = at_ms
            return PASS
        is_over = amount > self._limit(minutes)
        if is_over or self._is_lone(at_ms, minutes, amount):
            self._held = _Held(at_ms, total, is_over)
            return None
        is_too_much = self._is_too_much(at_ms, minutes, amount)
        self._accept(at_ms, total)
        return BURST if is_too_much else PASS

    def _decide(self, held: _Held, following: float) -> Verdict:
        """What the held sample was, now that the next one is there."""
        state = self._state
        tip = state.tip
        if held.total < state.total:
            if following >= state.total - tip and following > held.total + tip:
                state.at_ms = held.at_ms
                return GLITCH
            self._go_on_from(held)
            return PASS
        if state.total - tip <= following < held.total - tip:
            state.at_ms = held.at_ms
            return GLITCH
        is_lone = held.is_over or following - held.total <= tip
        self._go_on_from(held)
        return BURST if is_lone else PASS

    def _go_on_from(self, held: _Held) -> None:
        """Take the held total as the one from which on rain is counted."""
        self._held = None
        if held.total > self._state.total and not held.is_over:
            self._accept(held.at_ms, held.total)
        else:
            self._state.at_ms, self._state.total = held.at_ms, held.total

    def _accept(self, at_ms: int, total: float) -> None:
        state = self._state
        amount = total - state.total
        if amount > 1e-9 and (state.tip == 0.0 or amount < state.tip):
            state.tip = amount
        state.at_ms, state.total, state.wet_at_ms = at_ms, total, at_ms

    def _limit(self, minutes: float) -> float:
        if self._choice.is_off("rate"):
            return math.inf
        per_min = most_mm(minutes) if self._most is None else self._most * max(minutes, SHORTEST_MIN)
        return per_min + 2 * self._state.tip

    def _is_lone(self, at_ms: int, minutes: float, amount: float) -> bool:
        state = self._state
        is_dry = state.wet_at_ms is None or at_ms - state.wet_at_ms > DRY_MIN * 60_000
        return is_dry and minutes <= LONE_MIN and amount > max(LONE_SHARE * self._limit(minutes), LONE_TIPS * state.tip)

    def _is_too_much(self, at_ms: int, minutes: float, amount: float) -> bool:
        """Whether more fell in ten minutes or in an hour than can; both fade away."""
        state = self._state
        if self._choice.is_off("rate") or self._most is not None:
            return False
        since = math.inf if state.wet_at_ms is None else max(0, at_ms - state.wet_at_ms) / 60_000
        state.sums = [
            min(fell * math.exp(-since / window) + amount, 2 * most_mm(window))
            for fell, window in zip(state.sums, WINDOWS_MIN, strict=True)
        ]
        return any(
            fell > FADED * most_mm(window) and minutes < window
            for fell, window in zip(state.sums, WINDOWS_MIN, strict=True)
        )
