"""Faults of many sizes and lengths, injected into clean series with room between them.

Sizes follow what is natural for the whole series: *rough* is how far the 1 % of samples that do so most are from the
mean of those beside them, *jump* how far apart the 0.1 % of neighbouring samples are that are most so, *range* is from
the 5 % quantile to the 95 %. None is below five digits of the sensor.

========  ======  =========================================================================================
fault     kind    what is done
========  ======  =========================================================================================
spike     level   1 to 3 samples off by 3 to 30 times *rough*
          meter   one sample of 2 to 20 times the highest
          street  one sample off by 50 to 1500 mm, on dry roads and in floods
flat      level   6 h to 4 days at one value; every third time with a dither of one digit
          meter   6 to 48 h at one value that is not 0
          street  1 to 12 h at one depth that is not 0, half of them from within a flood on
step      level   1 to 5 days off by 1.5 to 10 times *jump*, at once
          street  15 min to 6 h off by 60 to 1000 mm, at once (a box), half of them without any noise
drift     level   creeps away for 3 to 12 days, to 0.5 to 3 times *range*, straight or ever faster; then right again
range     all     1 to 6 samples far beyond all that is ever measured, or beyond the end of what can be
dropout   all     1 to 48 samples that are empty, or not there, or show the sensor's word for "no value"
bypass    meter   14 to 28 days in which 0 to 50 % of what is used is counted
========  ======  =========================================================================================
"""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.evaluate.episodes import Episode, Faulty
from tests.evaluate.series import DAY_MS, REMOVED, Series

HOUR_MS = 3_600_000
GRACE = 2  # samples

Values = list[float | None]


class Nature(NamedTuple):
    """What is natural for a series; in its unit."""

    digit: float
    rough: float
    jump: float
    low: float
    middle: float
    high: float
    top: float

    @property
    def range(self) -> float:
        return self.high - self.low

    def at_least(self, size: float) -> float:
        """No fault is smaller than five digits."""
        return max(size, 5 * self.digit)


def nature_of(series: Series) -> Nature:
    """Look at the whole of a clean series."""
    there = [value for value in series.values if value is not None]
    steps = sorted(abs(later - one) for one, later in itertools.pairwise(there))
    rough = sorted(abs(there[at] - (there[at - 1] + there[at + 1]) / 2) for at in range(1, len(there) - 1))
    ordered = sorted(there)
    moved = [step for step in steps if step > 1e-9]
    return Nature(
        digit=_quantile(moved, 0.02) if moved else 1.0,
        rough=_quantile(rough, 0.99),
        jump=_quantile(steps, 0.999),
        low=_quantile(ordered, 0.05),
        middle=statistics.median(ordered),
        high=_quantile(ordered, 0.95),
        top=ordered[-1],
    )


class Site(NamedTuple):
    """Where one fault goes: the clean values, and what is natural there."""

    values: Values
    nature: Nature
    kind: str
    rng: random.Random


Change = Callable[[Site, int, int], tuple[Values, str, float]]
"""New values of the samples from one index to before another, the shape and the size; no values: no fault there."""


class Plan(NamedTuple):
    """How often and how long a fault of one kind is; lengths are drawn so that short and long ones are as frequent."""

    change: Change
    most: int
    samples: tuple[int, int] | None = None
    hours: tuple[float, float] | None = None
    room_hours: float = 6.0
    within_ms: int | None = None


