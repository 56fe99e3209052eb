"""`/gateways/{gateway}/devices/{device}`: one device, its points with their last day, and its open orders."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path
from fastapi.responses import Response
from msgspec import Struct
from sqlalchemy import Connection, Row, select

from cloud.gateway_states import find_state
from cloud.health import DeviceHealth, GatewayHealth, PointHealth, Reason
from cloud.health_reader import read_health
from cloud.quality.reviews import Reviews, find_reviews
from cloud.registry.person import Role
from cloud.series import LastHeard
from cloud.web.completeness import Span, bounds_of, channels_of, sheet_of
from cloud.web.conditions import sentence, silent_since
from cloud.web.day_lines import DayLine, day_line
from cloud.web.flag_words import MEANINGS
from cloud.web.flags import worst_tests
from cloud.web.history import SeriesName, count_in
from cloud.web.page import EquippingPage, Page
from cloud.web.sensor_list import Place, is_partial, own_reason, silent_point, state_of, telling_point
from cloud.web.sensors import read_places
from cloud.workorders.orders import code_of
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import orders
from edge.contract.messages import ID_PATTERN, DeviceInventory
from edge.contract.profile import DeviceProfile, load_profile, profile_names

PARTS_OF_DAY = 96
MOST_ORDERS = 20
MOST_LOOKED_AT = 1000  # flagged readings of a point, to tell by which tests

router = APIRouter()

IdInPath = Annotated[str, Path(pattern=ID_PATTERN.replace(r"\A", "^").replace(r"\Z", "$"))]


class Subject(Struct, frozen=True, kw_only=True):
    """One device with what is known around it; `profile` is None for one that did not come with Anlan."""

    gateway: GatewayHealth
    device: DeviceHealth
    place: Place | None
    heard: dict[str, LastHeard]
    listed: DeviceInventory | None
    profile: DeviceProfile | None
    first_seen: int | None
    orders: list[Row[Any]]

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/gateways/{self.device.gateway}/devices/{self.device.device}"


async def find_subject(page: Page, gateway: str, device: str) -> Subject:
    """Return a device; answers 404 where there is none."""
    heard = await page.services.series.last_heard(gateway)
    found = await page.read(lambda connection: _subject(connection, page, heard, (gateway, device)))
    if found is None:
        raise HTTPException(404)
    return found


def _subject(connection: Connection, page: Page, heard: Sequence[LastHeard], key: tuple[str, str]) -> Subject | None:
    health = read_health(connection, heard, now_ms=page.now_ms, gateway=key[0])
    of_gateway = next(iter(health.gateways), None)
    device = next((one for one in of_gateway.devices if one.device == key[1]), None) if of_gateway else None
    if of_gateway is None or device is None:
        return None
    state = find_state(connection, key[0])
    listed = state.inventory.devices if state and state.inventory else []
    in_inventory = next((one for one in listed if one.device == key[1]), None)
    name = in_inventory.profile if in_inventory else ""
    return Subject(
        gateway=of_gateway,
        device=device,
        place=read_places(connection).get(device.site or ""),
        heard={one.point: one for one in heard if one.device == key[1]},
        listed=in_inventory,
        profile=load_profile(name) if name in profile_names() else None,
        first_seen=state.first_seen if state else None,
        orders=_open_orders(connection, key) if page.may(Role.OPERATOR) else [],
    )


def _open_orders(connection: Connection, key: tuple[str, str]) -> list[Row[Any]]:
    wanted = select(orders).where(orders.c.gateway == key[0], orders.c.device == key[1])
    wanted = wanted.where(orders.c.state.not_in(FINISHED)).order_by(orders.c.id.desc()).limit(MOST_ORDERS)
    return list(connection.execute(wanted).all())


def reason_of(page: Page, reason: Reason | None, since: int | None) -> str:
    """Return in words why something is not as it should be."""
    return sentence(page.words, page.formats, reason, since)


@router.get("/gateways/{gateway}/devices/{device}")
async def show_device(page: EquippingPage, gateway: IdInPath, device: IdInPath) -> Response:
    """Show how a device is, since when and why; its points, its open orders, and how complete its last day is."""
    subject = await find_subject(page, gateway, device)
    telling = telling_point(subject.device)
    since, others, days, sheet = await asyncio.gather(
        silent_since(page, subject.device, telling),
        _other_troubles(page, subject.device),
        _days(page, subject),
        sheet_of(page, list(channels_of(subject.device, subject.first_seen)), Span.DAY),
    )
    return page.render(
        "sensors/device.html",
        subject=subject,
        device=subject.device,
        telling=telling,
        partial=is_partial(subject.device),
        since=since,
        reason=reason_of(page, subject.device.reason, since),
        others=others,
        days=days,
        state=state_of(subject.device),
        meanings=MEANINGS,
        sheet=sheet,
        strips={strip.channel.point: strip for strip in sheet.strips},
        earlier=await before_gateway(page, subject, silent_point(subject.device)),
        code_of=code_of,
    )


async def _other_troubles(page: Page, device: DeviceHealth) -> dict[str, str]:
    """Return by name why a point is not as it should be, where that is not why the device is not."""
    points = [point for point in device.points if point.reason and point.reason is not device.reason]
    since = await asyncio.gather(*(silent_since(page, device, point) for point in points))
    return {one.point: reason_of(page, one.reason, at) for one, at in zip(points, since, strict=True)}


async def before_gateway(page: Page, subject: Subject, point: PointHealth | None) -> str:
    """Return what was wrong with a silent point already when its gateway went offline; empty where nothing was."""
    if point is None or point.reason is not Reason.GATEWAY:
        return ""
    began = await page.services.series.silent_since(subject.device.gateway, subject.device.device, point.point)
    return reason_of(page, own_reason(point), began)


class Day(Struct, frozen=True):
    """The last day of a point: its curve, and which tests doubted most of its values, but for what was overruled."""

    line: DayLine | None
    worst: list[tuple[int, int]]


async def _days(page: Page, subject: Subject) -> dict[str, Day]:
    """Return the last day of each point that was ever heard, over the same span as its strip."""
    start, end = bounds_of(Span.DAY, page.now_ms)
    width_ms = (end - start) // PARTS_OF_DAY
    store = page.services.series

    async def look(point: PointHealth) -> Day:
        name = SeriesName(subject.device.gateway, subject.device.device, point.point)
        series = (name.gateway, name.device, name.point)
        buckets = await store.summarise(*series, start_ms=start, end_ms=end, width_ms=width_ms)
        line = day_line(buckets, start=start, width_ms=width_ms, beat_ms=round(point.interval_s * 1000))
        if not any(one.suspect or one.failed for one in buckets):
            return Day(line, [])
        counts = await count_in(store, name, buckets, width_ms=width_ms, end=end, most=MOST_LOOKED_AT)
        found = await page.read(lambda connection: find_reviews(connection, *series, start=start, end=end))
        return Day(line, worst_tests(counts.flagged, Reviews(found)))

    points = [point for point in subject.device.points if point.heard]
    found = await asyncio.gather(*map(look, points))
    return {point.point: day for point, day in zip(points, found, strict=True)}
