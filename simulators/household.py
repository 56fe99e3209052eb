"""The electricity of one home over a day: what is always on, what people switch on, and what the meter counts."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

DAY_S = 86_400
HOUR_S = 3_600

# How likely people switch something on in each hour of the day: three meals, one long evening.
USES_BY_HOUR = (1, 1, 1, 1, 1, 2, 6, 9, 5, 3, 3, 6, 8, 4, 3, 3, 4, 7, 12, 12, 9, 7, 5, 2)


class Appliance(NamedTuple):
    """Something a home switches on: its power (W), how long (s) and how often a day."""

    name: str
    power_w: float
    on_s: int
    uses_a_day: int


APPLIANCES = (
    Appliance("light", 60, 2 * HOUR_S, 8),
    Appliance("television", 110, 2 * HOUR_S, 2),
    Appliance("kettle", 1_800, 240, 5),
    Appliance("rice cooker", 700, 1_800, 2),
    Appliance("induction hob", 1_600, 1_500, 3),
    Appliance("washing machine", 450, 3_000, 1),
)


@dataclass(frozen=True)
class Use:
    """One appliance on from ``start_s`` to ``end_s`` (seconds of the day)."""

    start_s: float
    end_s: float
    power_w: float


class Household:
    """One home's load as a function of the second of the day; the same seed gives the same home.

    The load is piecewise constant, so its energy is an exact sum and the counter never disagrees with the power.
    """

    def __init__(self, seed: str) -> None:
        rng = random.Random(seed)
        self.base_w = rng.uniform(45, 160)
        self.first_wh = rng.randrange(800_000, 9_000_000)
        self.uses = _fridge(rng) + [use for appliance in APPLIANCES for use in _uses(rng, appliance)]

    def power_w(self, at_s: float) -> float:
        """Load at a second of the day (it repeats each day)."""
        now_s = at_s % DAY_S
        return self.base_w + sum(use.power_w for use in self.uses if use.start_s <= now_s < use.end_s)

    def energy_wh(self, from_s: float, to_s: float) -> float:
        """Energy used between two seconds, counted from the midnight before ``from_s``."""
        return (self._joules(to_s) - self._joules(from_s)) / HOUR_S

    def _joules(self, at_s: float) -> float:
        days, now_s = divmod(at_s, DAY_S)
        return days * self._joules_of_day(DAY_S) + self._joules_of_day(now_s)

    def _joules_of_day(self, now_s: float) -> float:
        used = sum(use.power_w * max(0.0, min(now_s, use.end_s) - use.start_s) for use in self.uses)
        return self.base_w * now_s + used


def _fridge(rng: random.Random) -> list[Use]:
    """A compressor of 90 W that runs a third of the time."""
    period_s, start_s = rng.uniform(2_400, 3_600), rng.uniform(0, 2_400)
    uses = []
    while start_s < DAY_S:
        uses.append(Use(start_s, min(start_s + period_s / 3, DAY_S), 90.0))
        start_s += period_s
    return uses


def _uses(rng: random.Random, appliance: Appliance) -> list[Use]:
    hours = rng.choices(range(24), weights=USES_BY_HOUR, k=rng.randint(1, appliance.uses_a_day))
    starts = [hour * HOUR_S + rng.uniform(0, HOUR_S) for hour in hours]
    power_w = appliance.power_w * rng.uniform(0.8, 1.2)
    return [Use(start_s, min(start_s + appliance.on_s * rng.uniform(0.6, 1.4), DAY_S), power_w) for start_s in starts]
