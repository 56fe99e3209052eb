"""What jumps at a street sensor: water, or something that passes under it or stays there.

==========  ===================================================  ====================================================
phase       entered                                              left
==========  ===================================================  ====================================================
calm        at the beginning                                     by a jump; what jumped is *doubted*
doubted     by a jump                                            by the next sample: it went back (``SPIKE``, on a dry
                                                                 road ``BLIP`` too, the third in half an hour
                                                                 ``PULSES``); it went on (water: passes); it stayed
                                                                 (``STEP``; from a dry road *standing*)
standing    on a dry road, within one interval (of two minutes   when the road is dry again; or when it moves as water
            at most), to a height that the next sample did not   does, in small steps away from where it stood, or in
            exceed (``BOX``), or fell short of (``PULSES``), or  ever so small ones to 3 cm above or below where it
            faster than water can rise (``RATE``)                came to
==========  ===================================================  ====================================================

Water that comes to a dry road in one sample has risen further by the next one: the one of 331 recorded floods that
came to 15 cm so rose by 10.1 mm. Where samples are missing before the jump nobody knows whether it was one, and water
has the benefit of the doubt.

What stands and then leaps is another thing that stands: down always, up unless it goes on to rise. Where something
fell three times in half an hour there is traffic, and no leap is one of water.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from edge.contract.readings import Test
from edge.quality.judge import Tests
from edge.quality.kept import Count, Moment, Number, Size
from edge.quality.street_road import Road

RATE_MM: Final = 260.0  # a minute: recorded floods rise by up to that
FAST_MM: Final = 100.0  # a minute, over several minutes: the fastest recorded flood rose by 87
AT_ONCE: Final = 1.5  # intervals
MOST_USUAL: Final = 2.0  # minutes: in a longer interval water, too, may come and be there
RISEN_MM: Final = 30.0  # above where it came to: nothing that stands on a road grows
DOUBT_MM: Final = 25.0
STEP_MM: Final = 50.0
SPREAD_MM: Final = 6.0  # a minute more than an interval: water moves meanwhile
STEP_SPREAD_MM: Final = 12.0
FASTER: Final = 2.5  # than it rose a moment ago
FORGET: Final = 0.8  # of the pace, a sample
BACK: Final = 0.4  # of the jump
STEADY: Final = 0.2  # of the jump
PULSES: Final = 3
CHAIN_MS: Final = 30 * 60_000
SHORT: Final = 6  # samples of a pulse
YOUNG: Final = 2  # samples
SETTLED: Final = 4
STILL: Final = 2  # samples: what rose far and then stands is another thing that stands
ROUGHER: Final = 2.5  # than the mean is one in a million, of normal noise
MINUTE_MS: Final = 60_000.0


class Phase(IntEnum):
    """See the module."""

    CALM = 0
    DOUBTED = 1
    STANDING = 2


class Sample(NamedTuple):
    """The sample to look at, and the one before."""

    at_ms: int
    value: float
    before: float
    minutes: float  # between them
    spread: float  # minutes more than an interval


class Found(NamedTuple):
    """Tests of the sample before (-1: there is none that waits), and of this one."""

    held: int
    now: int


class Jumps(msgspec.Struct):
    """Where the sensor is in the table above."""

    phase: Phase = Phase.CALM
    is_held: bool = False
    base: Number = 0.0  # before the jump
    from_dry: bool = False
    at_once: bool = False
    rate: Size = 0.0  # of the jump, a minute
    pace: Size = 0.0  # of the water, a minute
    pace_before: Size = 0.0
    doubt: Tests = 0
    level: Number = 0.0  # where it stands
    came: Number = 0.0  # where it stood at first
    kind: Tests = 0  # of what stands
    samples: Annotated[int, Meta(ge=1, le=2**53)] = 1
    away: Count = 0  # samples in a row
    still: Count = 0  # 1 after a far rise, and one more for each sample that stands since; 0: there was none
    rough: Size = 0.0  # mean size of what its steps differ by
    step: Number = 0.0  # the last one
    young_ms: Moment = 0  # when what came to the road at once was taken for water
    wet_ms: Moment = 0  # when there was water last; 0 is long ago
    pulses: Annotated[list[Moment], Meta(max_length=PULSES)] = msgspec.field(default_factory=list)  # the latest
    most_rate: Size = RATE_MM

    def shift(self, by_ms: int) -> None:
        """Go on by a clock that was set on by so much."""
        self.wet_ms += by_ms
        self.young_ms += by_ms
        self.pulses = [one + by_ms for one in self.pulses]

    def limit(self, sample: Sample, road: Road, least: float) -> float:
        """A change of more is a jump."""
        wide = max(least, 6 * road.noise) + SPREAD_MM * road.mm * sample.spread
        return wide + FASTER * self.pace * sample.minutes

    def begin(self, sample: Sample, road: Road, *, most_rate: float) -> int:
        """Doubt a sample that jumped; return the tests."""
        change = sample.value - sample.before
        self.phase, self.is_held = Phase.DOUBTED, True
        self.base = sample.before
        self.rate = abs(change) / sample.minutes
        dry = max(DOUBT_MM * road.mm, road.dry) if self.rate > most_rate else road.dry
        is_dry = min(-dry, road.below) <= sample.before <= dry and sample.at_ms - self.wet_ms > CHAIN_MS
        is_young = self.rate > most_rate and sample.at_ms - self.young_ms <= CHAIN_MS
        self.from_dry = (is_dry or is_young) and change > 0
        self.at_once = sample.spread == 0
        self.pace_before = self.pace
        self.doubt = Test.SPIKE | (Test.RATE if self.rate > most_rate else 0)
        return self.doubt

    def decide(self, sample: Sample, road: Road, *, step: float) -> Found:
        """Look at the sample after a jump."""
        jump, change = sample.before - self.base, sample.value - sample.before
        self.is_held, self.phase = False, Phase.CALM
        too_fast = self.doubt & Test.RATE
        is_back = abs(sample.value - self.base) <= BACK * abs(jump)
        if is_back and self.from_dry and self.at_once:
            is_back = sample.value <= max(road.dry, step)  # what fell that far, and not to the road, may stand there
        if is_back or (self.from_dry and sample.value <= road.dry):
            return Found(self._pulse(sample.at_ms) | too_fast, 0)
        if (
            self.from_dry and self.at_once and sample.spread == 0 and change >= max(step, 2 * jump)
        ):  # it may just have come into sight
            self.phase, self.is_held, self.doubt = Phase.DOUBTED, True, Test.SPIKE
            return Found(0, 0)
        if self.from_dry and self._came_at_once(road, change) and jump >= max(step, 6 * road.noise):
            return self._stand(sample, road, change)
        rate = abs(change) / sample.minutes
        self.pace = max(rate, min(self.rate, 10 * rate))
        usual = max(rate, self.pace_before) * max(sample.minutes, 1e-9)
        wide = max(step, 6 * road.noise) + STEP_SPREAD_MM * road.mm * sample.spread
        is_step = (
            abs(jump) >= wide and abs(change) <= max(road.tolerance, STEADY * abs(jump)) and abs(jump) >= 3 * usual
        )
        return Found((Test.STEP if is_step else 0) | too_fast, 0)

    def _came_at_once(self, road: Road, change: float) -> bool:
        """Whether what came to the road came at once; over some minutes, only if it then did not move any more."""
        return self.at_once or (self.rate > FAST_MM * road.sure_mm and abs(change) <= road.tolerance)

    def _pulse(self, at_ms: int) -> int:
        if not self.from_dry:
            return Test.SPIKE
        self.pulses = [one for one in self.pulses if at_ms - one < CHAIN_MS][1 - PULSES :]
        self.pulses.append(at_ms)
        return Test.SPIKE | (Test.PULSES if len(self.pulses) >= PULSES else Test.BLIP)

    def _stand(self, sample: Sample, road: Road, change: float) -> Found:
        """Something came to a dry road at once."""
        is_too_fast = change > self.most_rate * road.sure_mm * sample.minutes
        too_fast = Test.RATE if is_too_fast else self.doubt & Test.RATE
        self.level = self.came = sample.before
        self.samples, self.away, self.still = 2, 0, 0
        self.rough, self.step = 0.0, change
        if change > road.tolerance:
            if not too_fast and not self._is_chain(sample.at_ms):
                self.pace = max(self.rate, change / sample.minutes)
                self.young_ms = sample.at_ms
                return Found(0, 0)
            self.kind = Test.RATE if too_fast else Test.PULSES
        elif change < -road.tolerance:
            self.kind = Test.PULSES | Test.STEP
            if change < -3 * road.tolerance:
                self._pulse(sample.at_ms)
        else:
            self.kind = Test.BOX | Test.STEP
        self.phase = Phase.STANDING
        self._settle(sample, road.tolerance)
        self.came = self.level if abs(change) > road.tolerance else self.came
        return Found(self.kind | self.doubt & Test.RATE, self.kind)

    def _settle(self, sample: Sample, tolerance: float) -> None:
        if abs(sample.value - self.level) > tolerance:
            self.level = sample.value
        else:
            self.level += (sample.value - self.level) * max(1 / self.samples, min(1.0, sample.minutes / 30))

    def follow(self, sample: Sample, road: Road) -> int:
        """Look at a sample while something stands on a dry road; return its tests."""
        if sample.value <= max(road.dry, DOUBT_MM * road.mm):
            self.phase = Phase.CALM
            if self.samples < SHORT:
                self._pulse(sample.at_ms)
            return 0
        step = sample.value - sample.before
        rough = min(ROUGHER * self.rough, 3 * road.tolerance) if self.samples > SETTLED else 0.0
        tolerance = max(road.tolerance, rough)
        self.samples += 1
        if abs(step) <= 3 * tolerance + STEP_SPREAD_MM * road.mm * sample.spread:
            self.rough += (abs(step - self.step) - self.rough) / min(self.samples, SETTLED)
            self.step = step
            if self._stays(sample, road, step, tolerance):
                return self.kind
        elif self._is_rising(step, sample, road):
            self.still = 1
        else:
            if step < 0:
                self._pulse(sample.at_ms)  # water does not fall like that: traffic
            self._put(sample.value, Test.PULSES | Test.STEP)
            self.away = self.still = int(step > 0)
            return self.kind
        self.away += 1
        return self.kind if self.away < 2 else self._release(sample, road, step)

    def _stays(self, sample: Sample, road: Road, step: float, tolerance: float) -> bool:
        """Whether a sample that did not jump says nothing for water."""
        has_crept = abs(sample.value - self.came) > max(RISEN_MM * road.mm, 3 * tolerance)
        if abs(sample.value - self.level) <= tolerance and not has_crept:
            self.away, self.still = 0, 0
            if self.samples > YOUNG:
                self.kind = Test.BOX | Test.STEP
            self._settle(sample, tolerance)
            return True
        if not self.still or abs(step) > tolerance / 2:
            return False
        self.still += 1
        if self.still > STILL:
            self._put(sample.value, Test.BOX | Test.STEP)
        return True

    def _put(self, value: float, kind: int) -> None:
        """Something else stands there now."""
        self.level = self.came = value
        self.kind, self.away, self.still, self.step = kind, 0, 0, 0.0

    def _release(self, sample: Sample, road: Road, step: float) -> int:
        """It is water."""
        if self.kind & Test.RATE:
            self.most_rate = max(self.most_rate, min(2 * self.most_rate, 1.2 * self.rate / road.sure_mm))
        self.phase, self.young_ms = Phase.CALM, sample.at_ms
        self.pace = abs(step) / sample.minutes
        return 0

    def _is_rising(self, step: float, sample: Sample, road: Road) -> bool:
        """Whether a step is one of water that rises: not the first one of what has stood there, nor in traffic."""
        is_first = self.samples > YOUNG + 2 and not self.away
        is_slow = 0 < step <= self.most_rate * road.sure_mm * sample.minutes
        return is_slow and not is_first and not self._is_chain(sample.at_ms, PULSES)

    def _is_chain(self, at_ms: int, least: int = 1) -> bool:
        """Whether so many pulses were seen lately."""
        return len(self.pulses) >= least and at_ms - self.pulses[-least] < CHAIN_MS
