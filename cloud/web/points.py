"""`/gateways/{gateway}/devices/{device}/{point}`: one point over a span: chart, table, counts; and all of it as CSV."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response, StreamingResponse
from msgspec import Struct

from cloud.api.bounds import EARLIEST_MS, FAR_FUTURE_MS
from cloud.health import PointHealth
from cloud.series import LastHeard
from cloud.web.charts import SPANS, chart_of, unit_of
from cloud.web.conditions import silent_since
from cloud.web.devices import IdInPath, Subject, before_gateway, find_subject, reason_of
from cloud.web.formats import DAY_MS
from cloud.web.history import FlagCounts, SeriesName, as_csv, count_flags, last_good, newest_first
from cloud.web.page import EquippingPage, Page
from edge.contract.messages import Flag

TABLE = 50
COUNTED_AT_ONCE_MS = 31 * DAY_MS
"""Of a longer span the readings are counted by a request of their own: to do so takes as long as its chart."""
FIRST_SPANS = ("1h", "6h", "24h")
"""Of which the page begins with the shortest that holds everything, or else the last."""

router = APIRouter()

Moment = Annotated[str, Query(max_length=40)]
"""ms UTC, or a local time as a field of a form gives it: 2026-11-25T14:03."""


class Asked(Struct, frozen=True, kw_only=True):
    """The span that somebody asked for; `span` is one of SPANS, empty for one of their own."""

    start: int
    end: int
    span: str = ""

    @property
    def query(self) -> str:
        """The span in an address, where it does not move on."""
        return f"from={self.start}&to={self.end}"


class AskedError(ValueError):
    """What was asked for is no span."""


def asked_for(page: Page, span: str, start: str, end: str) -> Asked:
    """Return the span that was asked for. Raises AskedError."""
    if not start and not end:
        if span not in SPANS:
            raise AskedError
        return Asked(start=page.now_ms - SPANS[span][1], end=page.now_ms, span=span)
    first, last = _moment(page, start), _moment(page, end) if end else page.now_ms
    if first >= last:
        raise AskedError
    return Asked(start=first, end=last)


def _moment(page: Page, text: str) -> int:
    try:
        if text.isdecimal() and text.isascii():
            at = int(text)
        else:
            local = datetime.fromisoformat(text)
            zone = local.tzinfo or page.services.timezone
            at = round(local.replace(tzinfo=zone).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise AskedError from None
    if not EARLIEST_MS <= at <= FAR_FUTURE_MS:
        raise AskedError
    return at


class Known(Struct, frozen=True, kw_only=True):
    """One point of a device: how it is, where its gateway reads it, and its newest reading, if it was ever heard."""

    subject: Subject
    name: SeriesName
    point: PointHealth | None
    heard: LastHeard | None

    @property
    def silent(self) -> PointHealth | None:
        """The point where its newest reading is missing."""
        return self.point if self.heard and self.heard.flag is Flag.MISSING else None


async def find_point(page: Page, gateway: str, device: str, point: str) -> Known:
    """Return a point that a gateway reads, or that readings once came of; answers 404 for any other."""
    subject = await find_subject(page, gateway, device)
    health = next((one for one in subject.device.points if one.point == point), None)
    heard = subject.heard.get(point)
    if health is None and heard is None:
        raise HTTPException(404)
    return Known(subject=subject, name=SeriesName(gateway, device, point), point=health, heard=heard)


async def _first_span(page: Page, name: SeriesName) -> str:
    """Return the span that the page of a point begins with: of one that began lately no more than there is of it."""
    of_series = (name.gateway, name.device, name.point)
    oldest = await page.services.series.read(*of_series, start_ms=EARLIEST_MS, end_ms=page.now_ms, limit=1)
    began = oldest[0].taken_at if oldest else EARLIEST_MS
    return next((span for span in FIRST_SPANS if SPANS[span][1] >= page.now_ms - began), FIRST_SPANS[-1])


@router.get("/gateways/{gateway}/devices/{device}/{point}")
async def show_point(
    *,
    page: EquippingPage,
    gateway: IdInPath,
    device: IdInPath,
    point: IdInPath,
    span: Annotated[str, Query(alias="range", max_length=8)] = "",
    start: Annotated[Moment, Query(alias="from")] = "",
    end: Annotated[Moment, Query(alias="to")] = "",
    before: Moment = "",
    counts: bool = False,
) -> Response:
    """Show a span of a point; `before` is where the next page of the table begins, going back.

    The readings of a long span are counted only where `counts` asks for it.
    """
    known = await find_point(page, gateway, device, point)
    problem = ""
    first_span = "" if span or start or end else await _first_span(page, known.name)
    try:
        asked = asked_for(page, span or first_span, start, end)
        until = min(_moment(page, before), asked.end) if before else asked.end
    except AskedError:
        problem = page._("The span must begin before it ends, in the years 2000 to 2100.")
        asked = asked_for(page, FIRST_SPANS[-1], "", "")
        until = asked.end
    store = page.services.series
    (readings, has_more), counted, since, good, singles_since = await asyncio.gather(
        newest_first(store, known.name, start=asked.start, end=until, most=TABLE),
        _count(page, known.name, asked, anyway=counts),
        silent_since(page, known.subject.device, known.point),
        last_good(store, known.name, heard=known.heard),
        store.singles_since(device),
    )
    return page.render(
        "sensors/point.html",
        status=422 if problem else 200,
        problem=problem,
        known=known,
        subject=known.subject,
        asked=asked,
        spans=SPANS,
        chart=chart_of(
            page, gateway, device, point, start=asked.start, end=asked.end, span=asked.span, table="#readings"
        ),
        unit=unit_of(point),
        reason=reason_of(page, known.point.reason, since) if known.point else "",
        since=since,
        earlier=await before_gateway(page, known.subject, known.silent),
        hourly_until=singles_since if asked.start < singles_since else None,
        readings=readings,
        has_more=has_more,
        is_first=until == asked.end,
        counts=counted,
        last_good=good,
    )


async def _count(page: Page, name: SeriesName, asked: Asked, *, anyway: bool) -> FlagCounts | None:
    if asked.end - asked.start > COUNTED_AT_ONCE_MS and not anyway:
        return None
    return await count_flags(page.services.series, name, start=asked.start, end=asked.end)


@router.get("/gateways/{gateway}/devices/{device}/{point}/readings.csv")
async def download(
    *,
    page: EquippingPage,
    gateway: IdInPath,
    device: IdInPath,
    point: IdInPath,
    start: Annotated[Moment, Query(alias="from")],
    end: Annotated[Moment, Query(alias="to")],
) -> Response:
    """Give every reading of a span as CSV."""
    known = await find_point(page, gateway, device, point)
    try:
        asked = asked_for(page, "", start, end)
    except AskedError:
        raise HTTPException(422) from None
    lines = as_csv(
        page.services.series,
        known.name,
        start=asked.start,
        end=asked.end,
        unit=unit_of(point),
        words=page.words,
        formats=page.formats,
    )
    first, last = (f"{page.formats.local(at):%Y%m%dT%H%M%S}" for at in (asked.start, asked.end))
    headers = {
        "Content-Disposition": f'attachment; filename="{gateway}_{device}_{point}_{first}-{last}.csv"',
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)
