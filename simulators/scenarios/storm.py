"""One storm over a small town: rain, what it does to roads with good and bad drains, and to a river.

Time runs in model minutes; a scenario decides how many real seconds one of them takes. Water is balanced, step by step:
what falls on the area that drains to a road, minus what the drain takes, stands on the road.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

STEP_MIN = 0.25


@dataclass(frozen=True)
class Rain:
    """Rain of the shape of one summer cell: from ``begins_min`` it rises, is heaviest at ``peak_min``, then fades."""

    begins_min: float = 10.0
    peak_min: float = 24.0
    peak_mm_h: float = 95.0

    def intensity_mm_h(self, at_min: float) -> float:
        """Intensity x·e^(1-x) scaled to the peak (a gamma hyetograph, cubed: narrow, as a cloudburst is)."""
        x = (at_min - self.begins_min) / (self.peak_min - self.begins_min)
        return self.peak_mm_h * (x * math.exp(1 - x)) ** 3 if x > 0 else 0.0


@dataclass(frozen=True)
class Road:
    """A low place on a road.

    ``gathers``: square metres of hard ground per square metre of road under water. ``drain_mm_min``: what its gully
    takes. ``opens_min``: when somebody or the water itself clears a blocked gully, which then takes ``cleared_mm_min``.
    """

    gathers: float
    drain_mm_min: float
    opens_min: float = math.inf
    cleared_mm_min: float = 0.0

    def depths_mm(self, rain: Rain, minutes: int) -> list[float]:
        """Water depth at every STEP_MIN from 0 to ``minutes``."""
        depths = [0.0]
        for step in range(int(minutes / STEP_MIN)):
            at_min = step * STEP_MIN
            inflow = self.gathers * rain.intensity_mm_h(at_min) / 60
            outflow = self.cleared_mm_min if at_min >= self.opens_min else self.drain_mm_min
            depths.append(max(0.0, depths[-1] + (inflow - outflow) * STEP_MIN))
        return depths


@dataclass(frozen=True)
class River:
    """A small river as one linear reservoir (Maillet): it rises with the rain and falls by ``1/lag_min`` a minute."""

    base_mm: float = 1_800.0
    rise_mm_per_mm: float = 24.0
    lag_min: float = 90.0

    def levels_mm(self, rain: Rain, minutes: int) -> list[float]:
        """Water level at every STEP_MIN from 0 to ``minutes``."""
        above = [0.0]
        for step in range(int(minutes / STEP_MIN)):
            fell_mm = rain.intensity_mm_h(step * STEP_MIN) / 60 * STEP_MIN
            above.append(above[-1] * (1 - STEP_MIN / self.lag_min) + fell_mm * self.rise_mm_per_mm)
        return [self.base_mm + level for level in above]


def at(levels: list[float], minute: float) -> float:
    """The level at a minute, between two steps on the straight line; after the last it stays there."""
    position = minute / STEP_MIN
    before = min(int(position), len(levels) - 1)
    after = min(before + 1, len(levels) - 1)
    return levels[before] + (levels[after] - levels[before]) * (position - before if after > before else 0.0)
