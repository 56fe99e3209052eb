"""What the map shows to one person: places with what is there and how it is, and the lines between them.

A worker sees the places of their grids with their orders; an installer sees every place and gateway, but no order.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Select, select

from cloud.health import Condition, DeviceHealth, GatewayHealth, Health, Reason
from cloud.health_reader import read_health
from cloud.registry.person import Person, Role
from cloud.registry.tables import grids, sites
from cloud.series import LastHeard
from cloud.workorders.orders import SEVERITIES, code_of, visible_to
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import orders
from edge.contract.messages import Severity

BADNESS = {Condition.OK: 0, Condition.NEVER: 1, Condition.STALE: 2, Condition.OFFLINE: 3}
MOST_ORDERS = 2000


class OpenOrder(Struct, frozen=True, kw_only=True):
    """An order that waits at a place."""

    code: str
    class_code: str
    severity: Severity
    state: str
    device_name: str


class Place(Struct, frozen=True, kw_only=True):
    """A site with what is there; without a position it is only in the list.

    `condition` is that of the worst that is there, None where nothing is; `severity` the gravest of its orders.
    """

    code: str
    name: str
    address: str
    grid: str
    grid_name: str
    latitude: float | None
    longitude: float | None
    gateways: list[GatewayHealth]
    devices: list[DeviceHealth]
    orders: list[OpenOrder]
    condition: Condition | None
    severity: Severity | None

    @property
    def is_behind(self) -> bool:
        """Whether nothing is wrong here but that the gateway, which is elsewhere, is offline."""
        channels: list[GatewayHealth | DeviceHealth] = [*self.gateways, *self.devices]
        bad = [one for one in channels if one.condition is Condition.OFFLINE]
        return bool(bad) and all(one.reason is Reason.GATEWAY for one in bad)

    @property
    def urgency(self) -> int:
        """What draws the eye first: orders by severity, then what is out of order, then the rest."""
        if self.severity is not None:
            return 10 + SEVERITIES.index(self.severity)
        return BADNESS[self.condition] if self.condition and not self.is_behind else 0


class Wire(Struct, frozen=True):
    """From a gateway to a device of its that is elsewhere; positions as latitude, longitude."""

    start: tuple[float, float]
    end: tuple[float, float]
    condition: Condition


class Neighbourhood(Struct, frozen=True):
    """Everything on the map, the most urgent place first."""

    places: list[Place]
    wires: list[Wire]


def read_neighbourhood(
    connection: Connection, heard: Sequence[LastHeard], person: Person, *, now_ms: int
) -> Neighbourhood:
    """Return what this person may see; `heard` is what the series store last heard of each series."""
    health = read_health(connection, heard, now_ms=now_ms)
    waiting: dict[str, list[OpenOrder]] = {}
    for row in connection.execute(_open_orders(person)):
        waiting.setdefault(row.site, []).append(_order(row))
    rows = connection.execute(_sites_for(person)).mappings().all()
    places = _Placed(health, sees_gateways=sees_gateways(person)).places(rows, waiting)
    places.sort(key=lambda place: (-place.urgency, place.grid, place.name))
    return Neighbourhood(places, list(_wires(health, places)) if sees_gateways(person) else [])


def sees_gateways(person: Person) -> bool:
    """Whether gateways are this person's business, and with them all places."""
    return person.is_operator or Role.INSTALLER in person.roles


def _sites_for(person: Person) -> Select[Any]:
    columns = (sites.c[name] for name in ("code", "name", "address", "latitude", "longitude", "grid"))
    wanted = select(*columns, grids.c.name.label("grid_name")).join(grids).where(sites.c.active)
    return wanted if sees_gateways(person) else wanted.where(sites.c.grid.in_(person.grids))


def _open_orders(person: Person) -> Select[Any]:
    wanted = select(orders).where(orders.c.state.not_in(FINISHED), visible_to(person))
    return wanted.order_by(orders.c.id.desc()).limit(MOST_ORDERS)


def _order(row: Any) -> OpenOrder:
    return OpenOrder(
        code=code_of(row.id),
        class_code=row.class_code,
        severity=Severity(row.severity),
        state=row.state,
        device_name=row.device_name,
    )


class _Placed:
    """Gateways and devices by the site where they are."""

    def __init__(self, health: Health, *, sees_gateways: bool) -> None:
        self._gateways: dict[str, list[GatewayHealth]] = {}
        self._devices: dict[str, list[DeviceHealth]] = {}
        for gateway in health.gateways:
            if sees_gateways:
                self._gateways.setdefault(gateway.site, []).append(gateway)
            for device in gateway.devices:
                if device.name is not None and not device.is_own:
                    self._devices.setdefault(device.site or gateway.site, []).append(device)

    def places(self, rows: Sequence[Any], waiting: dict[str, list[OpenOrder]]) -> list[Place]:
        return [self._place(row, waiting.get(row["code"], [])) for row in rows]

    def _place(self, row: Any, orders_here: list[OpenOrder]) -> Place:
        gateways, devices = self._gateways.get(row["code"], []), self._devices.get(row["code"], [])
        conditions = [one.condition for one in gateways] + [one.condition for one in devices]
        return Place(
            **row,
            gateways=gateways,
            devices=devices,
            orders=orders_here,
            condition=max(conditions, key=BADNESS.__getitem__, default=None),
            severity=max((order.severity for order in orders_here), key=SEVERITIES.index, default=None),
        )


def _wires(health: Health, places: Sequence[Place]) -> Sequence[Wire]:
    at = {
        place.code: (place.latitude, place.longitude)
        for place in places
        if place.latitude is not None and place.longitude is not None
    }
    return [
        Wire(at[gateway.site], at[device.site], device.condition)
        for gateway in health.gateways
        for device in gateway.devices
        if device.site is not None and device.site != gateway.site and gateway.site in at and device.site in at
    ]
