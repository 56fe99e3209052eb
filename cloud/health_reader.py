"""Reads from the database what the health of gateways and devices is judged by."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, func, select, true, tuple_

from cloud.gateway_states import gateway_states
from cloud.health import RULES, DeviceFacts, GatewayFacts, Health, HealthRules, Key, judge
from cloud.registry.tables import devices, gateways
from cloud.series import LastHeard
from cloud.workorders.tables import events
from edge.contract.messages import Inventory

DEVICES_PER_QUERY = 500


def read_health(
    connection: Connection,
    heard: Sequence[LastHeard],
    *,
    now_ms: int,
    gateway: str | None = None,
    rules: HealthRules = RULES,
) -> Health:
    """Judge every registered gateway, or one alone, and what is behind it.

    `heard` is what the series store last heard of them.
    """
    facts = read_gateways(connection, gateway)
    registered = read_devices(connection, gateway)
    giving_readings = {(one.gateway, one.device) for one in heard}
    silent = sorted(_all_devices(facts, registered) - giving_readings)
    last_events = read_last_events(connection, silent)
    return judge(facts, registered, heard, last_events=last_events, now_ms=now_ms, rules=rules)


def read_gateways(connection: Connection, gateway: str | None = None) -> list[GatewayFacts]:
    """Return what is known of every active gateway, by id, or of one."""
    states = gateway_states.c
    wanted = (
        select(gateways.c.id, gateways.c.name, gateways.c.site)
        .add_columns(states.online, states.last_seen, states.fresh_until, states.inventory)
        .select_from(gateways.outerjoin(gateway_states, states.gateway == gateways.c.id))
        .where(gateways.c.active, true() if gateway is None else gateways.c.id == gateway)
        .order_by(gateways.c.id)
    )
    decoder = msgspec.json.Decoder(Inventory)
    return [
        GatewayFacts(
            gateway=row.id,
            name=row.name,
            site=row.site,
            online=row.online,
            last_seen=None if row.online is None else row.last_seen,
            fresh_until=row.fresh_until or 0,
            inventory=decoder.decode(row.inventory) if row.inventory else None,
        )
        for row in connection.execute(wanted)
    ]


def read_devices(connection: Connection, gateway: str | None = None) -> dict[Key, DeviceFacts]:
    """Return every active device of every active gateway, or of one."""
    wanted = (
        select(devices.c.gateway, devices.c.id, devices.c.name, func.coalesce(devices.c.site, gateways.c.site))
        .join(gateways, gateways.c.id == devices.c.gateway)
        .where(devices.c.active, gateways.c.active, true() if gateway is None else gateways.c.id == gateway)
    )
    return {(of, device): DeviceFacts(name=name, site=site) for of, device, name, site in connection.execute(wanted)}


def read_last_events(connection: Connection, keys: Sequence[Key]) -> dict[Key, int]:
    """Return when the last event of each of these devices was, of those that ever had one."""
    found: dict[Key, int] = {}
    for start in range(0, len(keys), DEVICES_PER_QUERY):
        some = keys[start : start + DEVICES_PER_QUERY]
        wanted = (
            select(events.c.gateway, events.c.device, func.max(events.c.updated_at))
            .where(tuple_(events.c.gateway, events.c.device).in_(some))
            .group_by(events.c.gateway, events.c.device)
        )
        found.update({(gateway, device): at for gateway, device, at in connection.execute(wanted)})
    return found


def _all_devices(facts: Iterable[GatewayFacts], registered: Iterable[Key]) -> set[Key]:
    listed = {
        (one.gateway, device.device) for one in facts if one.inventory is not None for device in one.inventory.devices
    }
    return listed | set(registered)
