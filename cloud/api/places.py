"""Who I am, and what is registered where: sites, gateways with their accounts, devices."""

from typing import Any

import msgspec
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field
from sqlalchemy import Connection, func, select

from cloud.api.errors import ERRORS, errors
from cloud.api.services import Anyone, Equipping, ServicesHere
from cloud.gateway_states import find_state, gateway_states, online_now
from cloud.registry.person import Person, Role
from cloud.registry.tables import communities, devices, gateways, grids, sites, streets
from cloud.statements.accounts import account
from cloud.statements.statement import read_statement
from edge.contract.days import bounds_of, day_of

router = APIRouter(responses=ERRORS, tags=["places"])


class Me(BaseModel):
    """Who the token belongs to."""

    login: str = Field(examples=["wang"])
    name: str = Field(examples=["王芳"])
    roles: list[Role]
    grids: list[str] = Field(examples=[["heping-01"]])


class Site(BaseModel):
    """A place that a worker can be sent to, with the areas it lies in."""

    code: str = Field(examples=["tunnel"])
    name: str = Field(examples=["和平路下穿通道"])
    address: str
    latitude: float | None
    longitude: float | None
    grid: str
    grid_name: str
    community: str
    community_name: str
    street: str
    street_name: str


class Gateway(BaseModel):
    """A gateway as registered and as last heard; `online` is null when nothing is known of it.

    That is: it was never heard, or was online and has said nothing for three times the interval of its statuses.
    """

    id: str = Field(examples=["gw-1"])
    name: str | None = Field(description="null: it was heard, but nobody has registered it")
    site: str | None
    registered: bool
    online: bool | None
    first_seen: int | None = Field(description="ms UTC")
    last_seen: int | None = Field(description="ms UTC")


class GatewayDetail(Gateway):
    """A gateway with its last status and inventory and where its readings are."""

    status: dict[str, Any] | None
    inventory: dict[str, Any] | None
    accounts: list[dict[str, Any]] = Field(
        description="per epoch: taken = unchanged + stored + refused + pending + given_up + missing"
    )


class Device(BaseModel):
    """A registered device and the site where it is."""

    gateway: str
    id: str = Field(examples=["road-1"])
    name: str = Field(examples=["路面积水传感器"])
    site: str
    grid: str


@router.get("/me", summary="Who am I")
async def me(person: Anyone) -> Me:
    """Return the person, their roles and grids."""
    return Me(login=person.login, name=person.name, roles=sorted(person.roles), grids=sorted(person.grids))


@router.get("/sites", summary="Sites")
async def list_sites(services: ServicesHere, person: Anyone) -> list[Site]:
    """Return the active sites; a worker's are those of their grids."""
    return await services.database.read(lambda connection: _sites(connection, person))


@router.get("/gateways", summary="Gateways, registered or only heard", responses=errors(403))
async def list_gateways(services: ServicesHere, _person: Equipping) -> list[Gateway]:
    """Return every registered gateway, then those that were heard and wait to be registered."""
    now_ms = services.clock.now_ms()
    return await services.database.read(lambda connection: _gateways(connection, now_ms))


@router.get(
    "/gateways/{gateway}", summary="One gateway with status, inventory and accounts", responses=errors(403, 404)
)
async def show_gateway(gateway: str, services: ServicesHere, _person: Equipping) -> GatewayDetail:
    """Return what the gateway says of itself, settled against the ledger."""
    now_ms = services.clock.now_ms()
    found = await services.database.read(lambda connection: _gateway_detail(connection, gateway, now_ms))
    if found is None:
        raise HTTPException(404, f"gateway {gateway[:64]}: neither registered nor ever heard")
    return found


@router.get("/statements/{gateway}/{day}", summary="Where the readings of a day are", responses=errors(403, 404, 422))
async def show_statement(gateway: str, day: str, services: ServicesHere, _person: Equipping) -> dict[str, Any]:
    """Return the statement of a gateway and day (UTC+8), such as 2026-11-26."""
    try:
        bounds_of(day)
    except (ValueError, OverflowError):
        raise HTTPException(404, f"{day[:20]}: not a day such as 2026-11-26") from None
    now_ms = services.clock.now_ms()
    if day > day_of(now_ms):
        raise HTTPException(422, f"{day} has not begun (UTC+8)")
    found = await services.database.read(lambda connection: read_statement(connection, gateway, day, now_ms=now_ms))
    if found is None:
        raise HTTPException(404, f"gateway {gateway[:64]}: neither registered nor ever heard")
    statement: dict[str, Any] = msgspec.to_builtins(found)
    return statement


