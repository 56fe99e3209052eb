"""What people add on a page beside the registry file: sites, and gateways with their devices.

Held to the rules of the file. What is added here is a person's: loading a file leaves it alone, unless the file names
it too. Each function works in the caller's transaction. Errors: `FormError`; nothing has been written then.

    Form of a site:     name, address, latitude, longitude, grid (when empty: the one whose area holds the position)
    Form of a gateway:  gateway (its id), name, site, devices.0.id, .name, .site (when empty: where the gateway is), and
                        the same of cameras: fields of `cloud.registry.gateway_yaml`, whose other fields are ignored
"""

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import count
from typing import Self

from pydantic import Field, model_validator
from sqlalchemy import Connection, and_, select, update

from cloud.database import insert_new
from cloud.dead_letters import forget_waiting
from cloud.registry.areas import Outline, grid_at
from cloud.registry.forms import Fault, Form, FormError, fill
from cloud.registry.load import PERSON
from cloud.registry.registry_file import DeviceEntry, Name, SiteEntry
from cloud.registry.tables import devices, gateways, grids, sites
from edge.contract.config_file import ConfigModel, Key, Misfit, dotted, nearest
from edge.contract.forms import Id

OWN_HEALTH = {"id": "gateway", "name": "网关本机"}
"""The device that every gateway has; a form need not name it."""

_OF_SITE = ("name", "address", "latitude", "longitude", "grid")
_OF_GATEWAY = re.compile(r"gateway|name|site|((devices|cameras)\.[0-9]+\.(id|name|site))")
_GRID, _SITE = ("网格", "grid"), ("位置", "site")
_NO_GRID = Fault(
    "grid", "请选择网格，或选一个位于网格内的位置", "choose a grid, or a position that lies in the area of one"
)
_CODE_STEM = 58  # of the 64 characters of a code; the rest is for the number


class _GatewayForm(ConfigModel):
    """A gateway as typed, with the types of the registry file."""

    gateway: Id
    name: Name
    site: Id
    devices: tuple[DeviceEntry, ...] = Field(default=(), max_length=500)
    cameras: tuple[DeviceEntry, ...] = Field(default=(), max_length=500)

    @model_validator(mode="after")
    def _each_id_once(self) -> Self:
        seen: set[str] = set()
        problems = []
        for key, device in self.entries():
            if device.id in seen:
                problems.append(((*key, "id"), f"device {device.id} is there twice"))
            seen.add(device.id)
        if problems:
            raise Misfit(problems)
        return self

    def entries(self) -> Iterator[tuple[Key, DeviceEntry]]:
        """Every device and camera with its key."""
        for name, rows in (("devices", self.devices), ("cameras", self.cameras)):
            yield from (((name, index), row) for index, row in enumerate(rows))


def grid_areas(connection: Connection) -> dict[str, Outline]:
    """Return the outlines of the active grids that have one, by code."""
    drawn = select(grids.c.code, grids.c.area).where(grids.c.active).order_by(grids.c.code)
    return {row.code: row.area for row in connection.execute(drawn) if row.area}


def add_site(connection: Connection, form: Form) -> str:
    """Add a site and return its code: its grid's with the next free number. Raises FormError."""
    site = _checked_site(connection, form)
    row = {**site.model_dump(), "active": True, "origin": PERSON}
    while True:
        code = _free(site.grid[:_CODE_STEM], connection.scalars(select(sites.c.code)))
        if insert_new(connection, sites, [{**row, "code": code}]):  # else somebody else has just taken it
            return code


def free_gateway_id(connection: Connection) -> str:
    """Return an id that no gateway ever had, to propose for a new one."""
    return _free("gw", connection.scalars(select(gateways.c.id)))


def add_gateway(connection: Connection, form: Form) -> None:
    """Add a gateway that was never registered, with its devices. Raises FormError."""
    gateway, faults = _checked_gateway(connection, form)
    faults += _registered_already(connection, gateway.gateway)
    if faults:
        raise FormError(faults)
    row = {"id": gateway.gateway, "name": gateway.name, "site": gateway.site, "active": True, "origin": PERSON}
    if insert_new(connection, gateways, [row]) == 0:  # somebody else has just done it, or a second click
        raise FormError(_registered_already(connection, gateway.gateway))
    _set_devices(connection, gateway)
    forget_waiting(connection, [gateway.gateway])


