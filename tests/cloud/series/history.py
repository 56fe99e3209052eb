"""A month of twenty points every quarter of an hour, with all that a copy could lose."""

import random
from collections.abc import Iterator
from functools import cache

from edge.contract.household import PREFIX
from edge.contract.messages import Batch, ClockState, Flag, Reading, Test
from tests.cloud.series.suite import DAY, MINUTE

START = 1_790_812_800_000  # 2026-10-01, when a week of InfluxDB begins
DAYS = 30
DATES = [f"2026-10-{1 + day:02d}" for day in range(DAYS)]
SLOT = 15 * MINUTE
HOME = f"{PREFIX}k3v7q2mxpa4t"
KINDS = {"meter-1": "electricity_meter", "meter-2": "electricity_meter", HOME: "electricity_meter"}
GAUGES = ["voltage", "current", "power", "frequency", "power_factor"]


@cache
def history(start_ms: int = START) -> list[Batch]:
    """Return a batch a day."""
    chance = random.Random(4)
    return [_day(start_ms, day, chance) for day in range(DAYS)]


def _day(start_ms: int, day: int, chance: random.Random) -> Batch:
    readings = [
        reading for at in range(start_ms + day * DAY, start_ms + (day + 1) * DAY, SLOT) for reading in _slot(at, chance)
    ]
    # A device whose kind was corrected in the middle, and two that have none but this one.
    kinds = KINDS | {"pump-9": "water_level" if day < DAYS // 2 else "waterlogging_sensor"}
    return Batch.of(
        readings,
        gateway="gw-1",
        config_hash="c0ffee",
        clock=ClockState.SYNCHRONISED,
        kinds=kinds | {"road-3": "waterlogging_sensor"},
    )


def _slot(at: int, chance: random.Random) -> Iterator[Reading]:
    for device in ("meter-1", "meter-2"):
        for point in GAUGES:
            yield Reading(device, point, at, chance.uniform(-1e6, 1e6))
        yield Reading(device, "energy_import_total", at, 2**53 + 2 * (at // SLOT) + 1)
    yield Reading(HOME, "power", at, chance.random())
    yield Reading(HOME, "energy_import_total", at, chance.getrandbits(63) - 2**62)
    yield Reading("road-3", "temperature", at, chance.choice([-0.0, 0.0, 5e-324, 1.7976931348623157e308]))
    yield from _judged("road-3", "depth", at + 1, chance)
    if chance.random() < 0.3:  # by exception, at a time of its own
        yield from _judged("road-3", "battery", at + 7 * MINUTE, chance)
    yield Reading("pump-9", "level", at, chance.gauss(0, 1))
    yield from _judged("pump-9", "starts", at, chance, counter=True)


def _judged(device: str, point: str, at: int, chance: random.Random, *, counter: bool = False) -> Iterator[Reading]:
    flag = chance.choice([Flag.PASS, *Flag])
    value = None if flag == Flag.MISSING else chance.getrandbits(60) if counter else chance.uniform(-1, 1)
    tests = 0 if flag == Flag.PASS else chance.choice([Test.NO_ANSWER, Test.SPAN, Test.SENTINEL | Test.REFUSED])
    yield Reading(device, point, at, value, flag, tests)
