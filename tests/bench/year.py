"""A district with a year behind it, for benches of the pages: 200 gateways, 2,000 sensors, 5,000 orders, readings.

`build` fills the database through the registry, alerts and work orders themselves, and the embedded series store by
plain SQL, because 28 million readings by messages would take an hour.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from cloud.database import Database
from cloud.dead_letters import DeadLetter, keep
from cloud.gateway_states import take_inventory, take_status
from cloud.ledger import Entry, Name, record
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.person import Person, Role
from cloud.registry.registry_file import RegistryFile
from cloud.series.sqlite import SqliteStore
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from cloud.workorders.orders import Move, act, code_of, find_order
from cloud.workorders.states import State
from edge.contract.days import day_of
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
    Lane,
    LaneState,
    PointInventory,
    Reading,
    Severity,
    Status,
)

GATEWAYS, DEVICES_EACH, GRIDS, ORDERS = 200, 10, 20, 5000
MINUTE_SENSORS = 20
DAY_MS, HOUR_MS, MINUTE_MS = 86_400_000, 3_600_000, 60_000
YEAR_MS = 365 * DAY_MS
UNFINISHED = 60  # orders; the others were finished
EPOCH = "0123456789abcdef"
OPERATOR = Person(login="zhao", name="赵敏", roles=frozenset({Role.OPERATOR}))
LEDGER_EACH = 500  # newest rows of the ledger of each gateway

_FILL = """
WITH RECURSIVE times(at) AS (SELECT ?2 UNION ALL SELECT at + ?4 FROM times WHERE at + ?4 < ?3)
INSERT INTO readings (series, taken_at, value, flag, tests)
SELECT ?1, at, 100.0 + ((at / 60000) * 7919 + ?1 * 104729) % 1000 / 10.0, 1, 0 FROM times
"""


def gateway_name(number: int) -> str:
    """Return the id of the gateway of that number, from 0."""
    return f"gw-{number:03d}"


def grid_of(number: int) -> str:
    """Return the grid of that gateway."""
    return f"grid-{number % GRIDS:02d}"


def build(folder: Path, now_ms: int) -> Database:
    """Fill cloud.db and series.db in `folder` up to `now_ms`; return the database."""
    database = Database.at(folder / "cloud.db")
    database.write_now(migrate)
    registry = RegistryFile.model_validate_json(msgspec.json.encode(_registry()))
    database.write_now(lambda connection: load_registry(connection, registry))
    database.write_now(lambda connection: _hear_gateways(connection, now_ms))
    database.write_now(lambda connection: _work_orders(connection, now_ms))
    return database


async def fill_series(folder: Path, now_ms: int) -> int:
    """Write a year of readings; return how many there are."""
    path = folder / "series.db"
    store = SqliteStore(path)
    await store.write([_newest(number, now_ms) for number in range(GATEWAYS)])
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    for series, name in connection.execute("SELECT id, gateway || '/' || device FROM series ORDER BY id").fetchall():
        step_ms = MINUTE_MS if name in MINUTE_NAMES else HOUR_MS
        connection.execute(_FILL, (series, now_ms - YEAR_MS, now_ms - step_ms // 2, step_ms))
        connection.commit()
    (count,) = connection.execute("SELECT count(*) FROM readings").fetchone()
    connection.close()
    return int(count)


MINUTE_NAMES = frozenset(f"{gateway_name(number)}/road-0" for number in range(MINUTE_SENSORS))


def _newest(number: int, now_ms: int) -> Batch:
    readings = [Reading(f"road-{i}", "depth", now_ms, float(i), Flag.PASS) for i in range(DEVICES_EACH)]
    kinds = {f"road-{i}": "waterlogging_sensor" for i in range(DEVICES_EACH)}
    return Batch.of(
        readings, gateway=gateway_name(number), config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds
    )


def _registry() -> dict[str, Any]:
    grids = [{"code": f"grid-{i:02d}", "name": f"第 {i} 网格", "area": _square(i)} for i in range(GRIDS)]
    community = {"code": "community", "name": "和平社区", "grids": grids}
    return {
        "streets": [{"code": "street", "name": "城西街道", "communities": [community]}],
        "sites": list(_sites()),
        "gateways": [_gateway(number) for number in range(GATEWAYS)],
        "people": [
            *(
                {"login": f"worker-{i}", "name": f"王 {i}", "roles": ["worker"], "grids": [grid_of(i)]}
                for i in range(50)
            ),
            {"login": "zhao", "name": "赵敏", "roles": ["operator"]},
            {"login": "sun", "name": "孙伟", "roles": ["installer"]},
        ],
    }


def _square(number: int) -> list[list[float]]:
    west, south = 120.0 + number % 5 * 0.02, 30.0 + number // 5 * 0.02
    return [[west, south], [west + 0.02, south], [west + 0.02, south + 0.02], [west, south + 0.02]]


def _sites() -> Iterator[dict[str, Any]]:
    for number in range(GATEWAYS):
        for i in range(DEVICES_EACH):
            west, south = _square(number % GRIDS)[0]
            place = {"longitude": west + i * 0.0015, "latitude": south + number // GRIDS * 0.0015}
            name = f"site-{number:03d}-{i}"
            yield {"code": name, "name": f"和平路 {number}-{i}", "grid": grid_of(number), "address": name, **place}


def _gateway(number: int) -> dict[str, Any]:
    devices = [
        {"id": f"road-{i}", "name": f"积水 {number}-{i}", "site": f"site-{number:03d}-{i}"} for i in range(DEVICES_EACH)
    ]
    return {"id": gateway_name(number), "name": f"网关 {number}", "site": f"site-{number:03d}-0", "devices": devices}


def _hear_gateways(connection: Connection, now_ms: int) -> None:
    for number in range(GATEWAYS):
        name = gateway_name(number)
        lanes = {"live": LaneState(LEDGER_EACH + 1, LEDGER_EACH + 4)}
        status = Status(
            gateway=name,
            session="aa",
            online=number % 25 != 0,
            sent_at=now_ms - 1000 * number,
            clock=ClockState.SYNCHRONISED,
            config_hash="ab",
            epochs=[EpochState(EPOCH, lanes, Counts(taken=100 * LEDGER_EACH))],
        )
        take_status(connection, status, retained=False, now_ms=now_ms - 100 * number)
        points = [PointInventory("depth", "mm", 60.0, 60.0 if number < MINUTE_SENSORS else 3600.0)]
        devices = [
            DeviceInventory(f"road-{i}", "waterlogging_sensor", "moxa_e1242_depth", points) for i in range(DEVICES_EACH)
        ]
        take_inventory(connection, Inventory(gateway=name, config_hash="ab", devices=devices), now_ms=now_ms)
        entries = [
            Entry(Name(name, EPOCH, Lane.LIVE, seq), bytes(32), 100, "stored", "", now_ms, day_of(now_ms))
            for seq in range(1, LEDGER_EACH + 1)
        ]
        record(connection, entries)
    letters = [
        DeadLetter(topic=f"anlan/v1/gw-x{i}/batch", gateway=None, reason="hostile", payload=b"x") for i in range(50)
    ]
    keep(connection, letters, now_ms=now_ms)


def _work_orders(connection: Connection, now_ms: int) -> None:
    for number in range(1, ORDERS + 1):
        opened_at = now_ms - (ORDERS - number) * (YEAR_MS // ORDERS)
        gateway, device = gateway_name(number % GATEWAYS), f"road-{number % DEVICES_EACH}"
        event = _event(number, gateway, device, opened_at)
        record_event(connection, event, rule_of=rule_of, now_ms=opened_at)
        if number <= ORDERS - UNFINISHED:
            ended = msgspec.structs.replace(event, revision=2, state=EventState.ENDED, ended_at=opened_at + HOUR_MS)
            _finish(connection, number, opened_at, worker=f"worker-{number % GATEWAYS % GRIDS}")
            record_event(connection, ended, rule_of=rule_of, now_ms=opened_at + HOUR_MS)


def _event(number: int, gateway: str, device: str, began_at: int) -> Event:
    readings = [Reading(device, "depth", began_at + i * MINUTE_MS, 150.0 + i, Flag.PASS) for i in range(10)]
    return Event(
        gateway=gateway,
        id=f"{number:032x}",
        revision=1,
        state=EventState.CONFIRMED,
        class_code="WATERLOG.ROAD.2",
        device=device,
        point="depth",
        severity=Severity.ORANGE,
        began_at=began_at,
        updated_at=began_at + MINUTE_MS,
        value=182.5,
        unit="mm",
        threshold=150.0,
        rule="WATERLOG.ROAD.2:depth",
        rule_version=1,
        readings=readings,
    )


def _finish(connection: Connection, number: int, opened_at: int, *, worker: str) -> None:
    order = find_order(connection, code_of(number), OPERATOR)
    handler = Person(
        login=order.handler or worker, name="x", roles=frozenset({Role.WORKER}), grids=frozenset({order.grid})
    )
    steps = [(handler, State.ACKNOWLEDGED), (handler, State.ON_SITE), (handler, State.DONE)]
    steps += [(OPERATOR, State.VERIFIED), (OPERATOR, State.CLOSED)]
    for minutes, (person, target) in enumerate(steps, start=1):
        closing = "消除积水，恢复通行" if target is State.CLOSED else None
        move = Move(target=target, version=order.version, closing_standard=closing)
        order = act(connection, order, move, person=person, now_ms=opened_at + minutes * MINUTE_MS)
