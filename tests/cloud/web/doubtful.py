"""A day of a river sensor and a street sensor that cannot always be trusted, and what their gateway has learned.

river-1, water_level, a reading a minute: three spikes, a stretch of 150 minutes that is stuck, two values beyond the
span, ten minutes without an answer. road-1, depth: a parked car, and blips. Two minutes ago the river got stuck again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from cloud.database import Database
from cloud.gateway_states import take_inventory
from cloud.quality.limits import take_limits
from cloud.series import SeriesStore
from edge.contract.messages import (
    Batch,
    ClockState,
    DeviceInventory,
    DeviceLimits,
    Flag,
    Inventory,
    LearnedLimit,
    PointInventory,
    PointLimits,
    Reading,
    Test,
)

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
KINDS = {"road-1": "waterlogging_sensor", "river-1": "level_transmitter"}
SPIKES = (200, 420, 421, 900)
STUCK = range(500, 650)  # minutes ago
FAILED = (300, 301)
SILENT = range(700, 710)


async def live_doubtfully(database: Database, series: SeriesStore, now_ms: int) -> None:
    """Fill the stores up to `now_ms`."""
    readings = [*river(now_ms), *road(now_ms)]
    for first in range(0, len(readings), 1000):
        part = readings[first : first + 1000]
        batch = Batch.of(part, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=KINDS)
        await series.write([batch])
    database.write_now(lambda connection: _gateway(connection, now_ms))


def river(now_ms: int) -> Iterator[Reading]:
    """Give the readings of river-1."""
    for ago in range(24 * 60, -1, -1):
        at, level = now_ms - ago * MINUTE_MS, round(2300 + 40 * math.sin(ago / 90) + ago % 3, 1)
        if ago in SPIKES:
            yield Reading("river-1", "water_level", at, level + 310, Flag.SUSPECT, Test.SPIKE | Test.RATE)
        elif ago in STUCK or ago < 3:
            yield Reading("river-1", "water_level", at, 2317.0, Flag.SUSPECT, Test.FLAT)
        elif ago in FAILED:
            yield Reading("river-1", "water_level", at, 32767.0, Flag.FAIL, Test.SPAN)
        elif ago in SILENT:
            yield Reading("river-1", "water_level", at, None, Flag.MISSING, Test.NO_ANSWER)
        else:
            yield Reading("river-1", "water_level", at, level)


def road(now_ms: int) -> Iterator[Reading]:
    """Give the readings of road-1."""
    for ago in range(24 * 60, -1, -1):
        at = now_ms - ago * MINUTE_MS
        if 95 < ago <= 180:
            yield Reading("road-1", "depth", at, 142.0, Flag.SUSPECT, Test.BOX)
        elif ago % 170 == 20:
            yield Reading("road-1", "depth", at, 60.0 + ago % 7, Flag.SUSPECT, Test.BLIP)
        else:
            yield Reading("road-1", "depth", at, float(ago % 2))


def limits_of_river(now_ms: int) -> list[LearnedLimit]:
    """Return what the gateway knows of river-1."""
    learned: dict[str, Any] = {"since": now_ms - 9 * DAY_MS, "until": now_ms - HOUR_MS, "samples": 12_960}
    return [
        LearnedLimit(test=Test.SPAN, low=0, high=10_000, source="profile"),
        LearnedLimit(test=Test.RATE, high=46.5, unit="mm/min", **learned, note="twice the fastest rise of nine days"),
        LearnedLimit(test=Test.SPIKE, high=14, **learned),
        LearnedLimit(test=Test.FLAT, high=6 * 3600, unit="s", source="site", note="set in gateway.yaml"),
        LearnedLimit(test=Test.DRIFT, low=-35, high=35),
    ]


def _gateway(connection: Connection, now_ms: int) -> None:
    level, depth = PointInventory("water_level", "mm", 60, 60), PointInventory("depth", "mm", 60, 60)
    devices = [
        DeviceInventory("river-1", "level_transmitter", "generic_qdy30a", [level]),
        DeviceInventory("road-1", "waterlogging_sensor", "moxa_e1242_depth", [depth]),
    ]
    take_inventory(connection, Inventory(gateway="gw-1", config_hash="ab", devices=devices), now_ms=now_ms)
    points = [PointLimits("water_level", limits_of_river(now_ms))]
    take_limits(connection, DeviceLimits(gateway="gw-1", device="river-1", points=points), now_ms=now_ms - HOUR_MS)