@router.get("/devices", summary="Devices")
async def list_devices(services: ServicesHere, person: Anyone, gateway: str | None = None) -> list[Device]:
    """Return the registered devices, of one gateway or of all; a worker's are those of their grids."""
    return await services.database.read(lambda connection: _devices(connection, person, gateway))


def _only_grids(person: Person) -> bool:
    return not (person.is_operator or Role.INSTALLER in person.roles)


def _sites(connection: Connection, person: Person) -> list[Site]:
    wanted = (
        select(
            *(sites.c[name] for name in ("code", "name", "address", "latitude", "longitude", "grid")),
            grids.c.name.label("grid_name"),
            communities.c.code.label("community"),
            communities.c.name.label("community_name"),
            streets.c.code.label("street"),
            streets.c.name.label("street_name"),
        )
        .select_from(sites.join(grids).join(communities).join(streets))
        .where(sites.c.active)
        .order_by(sites.c.code)
    )
    if _only_grids(person):
        wanted = wanted.where(sites.c.grid.in_(person.grids))
    return [Site(**row) for row in connection.execute(wanted).mappings()]


def _gateways(connection: Connection, now_ms: int) -> list[Gateway]:
    columns = (gateway_states.c[name] for name in ("gateway", "online", "first_seen", "last_seen", "fresh_until"))
    heard = {row.gateway: row for row in connection.execute(select(*columns).order_by(gateway_states.c.gateway))}
    found = []
    for row in connection.execute(select(gateways).where(gateways.c.active).order_by(gateways.c.id)):
        state = heard.pop(row.id, None)
        found.append(_gateway(row.id, state, now_ms, name=row.name, site=row.site))
    return found + [_gateway(name, state, now_ms, name=None, site=None) for name, state in heard.items()]


def _gateway(gateway: str, state: Any, now_ms: int, *, name: str | None, site: str | None) -> Gateway:
    return Gateway(
        id=gateway,
        name=name,
        site=site,
        registered=name is not None,
        online=online_now(state.online, state.fresh_until, now_ms=now_ms) if state else None,
        first_seen=state.first_seen if state else None,
        last_seen=state.last_seen if state else None,
    )


def _gateway_detail(connection: Connection, gateway: str, now_ms: int) -> GatewayDetail | None:
    registered = connection.execute(select(gateways).where(gateways.c.id == gateway, gateways.c.active)).one_or_none()
    state = find_state(connection, gateway)
    if registered is None and state is None:
        return None
    name, site = (registered.name, registered.site) if registered else (None, None)
    status, inventory = (state.status, state.inventory) if state else (None, None)
    return GatewayDetail(
        **_gateway(gateway, state, now_ms, name=name, site=site).model_dump(),
        status=msgspec.to_builtins(status),
        inventory=msgspec.to_builtins(inventory),
        accounts=msgspec.to_builtins(account(connection, status)) if status else [],
    )


def _devices(connection: Connection, person: Person, gateway: str | None) -> list[Device]:
    site = func.coalesce(devices.c.site, gateways.c.site)
    wanted = (
        select(devices.c.gateway, devices.c.id, devices.c.name, sites.c.code.label("site"), sites.c.grid)
        .select_from(devices.join(gateways, gateways.c.id == devices.c.gateway).join(sites, sites.c.code == site))
        .where(devices.c.active, gateways.c.active)
        .order_by(devices.c.gateway, devices.c.id)
    )
    if gateway is not None:
        wanted = wanted.where(devices.c.gateway == gateway)
    if _only_grids(person):
        wanted = wanted.where(sites.c.grid.in_(person.grids))
    return [Device(**row) for row in connection.execute(wanted).mappings()]