def log_uniform(rng: random.Random, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def spike(site: Site, begin: int, end: int) -> tuple[Values, str, float]:
    """A sample, or a few, off by one size."""
    rng, nature = site.rng, site.nature
    if site.kind in {"meter", "water"}:
        size = nature.top * log_uniform(rng, 2, 20)
        return [size] * (end - begin), "up", size
    size = (
        log_uniform(rng, 50, 1500) if site.kind == "street" else nature.at_least(nature.rough * log_uniform(rng, 3, 30))
    )
    sign = 1 if site.kind == "street" and not _is_wet(site, begin) else rng.choice((-1, 1))
    return _add(site, begin, end, lambda _: sign * size), "up" if sign > 0 else "down", size


def flat(site: Site, begin: int, end: int) -> tuple[Values, str, float]:
    """One value, or two that are a digit apart."""
    held = site.values[begin]
    if held is None or (site.kind in {"street", "meter", "water"} and held == 0):
        return [], "", 0.0
    dither = site.kind == "level" and site.rng.random() < 1 / 3
    new: Values = [held + (site.nature.digit * site.rng.choice((0, 1)) if dither else 0.0) for _ in range(begin, end)]
    return new, "dither" if dither else "still", held


def step(site: Site, begin: int, end: int) -> tuple[Values, str, float]:
    """At once another level."""
    rng = site.rng
    if site.kind != "street":
        size = rng.choice((-1, 1)) * site.nature.at_least(site.nature.jump * log_uniform(rng, 1.5, 10))
        return _add(site, begin, end, lambda _: size), "shift", size
    size = float(round(log_uniform(rng, 60, 1000)))
    if _is_wet(site, begin) or rng.random() < 0.5:
        return _add(site, begin, end, lambda _: size), "shift", size
    return [size] * (end - begin), "box", size


def drift(site: Site, begin: int, end: int) -> tuple[Values, str, float]:
    """Creep away, straight or ever faster."""
    size = site.rng.choice((-1, 1)) * site.nature.at_least(site.nature.range * log_uniform(site.rng, 0.5, 3))
    power = site.rng.choice((1, 2))
    return _add(site, begin, end, lambda part: size * part**power), f"power {power}", size


def beyond(site: Site, begin: int, end: int) -> tuple[Values, str, float]:
    """Far beyond all that is ever measured."""
    rng, nature = site.rng, site.nature
    if site.kind in {"meter", "water"}:
        size = rng.choice((-1, 10)) * nature.top * log_uniform(rng, 1, 30)
    elif site.kind == "street":
        size = rng.choice((log_uniform(rng, 5000, 50_000), -log_uniform(rng, 500, 50_000)))
    else:
        size = nature.middle + rng.choice((-1, 1)) * max(nature.range, nature.jump) * log_uniform(rng, 5, 50)
    return [size] * (end - begin), "high" if size > 0 else "low", size


def dropout(site: Site, begin: int, end: int) -> tuple[Values, str, float]:
    """Empty, or the sensor's word for "no value"; :func:`inject` takes out those that are to be absent."""
    shape = site.rng.choice(("empty", "absent", "word"))
    return [REMOVED if shape == "word" else None] * (end - begin), shape, float(end - begin)


def bypass(site: Site, begin: int, end: int) -> tuple[Values, str, float]:
    """Only a part is counted."""
    part = site.rng.choice((0.0, 0.05, 0.1, 0.2, 0.35, 0.5))
    digits = 0 if site.kind == "water" else 3
    new: Values = [None if one is None else float(round(one * part, digits)) for one in site.values[begin:end]]
    return ([] if not any(site.values[begin:end]) else new), f"{part:.0%} counted", part


TEN_DAYS = 10 * DAY_MS
PLANS: Mapping[str, Mapping[str, Plan]] = {
    "level": {
        "spike": Plan(spike, 50, samples=(1, 3), room_hours=12),
        "flat": Plan(flat, 16, hours=(6, 96), room_hours=24),
        "step": Plan(step, 14, hours=(24, 120), room_hours=48),
        "drift": Plan(drift, 10, hours=(72, 288), room_hours=72),
        "range": Plan(beyond, 25, samples=(1, 6)),
        "dropout": Plan(dropout, 25, samples=(1, 48)),
    },
    "street": {
        "spike": Plan(spike, 30, samples=(1, 1), room_hours=0.5),
        "flat": Plan(flat, 10, hours=(1, 12), room_hours=1),
        "step": Plan(step, 12, hours=(0.25, 6), room_hours=1),
        "range": Plan(beyond, 15, samples=(1, 6), room_hours=0.5),
        "dropout": Plan(dropout, 15, samples=(1, 48), room_hours=0.5),
    },
    "meter": {
        "spike": Plan(spike, 40, samples=(1, 1), room_hours=24),
        "flat": Plan(flat, 25, hours=(6, 48), room_hours=24),
        "range": Plan(beyond, 25, samples=(1, 6), room_hours=24),
        "dropout": Plan(dropout, 25, samples=(1, 48), room_hours=24),
        "bypass": Plan(bypass, 12, hours=(14 * 24, 28 * 24), room_hours=14 * 24, within_ms=TEN_DAYS),
    },
}
PLANS = {**PLANS, "water": PLANS["meter"]}


def inject(
    clean: Series,
    fault: str,
    seed: int,
    *,
    floods: Sequence[tuple[int, int]] = (),
    nature: Nature | None = None,
) -> Faulty:
    """Inject faults of one kind into what is scored of a clean series.

    Args:
        clean: the series.
        fault: one of PLANS.
        seed: the same seed gives the same faults.
        floods: where recorded floods are; every other fault of a street begins in one.
        nature: what sizes follow; that of the series, where nothing is said.

    """
    plan = PLANS[clean.kind][fault]
    rng = random.Random(f"{seed} {clean.name} {fault}")
    site = Site(clean.values, nature or nature_of(clean), clean.kind, rng)
    values, absent, episodes = list(clean.values), set[int](), list[Episode]()
    for begin, end in places(clean, plan, rng, floods):
        new, shape, size = plan.change(site, begin, end)
        if not new or clean.values[begin] is None:
            continue
        if fault != "dropout":  # what did not come stays so
            new = [None if was is None else one for one, was in zip(new, clean.values[begin:end], strict=True)]
        values[begin:end] = new
        if shape == "absent":
            absent.update(range(begin, end))
        grace = clean.times[min(end - 1 + GRACE, len(clean.times) - 1)] - clean.times[end - 1]
        episodes.append(Episode(fault, clean.times[begin], clean.times[end - 1], grace, shape, size, plan.within_ms))
    kept = [at for at in range(len(values)) if at not in absent]
    return Faulty(clean._replace(times=[clean.times[at] for at in kept], values=[values[at] for at in kept]), episodes)


def places(clean: Series, plan: Plan, rng: random.Random, floods: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Draw where faults begin and end: as many of the plan as there is room for."""
    interval, first, last = clean.interval_ms, clean.learn, len(clean.times) - GRACE
    room = max(4, round(plan.room_hours * HOUR_MS / interval))
    lengths = []
    for _ in range(plan.most):
        if plan.samples is not None:
            length = round(log_uniform(rng, plan.samples[0], plan.samples[1] + 0.49))
        else:
            low, high = plan.hours or (1.0, 1.0)
            length = max(6, round(log_uniform(rng, low, high) * HOUR_MS / interval))
        lengths.append(length)
    while lengths and sum(lengths) + room * (len(lengths) + 1) > last - first:
        lengths.pop()
    spare = last - first - sum(lengths) - room * (len(lengths) + 1)
    cuts = sorted(rng.randint(0, max(0, spare)) for _ in lengths)
    found: list[tuple[int, int]] = []
    used = first + room
    for number, (cut, length) in enumerate(zip(cuts, lengths, strict=True)):
        begin = used + cut
        if number % 2 and floods:
            begin = _into_a_flood(begin, floods, rng)
        earliest = found[-1][1] + room if found else begin
        if begin >= earliest and begin + length < last:
            found.append((begin, begin + length))
        used += length + room
    return found


def _into_a_flood(begin: int, floods: Sequence[tuple[int, int]], rng: random.Random) -> int:
    """Move a fault to within the next flood."""
    coming = next(((low, high) for low, high in floods if low > begin), None)
    return begin if coming is None else rng.randint(coming[0] + 1, coming[1])


def _is_wet(site: Site, begin: int) -> bool:
    value = site.values[begin]
    return value is not None and value > 10


def _add(site: Site, begin: int, end: int, by: Callable[[float], float]) -> Values:
    """Add to each value; ``by`` takes the part of the episode that is over, up to 1. Shown in the sensor's digits."""
    digits = max(0, round(-math.log10(site.nature.digit)) + 1)
    count = end - begin
    return [
        None if one is None else round(one + by((number + 1) / count), digits)
        for number, one in enumerate(site.values[begin:end])
    ]


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
