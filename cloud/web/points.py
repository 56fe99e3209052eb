"""`/gateways/{gateway}/devices/{device}/{point}`: one point over a span: chart, flags, limits, table; all of it as CSV.

An operator says here whether flags are right.
"""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import Response, StreamingResponse
from msgspec import Struct
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.datastructures import FormData

from cloud.api.bounds import EARLIEST_MS, FAR_FUTURE_MS
from cloud.api.quality import ReviewRequest
from cloud.health import PointHealth
from cloud.quality.limits import PointLearned, find_limits
from cloud.quality.reviews import Reviews, Verdict, add_review, find_reviews
from cloud.registry.person import Role
from cloud.series import LastHeard
from cloud.web.charts import SPANS, chart_of, unit_of
from cloud.web.conditions import silent_since
from cloud.web.devices import IdInPath, Subject, before_gateway, find_subject, reason_of
from cloud.web.flag_words import MEANINGS, REASONS
from cloud.web.flags import FlagSheet, sheet_of
from cloud.web.formats import DAY_MS
from cloud.web.history import FlagCounts, SeriesName, as_csv, count_flags, last_good, newest_first
from cloud.web.learned import limit_lines
from cloud.web.order_lines import names_of
from cloud.web.order_words import join_reason
from cloud.web.page import EquippingPage, OperatorPage, Page
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

    @property
    def again(self) -> str:
        """The span in an address, as it was asked for."""
        return f"range={self.span}" if self.span else self.query


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
    def path(self) -> str:
        """Where its page is."""
        return f"{self.subject.path}/{self.name.point}"

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


class Said(Struct, frozen=True, kw_only=True):
    """What people say of the flags of a span, what the gateway has learned of the point, and the names of people."""

    reviews: Reviews
    learned: PointLearned | None
    names: dict[str, str]


def _said(connection: Connection, name: SeriesName, asked: Asked) -> Said:
    series = (name.gateway, name.device, name.point)
    found = find_reviews(connection, *series, start=asked.start, end=asked.end)
    return Said(
        reviews=Reviews(found),
        learned=find_limits(connection, name.gateway, name.device).get(name.point),
        names=names_of(connection, {one.who for one in found}),
    )


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
    judged: Annotated[Verdict | None, Query()] = None,
) -> Response:
    """Show a span of a point; `before` is where the next page of the table begins, going back.

    The readings of a long span are counted only where `counts` asks for it. `judged` is what was just said of flags.
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
    return await _show(page, known, asked, until=until, problem=problem, counts=counts, judged=judged)


async def _show(
    page: Page,
    known: Known,
    asked: Asked,
    *,
    until: int,
    problem: str = "",
    counts: bool = False,
    judged: Verdict | None = None,
) -> Response:
    store, name, subject = page.services.series, known.name, known.subject
    series = (name.gateway, name.device, name.point)
    (readings, has_more), counted, since, good, singles_since, said = await asyncio.gather(
        newest_first(store, name, start=asked.start, end=until, most=TABLE),
        _count(page, name, asked, anyway=counts),
        silent_since(page, subject.device, known.point),
        last_good(store, name, heard=known.heard),
        store.singles_since(name.device),
        page.read(lambda connection: _said(connection, name, asked)),
    )
    return page.render(
        "sensors/point.html",
        status=422 if problem else 200,
        problem=problem,
        judged=judged,
        known=known,
        subject=subject,
        asked=asked,
        spans=SPANS,
        chart=chart_of(page, *series, start=asked.start, end=asked.end, span=asked.span, table="#readings"),
        unit=unit_of(name.point),
        reason=reason_of(page, known.point.reason, since) if known.point else "",
        since=since,
        earlier=await before_gateway(page, subject, known.silent),
        hourly_until=singles_since if asked.start < singles_since else None,
        readings=readings,
        has_more=has_more,
        is_first=until == asked.end,
        counts=counted,
        flags=_flags(counted, known, said, asked),
        said=said,
        limits=limit_lines(page, said.learned, unit_of(name.point)),
        meanings=MEANINGS,
        reasons=REASONS if page.may(Role.OPERATOR) else {},
        last_good=good,
    )


def _flags(counted: FlagCounts | None, known: Known, said: Said, asked: Asked) -> FlagSheet | None:
    if counted is None:
        return None
    return sheet_of(
        counted.flagged,
        said.reviews,
        start=asked.start,
        end=asked.end,
        beat_ms=round(known.point.interval_s * 1000) if known.point else 0,
        is_complete=counted.is_complete,
    )


@router.post("/gateways/{gateway}/devices/{device}/{point}/reviews")
async def judge_flags(page: OperatorPage, gateway: IdInPath, device: IdInPath, point: IdInPath) -> Response:
    """Keep what an operator says of the flags of a stretch, and show the same span again."""
    form = await page.form()
    known = await find_point(page, gateway, device, point)
    try:
        asked = asked_for(page, _text(form, "range"), _text(form, "span_from"), _text(form, "span_to"))
    except AskedError:
        asked = asked_for(page, FIRST_SPANS[-1], "", "")
    try:
        wanted = _wanted(page, known.name, form).wanted(now_ms=page.now_ms)
    except (ValidationError, HTTPException):
        problem = page._("Say why: pick a reason or write one, of at most 500 characters.")
        return await _show(page, known, asked, until=asked.end, problem=problem, counts=True)
    await page.write(lambda connection: add_review(connection, wanted, person=page.person, now_ms=page.now_ms))
    return page.go_to(f"{known.path}?{asked.again}&judged={wanted.verdict}#flags")


def _wanted(page: Page, name: SeriesName, form: FormData) -> ReviewRequest:
    """Return what the form says. Raises ValidationError."""
    return ReviewRequest.model_validate(
        {
            "gateway": name.gateway,
            "device": name.device,
            "point": name.point,
            "from": _text(form, "from"),
            "to": _text(form, "to"),
            "tests": _text(form, "tests") or None,
            "verdict": _text(form, "verdict"),
            "reason": join_reason(page.words, [_text(form, "reason"), _text(form, "more")]),
        }
    )


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


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
    said = await page.read(lambda connection: _said(connection, known.name, asked))
    lines = as_csv(
        page.services.series,
        known.name,
        start=asked.start,
        end=asked.end,
        reviews=said.reviews,
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
