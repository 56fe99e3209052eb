"""Pure: a sensor above a road on which no water stands, a sample a minute: noise, and what passes, stops or lies there.

Nobody has published the readings of a dry road, so this is made up from what makers state and users complain of:

==========  ============================================================================================
kind        what the sensor shows
==========  ============================================================================================
noise       normal, 2 mm standard deviation unless said otherwise, in whole digits; or 0 below a height (``cut_mm``)
blip        one sample of 20 to 1500 mm, and the road again
pulses      4 to 12 vehicles of different heights, each for one or two samples, a few minutes apart
box         a bag, a crate or a parked car: 60 to 1500 mm at once, for 3 minutes to 6 hours, and at once away
snow        5 to 40 mm an hour for 3 to 10 hours, lies for hours and sinks by the hour
==========  ============================================================================================

What follows is harsher than users complain of, for seeing where the limits are:

==========  ============================================================================================
pile        a box, and after 1 to 60 minutes another one on it, of 20 to 400 mm
climb       2 to 5 vehicles in successive minutes, each higher than the one before
jam         10 to 60 minutes in which another vehicle, or now and then none, stands there each minute or two
lost        no samples for 2 to 20 minutes, and during half of these times a box comes
==========  ============================================================================================

A vehicle is under the sensor or not: one that is seen is 60 mm high at the least.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Final, NamedTuple

MINUTES_A_DAY: Final = 1440
NOISE_MM: Final = 2.0
HIGHEST_MM: Final = 1500.0
LOWEST_BOX_MM: Final = 60.0


class DryRoad(NamedTuple):
    """How often what happens; numbers a day are means."""

    noise_mm: float = NOISE_MM
    digit_mm: float = 1.0
    cut_mm: float | None = None  # heights below are shown as 0
    blips: float = 0.0  # a day
    pulses: float = 0.0  # chains a day
    boxes: float = 0.0  # a day
    piles: float = 0.0  # a day
    climbs: float = 0.0  # a day
    jams: float = 0.0  # a day
    lost: float = 0.0  # times a day
    snow: bool = False  # once, in the first two days


class Sight(NamedTuple):
    """One minute: what the sensor shows, and what is there (one of the kinds above)."""

    minute: int
    depth_mm: float
    kind: str


def look(road: DryRoad, minutes: int, seed: int) -> Iterator[Sight]:
    """Show so many minutes of a road, but for those of which no sample comes; the same seed shows the same."""
    rng = random.Random(f"dry road {seed}")
    heights, kinds = [0.0] * minutes, ["noise"] * minutes
    for kind, often, place in (
        ("blip", road.blips, _blip),
        ("pulses", road.pulses, _pulses),
        ("box", road.boxes, _box),
        ("pile", road.piles, _pile),
        ("climb", road.climbs, _climb),
        ("jam", road.jams, _jam),
        ("lost", road.lost, _lost),
    ):
        for _ in range(_count(rng, often * minutes / MINUTES_A_DAY)):
            _put(heights, kinds, kind, place(rng), rng=rng)
    if road.snow:
        _put(heights, kinds, "snow", _snow(rng), rng=rng, within=min(minutes, 2 * MINUTES_A_DAY))
    for minute, (height, kind) in enumerate(zip(heights, kinds, strict=True)):
        if math.isnan(height):
            continue
        shown = height + rng.gauss(0, road.noise_mm)
        is_cut = road.cut_mm is not None and shown < road.cut_mm
        depth = 0.0 if is_cut else round(round(shown / road.digit_mm) * road.digit_mm, 6)
        yield Sight(minute, depth, kind)


def _put(
    heights: list[float], kinds: list[str], kind: str, shape: list[float], *, rng: random.Random, within: int = 0
) -> None:
    """Add what happens where nothing else does, with an hour on each side."""
    last = (within or len(heights)) - len(shape)
    for _ in range(20):
        begin = rng.randint(0, max(0, last))
        end = min(begin + len(shape), len(heights))
        if all(one == "noise" for one in kinds[max(0, begin - 60) : end + 60]):
            heights[begin:end] = shape[: end - begin]
            kinds[begin:end] = [kind] * (end - begin)
            return


def _height(rng: random.Random, low: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(HIGHEST_MM)))


def _blip(rng: random.Random) -> list[float]:
    return [_height(rng, 20.0)]


def _pulses(rng: random.Random) -> list[float]:
    shape: list[float] = []
    for _ in range(rng.randint(4, 12)):
        shape += [_height(rng, LOWEST_BOX_MM)] * rng.choice((1, 1, 2))
        shape += [0.0] * rng.randint(1, 4)
    return shape


def _box(rng: random.Random) -> list[float]:
    return [_height(rng, LOWEST_BOX_MM)] * round(math.exp(rng.uniform(math.log(3), math.log(360))))


def _pile(rng: random.Random) -> list[float]:
    low = _box(rng)[:60]
    return low + [low[0] + rng.uniform(20.0, 400.0)] * rng.randint(1, 60)


def _climb(rng: random.Random) -> list[float]:
    return sorted(_height(rng, LOWEST_BOX_MM) for _ in range(rng.randint(2, 5)))


def _jam(rng: random.Random) -> list[float]:
    shape: list[float] = []
    for _ in range(rng.randint(10, 40)):
        height = _height(rng, LOWEST_BOX_MM) if rng.random() < 0.8 else 0.0
        shape += [height] * rng.choice((1, 1, 2))
    return shape


def _lost(rng: random.Random) -> list[float]:
    after = _box(rng) if rng.random() < 0.5 else []
    return [math.nan] * rng.randint(2, 20) + after


def _snow(rng: random.Random) -> list[float]:
    rise, hours = rng.uniform(5, 40) / 60, rng.randint(3, 10)
    shape = [rise * minute for minute in range(hours * 60)]
    top = shape[-1]
    return shape + [top * math.exp(-minute / 1200) for minute in range(rng.randint(120, 900))]


def _count(rng: random.Random, mean: float) -> int:
    """A Poisson number."""
    limit, product, count = math.exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count
