"""`/sensors`: how every device is, the worst first; `/completeness`: how complete their readings are."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from msgspec import Struct
from sqlalchemy import Connection, select

from cloud.health import Counts, Health, PointHealth, Reason, judge
from cloud.health_reader import read_devices, read_gateways
from cloud.registry.tables import grids, sites
from cloud.web.completeness import Channel, Span, channels_of, read_first_seen, sheet_of
from cloud.web.conditions import MISSING, health_of, sentence
from cloud.web.flag_words import doubt_of
from cloud.web.page import EquippingPage, Page
from cloud.web.sensor_list import (
    SHOWN_AT_ONCE,
    DeviceLine,
    GatewayLine,
    Line,
    Place,
    Shown,
    Wanted,
    arrange,
    count,
    is_partial,
    lines_of,
    own_reason,
    silent_point,
    state_of,
)

STRIPS_AT_ONCE = 25
LAST_PAGE = 10_000

router = APIRouter()

Code = Annotated[str, Query(max_length=64)]
Text = Annotated[str, Query(max_length=60)]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=LAST_PAGE)]
StateAsked = Annotated[Shown | Literal[""], Query()]


class Choices(Struct, frozen=True, kw_only=True):
    """What the list can be narrowed to."""

    kinds: list[str]
    grids: list[tuple[str, str]]
    gateways: list[tuple[str, str]]


class Asked(Struct, frozen=True, kw_only=True):
    """What a list was asked for; `page` counts from 1."""

    base: str
    wanted: Wanted
    page: int = 1
    span: Span | None = None

    def path(self, *, state: Shown | str | None = None, page: int = 1, span: Span | None = None) -> str:
        """Return the address of the same list in another state, of another page or of another span."""
        wanted = self.wanted
        parameters = {
            "state": wanted.state if state is None else state,
            "kind": wanted.kind,
            "grid": wanted.grid,
            "gateway": wanted.gateway,
            "q": wanted.text,
            "range": span or self.span,
            "page": page if page > 1 else "",
        }
        query = urlencode({name: str(value) for name, value in parameters.items() if value})
        return f"{self.base}?{query}" if query else self.base


def _wanted(*, state: StateAsked = "", kind: Code = "", grid: Code = "", gateway: Code = "", q: Text = "") -> Wanted:
    return Wanted(state=state or None, kind=kind, grid=grid, gateway=gateway, text=q.strip())


WantedHere = Annotated[Wanted, Depends(_wanted)]


class Found(Struct, frozen=True, kw_only=True):
    """The devices that somebody looks for, whatever their state, and how many are in which."""

    health: Health
    places: dict[str, Place]
    lines: list[DeviceLine]
    counts: Counts
    choices: Choices


@router.get("/sensors")
async def show_sensors(page: EquippingPage, wanted: WantedHere, number: PageNumber = 1) -> Response:
    """Show a page of devices, what needs somebody first."""
    found = await _find(page, wanted)
    arranged = arrange(found.lines, found.places, wanted)
    number = min(number, _pages(len(arranged), SHOWN_AT_ONCE))
    shown = arranged[(number - 1) * SHOWN_AT_ONCE : number * SHOWN_AT_ONCE]
    return page.render(
        "sensors/sensors.html",
        asked=Asked(base="/sensors", wanted=wanted, page=number),
        pages=_pages(len(arranged), SHOWN_AT_ONCE),
        found=found,
        states=tuple(Shown),
        lines=shown,
        reasons=_reasons(page, shown, await _silent_since(page, shown)),
    )


@router.get("/completeness")
async def show_completeness(
    page: EquippingPage,
    wanted: WantedHere,
    span: Annotated[Span, Query(alias="range")] = Span.DAY,
    number: PageNumber = 1,
) -> Response:
    """Show a page of strips."""
    found = await _find(page, wanted) if wanted.state else await _find_stateless(page, wanted)
    channels = await _channels(page, [line for line in found.lines if wanted.state in {None, state_of(line.device)}])
    pages = _pages(len(channels), STRIPS_AT_ONCE)
    number = min(number, pages)
    shown = channels[(number - 1) * STRIPS_AT_ONCE : number * STRIPS_AT_ONCE]
    return page.render(
        "sensors/completeness.html",
        asked=Asked(base="/completeness", wanted=wanted, page=number, span=span),
        pages=pages,
        found=found,
        states=tuple(Shown),
        spans=tuple(Span),
        sheet=await sheet_of(page, shown, span),
        count=len(channels),
    )


async def _find(page: Page, wanted: Wanted) -> Found:
    return _found(await health_of(page), await page.read(read_places), wanted)


async def _find_stateless(page: Page, wanted: Wanted) -> Found:
    """Find devices for a page that shows no states: without asking what was last heard of each."""

    def look(connection: Connection) -> Health:
        return judge(read_gateways(connection), read_devices(connection), [], last_events={}, now_ms=page.now_ms)

    return _found(await page.read(look), await page.read(read_places), wanted)


def _found(health: Health, places: dict[str, Place], wanted: Wanted) -> Found:
    lines = lines_of(health.gateways, places, wanted)
    return Found(health=health, places=places, lines=lines, counts=count(lines), choices=_choices(health, places))


def read_places(connection: Connection) -> dict[str, Place]:
    """Return where each site is, by its code."""
    wanted = select(sites.c.code, sites.c.name, sites.c.grid, grids.c.name.label("grid_name"))
    rows = connection.execute(wanted.select_from(sites.join(grids)))
    return {row.code: Place(row.name, row.grid, row.grid_name) for row in rows}


def _choices(health: Health, places: dict[str, Place]) -> Choices:
    devices = [device for gateway in health.gateways for device in gateway.sensors]
    used = (places[device.site] for device in devices if device.site in places)
    return Choices(
        kinds=sorted({device.kind for device in devices} - {""}),
        grids=sorted({(place.grid, place.grid_name) for place in used}),
        gateways=[(gateway.gateway, gateway.name) for gateway in health.gateways],
    )


async def _channels(page: Page, lines: Sequence[DeviceLine]) -> list[Channel]:
    first_seen = await page.read(read_first_seen)
    return [one for line in lines for one in channels_of(line.device, first_seen.get(line.device.gateway))]


def _pages(number: int, at_once: int) -> int:
    return max(-(-number // at_once), 1)


def _devices(lines: Iterable[Line]) -> list[DeviceLine]:
    return [one for line in lines for one in (line.lines if isinstance(line, GatewayLine) else [line])]


async def _silent_since(page: Page, lines: Sequence[Line]) -> dict[str, int]:
    """Return by path the moment at which the missing readings of those that are shown began."""
    silent = [(path_of(line), line.device, point) for line in _devices(lines) if (point := _silent(line))]
    asked = (page.services.series.silent_since(one.gateway, one.device, point.point) for _, one, point in silent)
    began = await asyncio.gather(*asked)
    return {path: at for (path, _, _), at in zip(silent, began, strict=True) if at is not None}


def _silent(line: DeviceLine) -> PointHealth | None:
    if line.was_silent:
        return silent_point(line.device)
    return line.point if line.device.reason in MISSING else None


def path_of(line: DeviceLine) -> str:
    """Return where the page of a device is."""
    return f"/gateways/{line.device.gateway}/devices/{line.device.device}"


def _reasons(page: Page, lines: Sequence[Line], silent_since: dict[str, int]) -> dict[str, str]:
    """Return by path why each device and gateway is not as it should be."""

    def say(reason: Reason | None, since: int | None) -> str:
        return sentence(page.words, page.formats, reason, since)

    reasons = {}
    for one in _devices(lines):
        reason, since, point = one.device.reason, one.device.since, one.point
        if one.was_silent and (point := silent_point(one.device)):
            reason = own_reason(point)
        said = say(reason, silent_since.get(path_of(one), since))
        if one.state is Shown.DOUBTFUL and point and point.heard:
            said = doubt_of(page.words, point.heard)
        if said and point and (is_partial(one.device) or (one.state is Shown.DOUBTFUL and len(one.device.points) > 1)):
            said = f"{page.words.point(point.point)}: {said}"
        reasons[path_of(one)] = said
    gateways = (line.gateway for line in lines if isinstance(line, GatewayLine))
    return reasons | {f"/gateways/{one.gateway}": say(one.reason, one.since) for one in gateways}