def change_gateway(connection: Connection, form: Form) -> None:
    """Bring a gateway that a person added to what the form says: devices that it lacks become inactive.

    Raises FormError, also for a gateway of the registry file, which is changed there.
    """
    gateway, faults = _checked_gateway(connection, form)
    ours = and_(gateways.c.id == gateway.gateway, gateways.c.active, gateways.c.origin == PERSON)
    values = {"name": gateway.name, "site": gateway.site}
    if not faults and connection.execute(update(gateways).where(ours).values(values)).rowcount == 0:
        zh = f"{gateway.gateway} 不是在页面上添加的：请修改登记文件"
        faults.append(Fault("gateway", zh, f"{gateway.gateway} was not added on a page: change the registry file"))
    if faults:
        raise FormError(faults)
    _set_devices(connection, gateway)


def _checked_site(connection: Connection, form: Form) -> SiteEntry:
    filled = fill({field: form.get(field, "") for field in _OF_SITE}, numbers={"latitude", "longitude"})
    values = filled.values
    values["code"] = "new"  # until the grid is known
    match values:
        case {"grid": _}:
            pass
        case {"longitude": int() | float() as longitude, "latitude": int() | float() as latitude}:
            values["grid"] = grid_at(grid_areas(connection), longitude, latitude)
    try:
        site = filled.check(SiteEntry)
    except FormError as error:
        raise FormError(_NO_GRID if fault.field == "grid" else fault for fault in error.faults) from None
    known = connection.scalars(select(grids.c.code).where(grids.c.active)).all()
    if site.grid not in known:
        raise FormError([_unknown("grid", _GRID, site.grid, known)])
    return site


def _checked_gateway(connection: Connection, form: Form) -> tuple[_GatewayForm, list[Fault]]:
    """The gateway, and what only the database can find wrong."""
    filled = fill({field: text for field, text in form.items() if _OF_GATEWAY.fullmatch(field)})
    gateway = filled.check(_GatewayForm)
    named = {("site",): gateway.site, **{(*key, "site"): row.site for key, row in gateway.entries() if row.site}}
    known = set(connection.scalars(select(sites.c.code).where(sites.c.active)))
    faults = [
        _unknown(filled.field_of(dotted(key)), _SITE, site, known) for key, site in named.items() if site not in known
    ]
    return gateway, faults


def _set_devices(connection: Connection, gateway: _GatewayForm) -> None:
    wanted = {device.id: device.model_dump() for _, device in gateway.entries()}
    wanted.setdefault(OWN_HEALTH["id"], {**OWN_HEALTH, "site": None})
    of_gateway = devices.c.gateway == gateway.gateway
    connection.execute(update(devices).where(of_gateway, devices.c.id.not_in(wanted)).values(active=False))
    for name, device in wanted.items():
        row = {**device, "gateway": gateway.gateway, "active": True, "origin": PERSON}
        if insert_new(connection, devices, [row]) == 0:
            connection.execute(update(devices).where(of_gateway, devices.c.id == name).values(row))


def _free(stem: str, names: Iterable[str]) -> str:
    taken = set(names)
    return next(name for number in count(1) if (name := f"{stem}-{number}") not in taken)


def _unknown(field: str, what: tuple[str, str], code: str, known: Collection[str]) -> Fault:
    zh, en = what
    return Fault(field, f"没有{zh} {code}", f"unknown {en} {code}{nearest(code, known)}")


def _registered_already(connection: Connection, gateway: str) -> list[Fault]:
    active = connection.scalar(select(gateways.c.active).where(gateways.c.id == gateway))
    if active is None:
        return []
    if active:
        return [Fault("gateway", f"网关 {gateway} 已经登记", f"there is already a gateway {gateway}")]
    zh = f"网关 {gateway} 以前登记过，历史数据仍保留：请换一个编号，或写回登记文件"
    en = f"gateway {gateway} was registered before and its history is kept: choose another id, or name it in the file"
    return [Fault("gateway", zh, en)]
