"""What the next sample will be, if nothing happens: from the last ones, the slope, and the season of the sensor.

Four forecasts run side by side, and the one that has been best lately is used: the last value; with its slope; with the
way that the season makes; with both. Noise makes slopes worthless, tides make them dear: the sensor decides.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Moment, Number, Size
from edge.quality.scale import Spread
from edge.quality.season import Season

_LATELY = 100.0  # samples


class Forecast(msgspec.Struct):
    """Knows the last trusted sample; asked for a time (:meth:`ahead`) before it is told what was there."""

    season: Season = msgspec.field(default_factory=Season)
    at_ms: Moment | None = None
    value: Number = 0.0
    waves: Number = 0.0
    slope: Number = 0.0  # a ms
    own_slope: Number = 0.0  # of what is not season
    interval_ms: Size = 0.0
    count: Count = 0
    best: Annotated[int, Meta(ge=0, le=3)] = 0
    errors: tuple[Spread, Spread, Spread, Spread] = msgspec.field(
        default_factory=lambda: (Spread(_LATELY), Spread(_LATELY), Spread(_LATELY), Spread(_LATELY))
    )
    # of the time that was asked for last
    now_waves: Number = 0.0
    reach_ms: Number = 0.0

    def ahead(self, at_ms: int) -> float:
        """The value that is likely at a time; a slope is believed for two intervals at most."""
        passed = at_ms - (self.at_ms or 0)
        usual = self.interval_ms or passed
        self.reach_ms = reach = passed if passed <= usual else usual * (2 - usual / passed)
        self.now_waves = waves = self.season.at(at_ms)
        best = self.best
        if best == 0:
            return self.value
        if best == 1:
            return self.value + self.slope * reach
        if best == 2:
            return self.value + waves - self.waves
        return self.value + waves - self.waves + self.own_slope * reach

    def take(self, at_ms: int, value: float, digit: float) -> None:
        """Take what was there at the time that was asked for last; it is trusted. What is a digit wrong is usual."""
        if self.at_ms is not None and at_ms > self.at_ms:
            passed = at_ms - self.at_ms
            if self.count & 1:  # half of them tell as well
                self._compare(value - self.value, self.now_waves - self.waves, digit)
            self.slope = (self.slope + (value - self.value) / passed) / 2
            self.own_slope = (self.own_slope + (value - self.value - self.now_waves + self.waves) / passed) / 2
        self.season.learn(at_ms, value, self.now_waves)
        self.at_ms, self.value, self.waves = at_ms, value, self.now_waves
        self.count += 1

    def rebase(self, at_ms: int, value: float, by: float) -> None:
        """Go on at another level, a jump away."""
        self.season.level += by
        self.now_waves = self.season.at(at_ms)
        self.at_ms, self.value, self.waves = at_ms, value, self.now_waves
        self.slope = self.own_slope = 0.0

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        self.season.shift(by_ms)
        if self.at_ms is not None:
            self.at_ms += by_ms

    def _compare(self, change: float, swung: float, digit: float) -> None:
        still, slope, season, both = self.errors
        still.add(abs(change), digit)
        slope.add(abs(change - self.slope * self.reach_ms), digit)
        season.add(abs(change - swung), digit)
        both.add(abs(change - swung - self.own_slope * self.reach_ms), digit)
        if self.count & 7 == 1:
            means = (still.mean, slope.mean, season.mean, both.mean)
            self.best = means.index(min(means))
