"""Snow under the sensor: it rises for hours, and never as fast as water does.

The slowest of 331 recorded floods of 15 cm and more rose by 32 mm in a quarter of an hour at least once before it got
there; snow of 60 mm an hour is rare.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edge.quality.kept import Moment, Number
from edge.quality.street_road import Road
from edge.quality.street_scale import USUAL_NOISE_MM

QUARTER_MS: Final = 15 * 60_000
FASTEST_MM: Final = 15.0  # in a quarter of an hour
LEAST_MM: Final = 100.0
LEAST_MS: Final = 2 * 3_600_000
_SMOOTH_MS: Final = 5 * 60_000


class Snow(msgspec.Struct):
    """Since when what lies there has risen, and whether it ever did so as only water can."""

    since_ms: Moment | None = None
    is_water: bool = False
    smooth: Number = 0.0
    anchor: Number = 0.0
    anchor_ms: Moment = 0

    def dry(self) -> None:
        """The road is dry: what comes next is looked at anew."""
        self.since_ms, self.is_water = None, False

    def shift(self, by_ms: int) -> None:
        """Go on by a clock that was set on by so much."""
        self.since_ms = None if self.since_ms is None else self.since_ms + by_ms
        self.anchor_ms += by_ms

    def take(self, at_ms: int, value: float, passed_ms: int, road: Road) -> bool:
        """Take a sample above the dry road; say whether it is snow."""
        if self.is_water:
            return False
        if self.since_ms is None:
            self.since_ms = self.anchor_ms = at_ms
            self.smooth, self.anchor = value, min(value, road.dry)
            return False
        self.smooth += (value - self.smooth) * min(1.0, passed_ms / _SMOOTH_MS)
        if self.smooth - self.anchor > FASTEST_MM * road.mm + 2 * max(0.0, road.noise - USUAL_NOISE_MM * road.mm):
            self.is_water = True
            return False
        if at_ms - self.anchor_ms >= QUARTER_MS or self.smooth < self.anchor:
            self.anchor, self.anchor_ms = self.smooth, at_ms
        return value > LEAST_MM * road.mm and at_ms - self.since_ms >= LEAST_MS
