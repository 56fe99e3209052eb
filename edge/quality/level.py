"""Judge of a water level: river, canal, reservoir or tide, in any unit and at any interval.

==========  ====  ==================================================================  ====================
test        flag  is set by                                                           found in
==========  ====  ==================================================================  ====================
SPIKE       3     one sample away and back, seen by the next one                      ``level_jump``
STEP        3     another level at once; the first samples of it                      ``level_jump``
RATE        3     a leap of the water beyond all that it did; or what a site says     ``level_jump``
SPAN        3     a jump far beyond the learned range, where the profile has no span  ``level_jump``
FLAT        3, 4  within a digit for longer than ever; 4 when four times that long    ``level_still``
ATTENUATED  3     moves a tenth of the least that it ever moved in a day              ``level_still``
DRIFT       3     creeps evenly for days, further than ever                           ``level_drift``
GAP         2     the first one after one that did not come                           ``level_pace``
==========  ====  ==================================================================  ====================

Everything is learned from the sensor itself, all the time; nothing is flagged as a jump before 20 samples, as a drift
before ten days. A value is compared with what its own past and season forecast (``level_forecast``, ``season``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality.digits import DigitSize
from edge.quality.judge import PASS, PASSED, Step, Verdict
from edge.quality.kept import Kept, Moment, Number, Size
from edge.quality.level_drift import Drift
from edge.quality.level_forecast import Forecast
from edge.quality.level_jump import RATE, SPIKE, SPIKE_BEYOND, STEP, Jump, Jumps
from edge.quality.level_limits import Known, limits_of
from edge.quality.level_pace import Pace
from edge.quality.level_still import Attenuation, Still
from edge.quality.level_surprise import Surprises

DAY_MS = 86_400_000
FLAT: Final = Verdict(Flag.SUSPECT, Test.FLAT)
STUCK: Final = Verdict(Flag.FAIL, Test.FLAT)
LATE: Final = Verdict(Flag.NOT_EVALUATED, Test.GAP)
DRIFT: Final = Verdict(Flag.SUSPECT, Test.DRIFT)
WEAK: Final = Verdict(Flag.SUSPECT, Test.ATTENUATED)
BEYOND: Final = Verdict(Flag.SUSPECT, Test.SPAN)
_LARGEST = 1e150  # beyond it sums are no numbers any more
_LEAP = 1.5  # digits
_STUCK = 4  # times the longest that it may stand still
_YOUNG = 200  # samples
_UNREST = 0.1  # of late the water leapt: it may go far as well
_FORGET = 3  # intervals without a sample: it may have moved, and a jump is not followed any more
_BEYOND_WIDTHS, _BEYOND_USUAL = 5.0, 8.0


class Memory(msgspec.Struct):
    """All that is learned and remembered of one point."""

    digits: DigitSize
    pace: Pace
    attenuation: Attenuation
    forecast: Forecast = msgspec.field(default_factory=Forecast)
    surprises: Surprises = msgspec.field(default_factory=Surprises)
    jumps: Jumps = msgspec.field(default_factory=Jumps)
    still: Still = msgspec.field(default_factory=lambda: Still(2.3))
    dither: Still = msgspec.field(default_factory=lambda: Still(2.8))
    drift: Drift = msgspec.field(default_factory=Drift)
    last: Number = 0.0
    last_surprise: Number = 0.0
    held: Verdict | None = None
    is_flat: bool = False
    stood: Size = 0.0  # times what it ever did
    since_ms: Moment | None = None
    last_ms: Moment = 0


class LevelJudge(Kept[Memory]):
    """Judges the levels of one point."""

    def __init__(
        self,
        resolution: float | None = None,
        interval_ms: int | None = None,
        span: tuple[float, float] | None = None,
        choice: QualityChoice | None = None,
    ) -> None:
        self._resolution = resolution
        self._interval_ms = interval_ms
        self._has_span = span is not None
        self._choice = choice or QualityChoice()
        self._off = sum(test for name, test in _TESTS.items() if self._choice.is_off(name))
        self._per_ms = _given(self._choice.rate, "per_min", 1 / 60_000)
        self._height = _given(self._choice.spike, "least")
        self._step = _given(self._choice.step, "least")
        self._flat_ms = _given(self._choice.flat, "after_s", 1000)
        self._creep = _given(self._choice.drift, "least")
        super().__init__(self._new())

    def _new(self) -> Memory:
        within_ms = _given(self._choice.attenuated, "within_s", 1000)
        late_after_ms = _given(self._choice.gap, "after_s", 1000)
        return Memory(
            DigitSize(self._resolution),
            Pace(self._interval_ms, late_after_ms),
            Attenuation() if within_ms is None else Attenuation(max(1, int(within_ms / 8))),
        )

    @property
    def doubt(self) -> Verdict:
        """SPIKE or STEP while a sample is held."""
        return self._state.held or PASS

    def feed(self, at_ms: int, value: float) -> Step:
        """Take the next value; see :class:`~edge.quality.judge.Judge`."""
        know = self._state
        if know.since_ms is None or at_ms <= know.last_ms or not -_LARGEST < value < _LARGEST:
            return self._unusual(at_ms, value)
        intervals = know.pace.take(at_ms - know.last_ms)
        know.last_ms = at_ms
        forecast, digits = know.forecast, know.digits
        forecast.interval_ms = know.pace.interval_ms
        if value != know.last:
            digits.learn(abs(value - know.last), value)
            know.last = value
        surprise = value - forecast.ahead(at_ms)
        if intervals > _FORGET:
            self._forget_jump(at_ms, value)
        is_fast = self._per_ms is not None and self._is_fast(at_ms, value)
        jump = know.jumps.jump
        if jump is None:
            held, now = None, self._calm(at_ms, value, surprise, intervals)
        else:
            held, now = self._follow(jump, at_ms, value, surprise)
        if now is None:
            return self._hold(held, is_fast=is_fast)
        if now is PASS and know.pace.is_late(intervals):
            now = LATE
        if is_fast:
            now = _join(now, RATE)
        if held is None and now is PASS:
            return PASSED
        return Step(None if held is None else self._allowed(held), self._allowed(now))

    def miss(self, at_ms: int) -> Verdict | None:  # noqa: ARG002 -- a seam of all judges
        """A sample was due: a held one is RATE, because nobody saw whether it came back; a second one is STEP."""
        know = self._state
        held, know.held = know.held, None
        if held is None:
            return None
        jump = know.jumps.jump
        return self._allowed(STEP if jump is not None and jump.count > 1 else RATE)

    def limits(self) -> Sequence[LearnedLimit]:
        """What was learned so far, or is configured."""
        know = self._state
        if know.since_ms is None:
            return ()
        known = Known(
            know.digits.size, know.pace, know.surprises, know.still, know.dither, know.attenuation, know.drift,
            (know.since_ms, know.last_ms), know.surprises.count < _YOUNG,
        )  # fmt: skip
        floor = know.drift.floor(know.digits.size)
        return limits_of(known, self._choice, has_span=self._has_span, creep_floor=floor)

    def go_on(self, state: Memory) -> None:
        """What somebody says of the sensor now goes before what is in it."""
        new = self._new()
        state.digits = replace(state.digits, given=new.digits.given)
        state.pace = replace(state.pace, given_ms=new.pace.given_ms, late_after_ms=new.pace.late_after_ms)
        if state.attenuation.block_ms != new.attenuation.block_ms:
            state.attenuation = new.attenuation
        self._state = state

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        know = self._state
        if know.since_ms is not None:
            know.since_ms += by_ms
        know.last_ms += by_ms
        for part in (know.forecast, know.surprises, know.jumps, know.still, know.dither, know.drift):
            part.shift(by_ms)
        know.attenuation.shift(by_ms)

    def _unusual(self, at_ms: int, value: float) -> Step:
        """The first sample, one that is no number to reckon with, or one whose time does not go on."""
        know = self._state
        if not -_LARGEST < value < _LARGEST:
            return Step(self.miss(at_ms), self._allowed(BEYOND))
        if know.since_ms is None:
            know.since_ms = know.last_ms = at_ms
            know.last = value
            know.forecast.ahead(at_ms)
            know.forecast.take(at_ms, value, know.digits.size)
        return PASSED

    def _is_fast(self, at_ms: int, value: float) -> bool:
        before = self._state.forecast
        passed = at_ms - (before.at_ms or at_ms)
        return passed > 0 and abs(value - before.value) > (self._per_ms or 0.0) * passed

    def _calm(self, at_ms: int, value: float, surprise: float, intervals: float) -> Verdict | None:
        """Judge a sample while nothing is going on; None: it jumped."""
        know = self._state
        surprises, digit, size = know.surprises, know.digits.size, abs(surprise)
        limit = surprises.limit(at_ms, digit, intervals) if self._height is None else self._height
        begins = know.last_surprise
        know.last_surprise = surprise
        if size > limit:
            if begins * surprise > 0 and abs(begins) > 0.1 * size and abs(begins) > digit:
                # Water gathers speed, a fault comes at once.
                if size <= 2 * limit:
                    before = know.forecast.value - know.forecast.waves
                    know.jumps.remember(at_ms + 12 * int(know.pace.interval_ms), surprise, before)
                limit *= 2
            if size > limit and not know.is_flat:
                surprises.note(size)
                self._begin(at_ms, value, surprise, limit)
                return None
            if size > limit:  # it stood still for long, and is free again
                know.forecast.rebase(at_ms, value, 0.0)
                return self._settle(at_ms, value)
        know.forecast.take(at_ms, value, digit)
        surprises.learn(size, digit)
        return self._settle(at_ms, value)

    def _begin(self, at_ms: int, value: float, surprise: float, limit: float) -> None:
        know = self._state
        forecast = know.forecast
        level = value - forecast.now_waves
        jump = Jump(
            at_ms,
            level,
            surprise,
            limit,
            know.surprises.local,
            forecast.value - forecast.waves,
            forecast.at_ms or at_ms,
            is_beyond=self._is_beyond(at_ms, level, surprise),
        )
        jump.released = know.stood > 1 and abs(surprise) < 4 * forecast.season.usual
        know.jumps.begin(jump)
        if know.drift.is_undone(surprise):
            jump.drifted = True

    def _is_beyond(self, at_ms: int, level: float, surprise: float) -> bool:
        """Whether a sample leapt, at once, far out of all that was learned."""
        know = self._state
        drift = know.drift
        if self._has_span or not drift.is_learned(at_ms):
            return False
        room = _BEYOND_WIDTHS * max(drift.high - drift.low, drift.floor(know.digits.size))
        room += _BEYOND_USUAL * know.forecast.season.usual
        return abs(surprise) > room and not drift.low - room < level < drift.high + room

    def _hold(self, decided: Verdict | None, *, is_fast: bool) -> Step:
        """Wait for the next sample: whether a first one comes back, whether a second one stays."""
        know = self._state
        jump = know.jumps.jump
        held = SPIKE
        if jump is not None and jump.count > 1:
            held = STEP
        elif jump is not None and jump.is_beyond:
            held = SPIKE_BEYOND
        know.held = self._allowed(_join(held, RATE) if is_fast else held)
        return Step(None if decided is None else self._allowed(decided), None)

    def _follow(self, jump: Jump, at_ms: int, value: float, surprise: float) -> tuple[Verdict | None, Verdict | None]:
        """Judge a sample that follows one which jumped."""
        know = self._state
        forecast = know.forecast
        outcome = know.jumps.follow(jump, at_ms, value - forecast.now_waves, surprise)
        held, now = None if know.held is None else outcome.held, outcome.now
        if held is not None and know.held is not None and know.held.tests & Test.RATE:
            held = _join(held, RATE)
        know.held = None
        if self._step is not None and abs(jump.size) < self._step:
            held, now = held and _without(held, Test.STEP), _without(now or PASS, Test.STEP)
        if not outcome.is_over:
            return held, now
        if outcome.is_elsewhere:
            forecast.rebase(at_ms, value, jump.size)
            if jump.drifted or (jump.count > 2 and know.drift.leads_back(jump.size)):
                know.drift.undo(jump.size)
            elif jump.count > 2 or jump.undoes:
                know.drift.restart()
            if outcome.is_water:
                know.surprises.stir(at_ms)
            know.surprises.fast.add(abs(jump.size), know.digits.size)
            know.attenuation.restart()
        else:
            forecast.take(at_ms, value, know.digits.size)
        return held, _join(now or PASS, self._settle(at_ms, value))

    def _settle(self, at_ms: int, value: float) -> Verdict:
        """Look at a trusted sample in the long run: whether it stands still, hardly moves, or creeps."""
        know = self._state
        verdict = self._stand(at_ms, value)
        if know.is_flat:
            know.attenuation.restart()
        elif know.attenuation.take(at_ms, value, know.digits.size):
            verdict = _join(verdict, WEAK)
        level = value - know.forecast.now_waves
        if know.drift.take(at_ms, level, know.digits.size, know.forecast.season.usual, self._creep):
            verdict = _join(verdict, DRIFT) if know.surprises.unrest < _UNREST else verdict
        return verdict

    def _stand(self, at_ms: int, value: float) -> Verdict:
        know = self._state
        interval_ms, is_young = know.pace.interval_ms, know.surprises.count < _YOUNG
        digit = know.digits.size
        know.stood = 0.0
        found = PASS
        widths = (1e-9 * abs(value), max(1.25 * digit, 0.2 * know.surprises.slow.mean))
        for still, width in zip((know.still, know.dither), widths, strict=True):
            stood = still.take(at_ms, value, width, _LEAP * digit)
            if stood <= 4 * interval_ms:
                continue
            limit_ms = still.limit_ms(interval_ms, is_young=is_young) if self._flat_ms is None else self._flat_ms
            know.stood = max(know.stood, stood * still.times / limit_ms / 1.3)
            if still.judge(stood, limit_ms, 8 * interval_ms):
                found = STUCK if stood > max(_STUCK * limit_ms, DAY_MS) else _join(found, FLAT)
        know.is_flat = know.still.is_flat or know.dither.is_flat
        return found

    def _forget_jump(self, at_ms: int, value: float) -> None:
        """Nothing came for long: what came after is another story."""
        know = self._state
        know.still.restart()
        know.dither.restart()
        know.is_flat = False
        know.held = None
        if know.jumps.jump is not None:
            know.jumps.jump = None
            know.forecast.rebase(at_ms, value, 0.0)

    def _allowed(self, verdict: Verdict) -> Verdict:
        return _without(verdict, self._off) if self._off else verdict


_TESTS: Final = {
    "rate": Test.RATE,
    "spike": Test.SPIKE,
    "flat": Test.FLAT,
    "attenuated": Test.ATTENUATED,
    "step": Test.STEP,
    "drift": Test.DRIFT,
    "gap": Test.GAP,
}


def _given(choice: object, name: str, scale: float = 1.0) -> float | None:
    found = getattr(choice, name, None)
    return None if found is None else float(found) * scale


def _join(one: Verdict, other: Verdict) -> Verdict:
    """Both: the worse flag, and the tests of the two."""
    if one is PASS or (one.flag < other.flag <= Flag.FAIL and not one.tests):
        return other
    if other is PASS:
        return one
    return Verdict(max(one.flag, other.flag), one.tests | other.tests)


def _without(verdict: Verdict, tests: int) -> Verdict:
    left = verdict.tests & ~tests
    return verdict if left == verdict.tests else Verdict(verdict.flag, left) if left else PASS
