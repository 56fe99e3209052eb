"""A day in which everything happens to a sensor: a flood, a suspect and failed values, silence that is told and not.

`live_through` fills the stores of a neighbourhood with it, up to a given moment:

- gw-1 was first heard 20 hours ago, and is online.
- road-1, depth: a reading a minute, with the flood 3 hours ago, one suspect and two failed ones (32767 mm) an hour ago,
  half an hour said to be missing 6 hours ago, and an hour of which nothing came 10 hours ago.
- river-1, water_level: a reading a minute until 25 minutes ago; from then on the device does not answer.
- meter-1, which nobody registered: an energy counter and a voltage, every ten minutes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from cloud.database import Database
from cloud.gateway_states import take_inventory, take_status
from cloud.series import SeriesStore
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from edge.contract.messages import (
    Batch,
    ClockState,
    Counts,
    DeviceInventory,
    EpochState,
    Event,
    EventState,
    Flag,
    Inventory,
    LaneState,
    PointInventory,
    Reading,
    Severity,
    Status,
    Test,
)

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
FIRST_HEARD_H = 20
SILENT_MIN = 25
FAILED_MM = 32767.0
KINDS = {"road-1": "waterlogging_sensor", "river-1": "level_transmitter", "meter-1": "electricity_meter"}


async def live_through(database: Database, series: SeriesStore, now_ms: int, *, online: bool = True) -> None:
    """Fill the stores up to `now_ms`."""
    for readings in (list(road(now_ms)), list(river(now_ms)), list(meter(now_ms))):
        await series.write(list(_batches(readings)))
    database.write_now(lambda connection: _gateway(connection, now_ms, online=online))
    event = _flood(now_ms - 3 * HOUR_MS)
    database.write_now(lambda connection: record_event(connection, event, rule_of=rule_of, now_ms=event.updated_at))


def road(now_ms: int) -> Iterator[Reading]:
    """Give the readings of road-1."""
    for minute in range(FIRST_HEARD_H * 60, -1, -1):
        at = now_ms - minute * MINUTE_MS
        if 9 * 60 < minute <= 10 * 60:
            continue
        if 330 < minute <= 360:
            yield Reading("road-1", "depth", at, None, Flag.MISSING, Test.NO_ANSWER)
        elif minute in {60, 61}:
            yield Reading("road-1", "depth", at, FAILED_MM, Flag.FAIL, Test.SPAN)
        elif minute == 62:
            yield Reading("road-1", "depth", at, 60.5, Flag.SUSPECT, 0)
        else:
            flood = 180 * math.exp(-(((minute - 180) / 20) ** 2))
            yield Reading("road-1", "depth", at, round(flood + minute % 3, 1), Flag.PASS)


def river(now_ms: int) -> Iterator[Reading]:
    """Give the readings of river-1."""
    for minute in range(FIRST_HEARD_H * 60, -1, -1):
        at = now_ms - minute * MINUTE_MS
        if minute <= SILENT_MIN:
            yield Reading("river-1", "water_level", at, None, Flag.MISSING, Test.NO_ANSWER)
        else:
            yield Reading("river-1", "water_level", at, 2300 + 40 * math.sin(minute / 90), Flag.PASS)


def meter(now_ms: int) -> Iterator[Reading]:
    """Give the readings of meter-1."""
    for step in range(FIRST_HEARD_H * 6, -1, -1):
        at = now_ms - step * 10 * MINUTE_MS
        yield Reading("meter-1", "energy_import_total", at, 8_000_000 - 137 * step)
        yield Reading("meter-1", "voltage_l1", at, 228.5 + step % 5)


def _batches(readings: Sequence[Reading]) -> Iterator[Batch]:
    for first in range(0, len(readings), 1000):
        some = readings[first : first + 1000]
        yield Batch.of(some, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=KINDS)


def _gateway(connection: Connection, now_ms: int, *, online: bool) -> None:
    epoch = EpochState("0123456789abcdef", {"live": LaneState(1, 2)}, Counts(taken=7))
    for at, state in ((now_ms - FIRST_HEARD_H * HOUR_MS, True), (now_ms, online)):
        status = Status(
            gateway="gw-1",
            session="aa",
            online=state,
            sent_at=at,
            clock=ClockState.SYNCHRONISED,
            config_hash="ab",
            epochs=[epoch],
        )
        take_status(connection, status, retained=False, now_ms=at)
    take_inventory(connection, Inventory(gateway="gw-1", config_hash="ab", devices=_listed()), now_ms=now_ms)


def _listed() -> list[DeviceInventory]:
    minutely = {"interval_s": 10.0, "heartbeat_s": 60.0}
    slow = {"interval_s": 60.0, "heartbeat_s": 600.0}
    energy, voltage = PointInventory("energy_import_total", "Wh", **slow), PointInventory("voltage_l1", "V", **slow)
    level = PointInventory("water_level", "mm", **minutely)
    return [
        DeviceInventory("meter-1", "electricity_meter", "eastron_sdm630", [energy, voltage]),
        DeviceInventory("river-1", "level_transmitter", "generic_qdy30a", [level]),
        DeviceInventory(
            "road-1", "waterlogging_sensor", "moxa_e1242_depth", [PointInventory("depth", "mm", **minutely)]
        ),
    ]


def _flood(began_at: int) -> Event:
    return Event(
        gateway="gw-1",
        id="f" * 32,
        revision=1,
        state=EventState.CONFIRMED,
        class_code="WATERLOG.ROAD.2",
        device="road-1",
        point="depth",
        severity=Severity.ORANGE,
        began_at=began_at,
        updated_at=began_at + MINUTE_MS,
        value=182.5,
        unit="mm",
        threshold=150.0,
        rule="WATERLOG.ROAD.2:depth",
        rule_version=1,
        readings=[Reading("road-1", "depth", began_at, 182.5, Flag.PASS)],
    )
