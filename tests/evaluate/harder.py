"""Floods as nobody has recorded them, made of the recorded ones of 15 cm and more: how many are raised late.

They have no target. They show what a change of the judge costs where the recordings say nothing: a rule that calls
more of what stands on a road a car is bought with floods that are raised later.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from edge.contract.messages import EventState
from tests.evaluate import series
from tests.evaluate.hidden import DRY_MINUTES, FLOODS_ON_A_ROAD, RAISE_MM, detect
from tests.evaluate.ours import judge_rows
from tests.evaluate.series import NOISE_MM, Flood

RAISED = {EventState.CONFIRMED, EventState.UPDATED}
MINUTE_S = 60


class Made(NamedTuple):
    """One of them, and how many of its samples show something else than water."""

    flood: Flood
    car: int = 0


class Harder(NamedTuple):
    """What became of all that were made in one way."""

    made: str
    floods: int  # with two samples in a row of 15 cm or more
    late: int  # not raised by the second of them
    never: int  # of these


def repeat(flood: Flood, _: random.Random) -> Made:
    """Each sample twice, a minute apart, as sensors do that answer with an old value."""
    seconds = [MINUTE_S * number for number in range(2 * len(flood.seconds))]
    return Made(Flood(flood.sensor, seconds, [depth for depth in flood.depths_mm for _ in range(2)]))


def squeeze(flood: Flood, _: random.Random) -> Made:
    """A sample a minute, whatever the time between them was."""
    return Made(flood._replace(seconds=[MINUTE_S * number for number in range(len(flood.seconds))]))


def thin(flood: Flood, rng: random.Random) -> Made:
    """One sample of three."""
    first = rng.randrange(3)
    return Made(Flood(flood.sensor, flood.seconds[first::3], flood.depths_mm[first::3]))


def deepen(flood: Flood, _: random.Random) -> Made:
    """Three times as deep and as fast."""
    return Made(flood._replace(depths_mm=[3 * depth for depth in flood.depths_mm]))


def behead(flood: Flood, rng: random.Random) -> Made:
    """Up to the last four samples before 15 cm are lacking: it comes to a dry road at once."""
    over = next(at for at, depth in enumerate(flood.depths_mm) if depth >= RAISE_MM)
    first = rng.randint(max(0, over - 4), over)
    return Made(Flood(flood.sensor, flood.seconds[first:], flood.depths_mm[first:]))


def park(flood: Flood, rng: random.Random) -> Made:
    """A car that came some minutes before stands there until the water has 6 to 20 cm."""
    leaves = rng.uniform(60, 200)
    seen = next((at for at, depth in enumerate(flood.depths_mm) if depth >= leaves), len(flood.depths_mm))
    before, roof = rng.randint(2, 30), rng.uniform(250, 900)
    car = [float(round(roof + rng.gauss(0, NOISE_MM))) for _ in range(before + seen)]
    seconds = [flood.seconds[0] - MINUTE_S * minute for minute in range(before, 0, -1)]
    return Made(Flood(flood.sensor, seconds + flood.seconds, car + flood.depths_mm[seen:]), len(car))


WAYS: Mapping[str, Callable[[Flood, random.Random], Made]] = {
    "each sample twice": repeat,
    "a sample a minute": squeeze,
    "every third sample": thin,
    "three times as deep": deepen,
    "the first samples lacking": behead,
    "under a car that leaves": park,
}


def look_at_harder_floods(floods: Sequence[Flood], seed: int) -> list[Harder]:
    """Make them in each way, and put them through judge and detector."""
    high = [flood for flood in floods if max(flood.depths_mm) >= RAISE_MM]
    return [_look_at(name, way, high, random.Random(f"harder {seed}")) for name, way in WAYS.items()]


def _look_at(
    name: str, way: Callable[[Flood, random.Random], Made], high: Sequence[Flood], rng: random.Random
) -> Harder:
    made = [way(flood, rng) for flood in high]
    delays = [
        delay
        for number, first in enumerate(range(0, len(made), FLOODS_ON_A_ROAD))
        for delay in _samples_late(made[first : first + FLOODS_ON_A_ROAD], number, rng)
    ]
    return Harder(name, len(delays), sum(delay != 0 for delay in delays), delays.count(None))


def _samples_late(made: Sequence[Made], number: int, rng: random.Random) -> list[int | None]:
    """How many samples after the second of 15 cm each is raised; None: never."""
    floods = [one.flood for one in made]
    street = series.embed(f"road-{number}", floods, rng, is_cut=number % 2 == 1, dry_minutes=DRY_MINUTES)
    values = street.series.values
    states = detect(street, judge_rows(street.series.times, values, "street", unit="mm"))
    found = list[int | None]()
    for (low, high), one in zip(street.floods, made, strict=True):
        over = [at for at in range(low + one.car, high + 1) if (values[at] or 0.0) >= RAISE_MM]
        second = next((later for before, later in itertools.pairwise(over) if later == before + 1), None)
        if second is not None:
            raised = next((at for at in range(low, high + 1) if states[at] in RAISED), None)
            found.append(None if raised is None else max(0, raised - second))
    return found
