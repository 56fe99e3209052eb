"""What a dry road looks like to its sensor: noise about zero, or zeros, in digits of some size."""

from __future__ import annotations

from math import log, pi, sqrt
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Moment, Number, Size
from edge.quality.street_scale import USUAL_NOISE_MM, guess

DRY_MM: Final = 10.0
FARTHEST_MM: Final = 30.0  # a road that is dry
HALF_DAY_MS: Final = 12 * 3_600_000
_NOISES: Final = 5.0  # a dry road is not above so many standard deviations
_TO_NOISE_OF_HALF: Final = 1.6  # where what is below zero is shown as zero
_MOSTLY_CUT: Final = 0.7  # of the samples are equal: what is small is shown as zero
_OVER: Final = 500.0  # samples
_ENOUGH: Final = 60  # samples of a dry road
_TO_NOISE: Final = sqrt(pi) / 2  # from the mean change between two samples to their standard deviation
_ALIKE: Final = 3  # equal values in a row teach how often two are equal, more of them do not
_CHANCE: Final = 1e-6  # of what is taken for stuck
_LOOK_AT: Final = 32


class Road(msgspec.Struct):
    """Learns noise, digit and unit; ``mm``: what a millimetre is in the unit of the values."""

    mm: Annotated[float, Meta(ge=1e-4, le=1)] = 1.0
    is_told: bool = True
    digit: Size = 0.0  # the smallest step that was seen more than once
    once: Size = 0.0  # the smallest of all
    highest: Number = 0.0
    lowest: Number = 0.0
    zero: Number = 0.0  # what a dry road shows, but for noise: nobody sets it to the millimetre, and it creeps
    dry: Number = DRY_MM  # a road is dry up to here
    below: Number = -DRY_MM  # and from here on
    low: Number = 0.0  # the lowest value of this half day
    low_before: Number = 0.0
    low_ms: Moment = 0
    change: Size = 0.0  # mean size between two samples of a dry road
    same: Annotated[float, Meta(ge=0, le=1)] = 0.0  # part of them that are equal
    alike: Count = 0
    samples: Count = 0  # of a dry road
    moves: Count = 0

    def __post_init__(self) -> None:
        self._look()

    @property
    def noise(self) -> float:
        """Standard deviation on a dry road; 0 where it is not known, or where it is cut off."""
        if self.samples < _ENOUGH or self.same > _MOSTLY_CUT:
            return 0.0
        return self.change * (_TO_NOISE if self.lowest < 0 else _TO_NOISE_OF_HALF)

    @property
    def tolerance(self) -> float:
        """Two samples of a thing that does not move differ by less."""
        noise = self.noise or (USUAL_NOISE_MM * self.mm)
        return max(10.0 * self.mm, 5 * noise, 2 * self.digit if self.moves > _ENOUGH else 0.0)

    @property
    def most_alike(self) -> float:
        """So many samples in a row are not equal by chance; infinite for a road that shows no noise."""
        if self.samples < _ENOUGH or self.same <= 0:
            return 1e9
        return log(_CHANCE) / log(self.same) if self.same < 0.995 else 1e9

    @property
    def sure_mm(self) -> float:
        """What a millimetre is, or more: where it is guessed, the widest limits hold."""
        return self.mm if self.is_told else 1.0

    def lie(self, at_ms: int, value: float) -> None:
        """Take any value: the lowest one of a day is not far below what a dry road shows."""
        self.low = min(self.low, value)
        if at_ms - self.low_ms <= HALF_DAY_MS:
            return
        lowest = min(self.low, self.low_before)
        self.zero = min(max(0.0, lowest), FARTHEST_MM * self.mm)
        self.zero += 3 * self.noise if self.zero else 0.0
        self.low_before, self.low, self.low_ms = self.low, value, at_ms
        self._look()

    def learn(self, value: float, before: float) -> None:
        """Take two samples of the dry road, one after the other."""
        size = abs(value - before)
        self.lowest = min(self.lowest, value)
        self.samples += 1
        part = 1 / min(self.samples, _OVER)
        self.alike = 0 if size else self.alike + 1
        if self.alike > _ALIKE:
            return
        most = 4 * self.change
        self.change += ((min(size, most) if self.samples > _ENOUGH and most else size) - self.change) * part
        self.same += ((0.0 if size else 1.0) - self.same) * part
        if not self.samples % _LOOK_AT:
            self._look()

    def move(self, size: float, value: float) -> None:
        """Take a change, on a dry road or in water."""
        self.highest = max(self.highest, value)
        if size < 1e-7 * self.highest:  # what calculating leaves
            return
        if self.once == 0 or size < 0.75 * self.once:
            self.once, self.digit = size, self.digit or size
        elif size < 1.25 * self.once:
            self.digit = min(self.digit, self.once)
        self.moves += 1
        if not self.moves % _LOOK_AT:
            self._look()

    def _look(self) -> None:
        if not self.is_told and self.moves >= _LOOK_AT:
            self.mm = guess(self.digit, self.noise, self.highest)
        band = max(DRY_MM * self.mm, _NOISES * self.noise)
        self.dry, self.below = self.zero + band, self.zero - band
