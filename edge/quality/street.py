"""Pure: judges the depth of water on a road that is dry most of the time, seen by an ultrasonic or pressure sensor.

==========  ==============================================================================================
test        flags (3; nothing here fails a reading, and no flag is given to two samples in a row of a flood that rises)
==========  ==============================================================================================
spike       one sample up and back; on a dry road a *blip*, several in half an hour a chain of *pulses*
step        a jump to another depth that stays; on a dry road a *box*, which is flagged as long as it stands
flat        water that does not move for an hour for each millimetre of the sensor's digit; noise that ceases
snow        hours of rising, never as fast as water
rate        faster than any recorded flood, 260 mm/min; learned upward only
span        deeper than 5 m, or more than 10 cm below the road: no road is
gap (2)     the first sample after some that did not come
==========  ==============================================================================================

All limits are in the unit of the sensor; where nobody says which one that is, see :mod:`edge.quality.street_scale`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality.judge import PASS, PASSED, Step, Verdict
from edge.quality.kept import Count, Kept, Moment, Number, Size
from edge.quality.street_jump import AT_ONCE, DOUBT_MM, MOST_USUAL, RATE_MM, STEP_MM, Jumps, Phase, Sample
from edge.quality.street_road import DRY_MM, HALF_DAY_MS, Road
from edge.quality.street_scale import told
from edge.quality.street_snow import Snow
from edge.quality.street_still import LEAST_SAMPLES, Still

DEEPEST_MM: Final = 5000.0
LOWEST_MM: Final = -100.0
LATE: Final = 3.0  # intervals
USUAL_INTERVAL_MS: Final = 60_000
GAP: Final = Verdict(Flag.NOT_EVALUATED, Test.GAP)
_NUDGE: Final = 1.02  # how fast the interval is learned: so that it is the median
_BITS: Final = {
    "rate": Test.RATE,
    "spike": Test.SPIKE | Test.BLIP | Test.PULSES,
    "flat": Test.FLAT,
    "step": Test.STEP | Test.BOX,
    "drift": Test.SNOW,
    "gap": Test.GAP,
}


class _Memory(msgspec.Struct):
    """All that is learned and remembered."""

    at_ms: Moment | None = None
    first_ms: Moment | None = None
    value: Number = 0.0
    interval_ms: Size = USUAL_INTERVAL_MS
    samples: Count = 0
    road: Road = msgspec.field(default_factory=Road)
    jumps: Jumps = msgspec.field(default_factory=Jumps)
    still: Still = msgspec.field(default_factory=Still)
    snow: Snow = msgspec.field(default_factory=Snow)


class StreetJudge(Kept[_Memory]):
    """Judges one sensor; numbers are in its unit, and what is None or empty is learned."""

    __slots__ = ("_choice", "_digit", "_given_ms", "_off", "_unit")

    def __init__(
        self,
        *,
        unit: str = "",
        interval_ms: int | None = None,
        resolution: float | None = None,
        choice: QualityChoice | None = None,
    ) -> None:
        """Know of no sample yet."""
        self._choice = choice or QualityChoice()
        self._unit = unit
        self._given_ms = interval_ms
        self._digit = resolution
        self._off = sum(bits for name, bits in _BITS.items() if self._choice.is_off(name))
        super().__init__(_Memory(interval_ms=interval_ms or USUAL_INTERVAL_MS, road=self._road()))

    def _road(self) -> Road:
        mm = told(self._unit)
        return Road(mm=mm or 1.0, is_told=mm is not None)

    @property
    def doubt(self) -> Verdict:
        """See :class:`edge.quality.judge.Judge`."""
        jumps = self._state.jumps
        return self._say(jumps.doubt) if jumps.is_held else PASS

    def feed(self, at_ms: int, value: float) -> Step:
        """See :class:`edge.quality.judge.Judge`."""
        memory = self._state
        if memory.at_ms is None:
            self._start(at_ms, value)
            return PASSED
        before, passed_ms = memory.value, at_ms - memory.at_ms
        memory.at_ms, memory.value = at_ms, value
        memory.samples += 1
        road, jumps = memory.road, memory.jumps
        held, tests = self._jump(at_ms, value, before, passed_ms) if value != before or jumps.phase else (None, 0)
        if value <= road.dry:
            memory.snow.dry()
            if road.below <= value and jumps.phase is Phase.CALM and road.below <= before <= road.dry:
                road.learn(value, before)
        elif memory.snow.take(at_ms, value, passed_ms, road):
            tests |= Test.SNOW
        if value < road.low or at_ms > road.low_ms + HALF_DAY_MS:
            road.lie(at_ms, value)
        tests |= self._stand(at_ms, value, before)
        if not LOWEST_MM * road.sure_mm <= value <= DEEPEST_MM * road.sure_mm:
            tests |= Test.SPAN
        return self._step(held, tests, passed_ms)

    def _start(self, at_ms: int, value: float) -> None:
        memory = self._state
        memory.at_ms = memory.first_ms = at_ms
        memory.value = memory.road.low = memory.road.low_before = value
        memory.still.since_ms = memory.road.low_ms = at_ms

    def _step(self, held: Verdict | None, tests: int, passed_ms: int) -> Step:
        memory = self._state
        if memory.jumps.is_held:
            return Step(held, None)
        if not tests and held is None and passed_ms <= LATE * memory.interval_ms:
            if self._given_ms is None:
                self._pace(passed_ms)
            return PASSED
        if passed_ms > self._late_ms():
            return Step(held, self._say(tests) if tests else GAP)
        return Step(held, self._say(tests))

    def _late_ms(self) -> float:
        gap = self._choice.gap
        if self._off & Test.GAP:
            return float("inf")
        return 1000 * gap.after_s if gap is not None and gap.after_s else LATE * self._state.interval_ms

    def _pace(self, passed_ms: int) -> None:
        interval = self._state.interval_ms
        self._state.interval_ms = interval * _NUDGE if passed_ms > interval else interval / _NUDGE

    def _jump(self, at_ms: int, value: float, before: float, passed_ms: int) -> tuple[Verdict | None, int]:
        """Look for a jump; return what became of the sample before, if it waited, and the tests of this one."""
        memory = self._state
        road, jumps = memory.road, memory.jumps
        size = abs(value - before)
        minutes = max(passed_ms, 1000) / 60_000
        usual = min(memory.interval_ms / 60_000, MOST_USUAL)
        spread = 0.0 if minutes <= AT_ONCE * usual else minutes - usual
        sample = Sample(at_ms, value, before, minutes, spread)
        if jumps.phase is Phase.CALM:
            if size > jumps.limit(sample, road, self._least("spike", DOUBT_MM)):
                jumps.begin(sample, road, most_rate=self._most_rate())
            elif value > road.dry:
                jumps.pace = max(size / minutes, 0.8 * jumps.pace)
                if before > road.dry:
                    jumps.wet_ms = at_ms
            else:
                jumps.pace = 0.0
            return None, 0
        if jumps.phase is Phase.STANDING:
            return None, jumps.follow(sample, road)
        was_held = jumps.is_held
        found = jumps.decide(sample, road, step=self._least("step", STEP_MM))
        return (self._say(found.held) if was_held else None), found.now

    def _stand(self, at_ms: int, value: float, before: float) -> int:
        memory = self._state
        still, road = memory.still, memory.road
        if value != before:
            size = abs(value - before)
            road.move(size, value)
            still.move(at_ms, size, is_wet=value > road.dry)
            return 0
        still.samples += 1
        if value == 0 or still.samples < LEAST_SAMPLES:
            return 0
        if abs(value) <= DRY_MM * road.mm:
            return Test.FLAT if still.samples > road.most_alike else 0
        return Test.FLAT if at_ms - still.since_ms > self._flat_ms() else 0

    def _flat_ms(self) -> float:
        flat = self._choice.flat
        if flat is not None and flat.after_s:
            return 1000 * flat.after_s
        mm = self._state.road.mm
        return self._state.still.after_ms((self._digit or 0.0) / mm, mm)

    def _least(self, test: str, usual_mm: float) -> float:
        choice = getattr(self._choice, test)
        return choice.least if choice is not None and choice.least else usual_mm * self._state.road.mm

    def _most_rate(self) -> float:
        """Never below what recorded floods rise by, unless somebody says so."""
        rate = self._choice.rate
        if rate is not None and rate.per_min and rate.source != "default":
            return rate.per_min
        return self._state.jumps.most_rate * self._state.road.sure_mm

    def _say(self, tests: int) -> Verdict:
        tests &= ~self._off
        return Verdict(Flag.SUSPECT, tests) if tests else PASS

    def miss(self, at_ms: int) -> Verdict | None:  # noqa: ARG002 -- as every judge
        """See :class:`edge.quality.judge.Judge`; what it was is looked at again with the next sample."""
        jumps = self._state.jumps
        if not jumps.is_held:
            return None
        verdict = self.doubt
        jumps.is_held = False
        return verdict

    def limits(self) -> Sequence[LearnedLimit]:
        """See :class:`edge.quality.judge.Judge`."""
        memory, road = self._state, self._state.road
        learned = memory.jumps.most_rate > RATE_MM
        per_min = f"{self._unit}/min" if self._unit else "/min"
        found = [
            self._limit("rate", Test.RATE, self._most_rate(), "what street floods rise by at most", unit=per_min),
            self._limit(
                "spike", Test.SPIKE, max(self._least("spike", DOUBT_MM), 6 * road.noise), "six times the noise"
            ),
            self._limit("step", Test.STEP, max(self._least("step", STEP_MM), 6 * road.noise), "six times the noise"),
            self._limit("flat", Test.FLAT, self._flat_ms() / 1000, "standing water sinks by 1 mm an hour", unit="s"),
        ]
        if learned:
            found[0] = replace(found[0], source="learned", note="water has risen as fast as that here")
        return [one for one in found if not one.test & self._off]

    def _limit(self, name: str, test: Test, high: float, note: str, *, unit: str = "") -> LearnedLimit:
        memory, choice = self._state, getattr(self._choice, name)
        return LearnedLimit(
            test=test,
            high=high,
            unit=unit,
            source="default" if choice is None else choice.source,
            since=memory.first_ms,
            until=memory.at_ms,
            samples=memory.samples,
            note=note,
        )

    def go_on(self, state: _Memory) -> None:
        """What is said of the sensor now goes before what is in it."""
        road = self._road()
        if road.is_told or state.road.is_told:
            state.road.mm, state.road.is_told = road.mm, road.is_told
        if self._given_ms is not None:
            state.interval_ms = self._given_ms
        self._state = state

    def shift(self, by_ms: int) -> None:
        """See :class:`edge.quality.judge.Judge`."""
        memory = self._state
        if memory.at_ms is None or memory.first_ms is None:
            return
        memory.at_ms += by_ms
        memory.first_ms += by_ms
        memory.road.low_ms += by_ms
        memory.still.since_ms += by_ms
        memory.snow.shift(by_ms)
        memory.jumps.shift(by_ms)
