"""The map: its ground, the grids, and what is where; and the same as a list for those without JavaScript."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from msgspec import Struct
from sqlalchemy import Connection, select

from cloud.health import Condition, DeviceHealth, GatewayHealth, Reason
from cloud.map_file import NOTHING, load_ground
from cloud.registry.person import Person
from cloud.registry.tables import grids, sites
from cloud.web.conditions import brief
from cloud.web.map_data import Neighbourhood, Place, Wire, read_neighbourhood, sees_gateways
from cloud.web.page import InstallerPage, Page, SignedInPage
from cloud.web.words import N_

router = APIRouter()

FRESH = {"Cache-Control": "private, no-cache"}  # asked each time; what has not changed is answered with 304
MOST_LINES = 12  # of one place
MOST_LISTED = 200  # places, the most urgent first
TONES: Mapping[Condition, str] = {
    Condition.OK: "good",
    Condition.STALE: "warn",
    Condition.OFFLINE: "bad",
    Condition.NEVER: "none",
}
NAMES: Mapping[Condition, str] = {
    Condition.OK: N_("OK"),
    Condition.STALE: N_("stale"),
    Condition.OFFLINE: N_("offline"),
    Condition.NEVER: N_("never online"),
}


class Line(Struct, frozen=True, kw_only=True):
    """One thing to say of a place; `symbol` is an icon, `tone` a colour, `href` where more is said."""

    text: str
    symbol: str
    tone: str
    href: str | None = None


class Mark(Struct, frozen=True, kw_only=True):
    """A place as the map draws it and the list tells it."""

    code: str
    name: str
    place: str
    label: str
    latitude: float | None
    longitude: float | None
    symbol: str
    tone: str
    count: int
    gateway: bool
    urgency: int
    lines: list[Line]


@router.get("/map")
async def show_map(page: SignedInPage) -> Response:
    """Show the map in full size, and below it every place as a list."""
    neighbourhood = await _neighbourhood(page)
    listed, more = neighbourhood.places[:MOST_LISTED], max(len(neighbourhood.places) - MOST_LISTED, 0)
    return page.render("map/map.html", marks=[_mark(page, place) for place in listed], more=more)


@router.get("/map/base.geojson")
async def send_ground(page: SignedInPage) -> Response:
    """Send the ground, unless the browser has it already."""
    path = page.services.map.geojson
    ground = load_ground(path) if path else NOTHING
    headers = {"ETag": f'"{ground.hash}"', **FRESH}
    if page.request.headers.get("If-None-Match", "").removeprefix("W/") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(ground.content, media_type="application/geo+json", headers=headers)


@router.get("/map/grids.json")
async def send_grids(page: SignedInPage) -> Response:
    """Send the outlines of the grids that the person sees."""
    person = page.person
    return JSONResponse(await page.read(lambda connection: _outlines(connection, person)), headers=FRESH)


@router.get("/map/sites.json")
async def send_sites(page: InstallerPage) -> Response:
    """Send every place that has a position, to choose one."""
    return JSONResponse({"sites": await page.read(_positions)}, headers=FRESH)


@router.get("/map/overview.json")
async def send_overview(page: SignedInPage) -> Response:
    """Send what is where and how it is, in the words of the person."""
    neighbourhood = await _neighbourhood(page)
    drawn = [place for place in neighbourhood.places if place.latitude is not None]
    document = {
        "sites": [_mark(page, place) for place in drawn],
        "wires": [_wire(wire) for wire in neighbourhood.wires],
    }
    return Response(msgspec.json.encode(document), media_type="application/json", headers=FRESH)


async def _neighbourhood(page: Page) -> Neighbourhood:
    heard = await page.services.series.last_heard()
    person, now_ms = page.person, page.now_ms
    return await page.read(lambda connection: read_neighbourhood(connection, heard, person, now_ms=now_ms))


def _outlines(connection: Connection, person: Person) -> list[dict[str, Any]]:
    wanted = select(grids.c.code, grids.c.name, grids.c.area).where(grids.c.active).order_by(grids.c.code)
    if not sees_gateways(person):
        wanted = wanted.where(grids.c.code.in_(person.grids))
    return [dict(row) for row in connection.execute(wanted).mappings() if row["area"]]


def _positions(connection: Connection) -> list[dict[str, Any]]:
    columns = (sites.c[name] for name in ("code", "name", "address", "latitude", "longitude"))
    wanted = select(*columns).where(sites.c.active, sites.c.latitude.is_not(None)).order_by(sites.c.code)
    return [{**row, "place": row["address"]} for row in connection.execute(wanted).mappings()]


def _wire(wire: Wire) -> dict[str, Any]:
    return {"from": wire.start, "to": wire.end, "tone": TONES[wire.condition]}


def _mark(page: Page, place: Place) -> Mark:
    symbol, tone = _look(place)
    words = [page.words.severity(place.severity)] if place.severity else []
    count = len(place.orders)
    if count > 1:
        words.append(page.words.plural("%(n)s order", "%(n)s orders", count) % {"n": count})
    words += [page._(NAMES[place.condition])] if place.condition else []
    lines = list(_lines(page, place))
    return Mark(
        code=place.code,
        name=place.name,
        place=page._(" · ").join(filter(None, (place.grid_name, place.address))),
        label=": ".join((place.name, ", ".join(words))) if words else place.name,
        latitude=place.latitude,
        longitude=place.longitude,
        symbol=symbol,
        tone=tone,
        count=count,
        gateway=bool(place.gateways),
        urgency=place.urgency,
        lines=lines[:MOST_LINES],
    )


def _look(place: Place) -> tuple[str, str]:
    if place.severity is not None:
        return place.severity, place.severity
    if place.condition is None:
        return "map", "none"
    return place.condition, "none" if place.is_behind else TONES[place.condition]


def _lines(page: Page, place: Place) -> Iterator[Line]:
    for order in place.orders:
        text = f"{page.words.event_class(order.class_code)} · {page.words.state(order.state)}"
        href = f"/orders/{order.code}"
        yield Line(text=text, symbol=order.severity, tone=order.severity, href=href)
    for gateway in place.gateways:
        yield _line(page, gateway, gateway.name, f"/gateways/{gateway.gateway}", symbol="gateways")
    behind = [device for device in place.devices if device.reason is Reason.GATEWAY]
    well = [device for device in place.devices if device.condition is Condition.OK]
    alone = [] if len(behind) > 1 else behind
    alone += [device for device in place.devices if device not in behind and device not in well]
    alone += [] if len(well) > 1 else well
    for device in alone:
        yield _line(page, device, device.name or device.device, _device_page(page, device))
    if len(behind) > 1:
        text = page._("%(n)s devices are offline with their gateway") % {"n": len(behind)}
        yield Line(text=text, symbol="gateways", tone="none")
    if len(well) > 1:
        yield Line(text=page._("%(n)s devices are OK") % {"n": len(well)}, symbol="ok", tone="good")


def _line(
    page: Page, one: GatewayHealth | DeviceHealth, name: str, href: str | None, *, symbol: str | None = None
) -> Line:
    why = brief(page.words, page.formats, one) or page._(NAMES[one.condition])
    tone = "none" if one.reason is Reason.GATEWAY else TONES[one.condition]
    return Line(text=f"{name}: {why}", symbol=symbol or one.condition, tone=tone, href=href)


def _device_page(page: Page, device: DeviceHealth) -> str | None:
    return f"/gateways/{device.gateway}/devices/{device.device}" if page.person.is_operator else None
