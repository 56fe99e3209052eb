"""What a chart draws: every reading where there are few, otherwise the extremes and flags of parts of the span."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Query
from msgspec import Struct
from pydantic import BaseModel, Field
from sqlalchemy import Connection, and_, func, select

from cloud.api.bounds import InMs
from cloud.api.errors import ERRORS, errors
from cloud.api.history import IdPart, check_device, check_series, reviews_of
from cloud.api.services import Anyone, ServicesHere
from cloud.gateway_states import find_state
from cloud.quality.reviews import Verdict
from cloud.series import Bucket
from cloud.workorders.tables import event_revisions, events
from edge.contract.event_classes import event_classes, looks_at_value
from edge.contract.messages import Flag, PointInventory, Reading, Severity
from edge.contract.profile import Quantity, load_profile, profile_names, quantities, quantity_of

router = APIRouter(responses=ERRORS, tags=["history"])

LEAST_POINTS, MOST_POINTS = 40, 2000
HOUR_MS = 3_600_000
NUMBERS_OF_PART = 4  # low, high, and those of the failed values
Value = int | float | None


class ReadingColumns(BaseModel):
    """Every reading of the span, oldest first, column by column."""

    times: list[int] = Field(description="ms UTC")
    values: list[Value] = Field(description="null: missing")
    flags: list[int]
    tests: list[int]
    reviews: list[Verdict | None] = Field(description="what somebody said of a flag; null: nothing")


class PartColumns(BaseModel):
    """The parts of the span that hold a reading, in order, column by column."""

    times: list[int] = Field(description="where each part begins, ms UTC")
    lows: list[Value] = Field(description="of the values flagged 1 to 3; null: there is none")
    highs: list[Value]
    failed_lows: list[Value] = Field(description="of the values flagged 4; null: there is none")
    failed_highs: list[Value]
    counts: dict[int, list[int]] = Field(description="by flag: how many readings each part has")


class Threshold(BaseModel):
    """Where a rule of an event class begins to see an event, as the newest of its events here said."""

    class_code: str = Field(examples=["WATERLOG.ROAD.2"])
    zh: str
    en: str
    severity: Severity
    value: float


class Chart(BaseModel):
    """A span of one point; exactly one of `readings` and `parts` is there."""

    unit: str = Field(description="of every value; empty for a point that we do not know", examples=["mm"])
    stepped: bool = Field(description="a contact: it has one state until it has another, and nothing between")
    timezone: str = Field(description="IANA name of the place's", examples=["Asia/Shanghai"])
    start: int = Field(serialization_alias="from", description="ms UTC, included")
    end: int = Field(serialization_alias="to", description="ms UTC, not included")
    gap_ms: int | None = Field(description="readings further apart have a gap between them; null: not known")
    least_span: float = Field(description="a scale that spans less shows little but noise; 0: not known", examples=[50])
    expected_from: int | None = Field(description="when the gateway was first heard, ms UTC")
    width_ms: int | None = Field(description="length of a part; null where every reading is here")
    hourly_until: int | None = Field(
        description="before it, only extremes and counts of whole hours are kept, each in the part where it begins; "
        "null: nothing here is that old"
    )
    readings: ReadingColumns | None
    parts: PartColumns | None
    thresholds: list[Threshold]


@router.get("/chart", summary="A span of one point, for a chart", responses=errors(404))
async def show_chart(
    *,
    services: ServicesHere,
    person: Anyone,
    gateway: IdPart,
    device: IdPart,
    point: IdPart,
    start: Annotated[InMs, Query(alias="from", description="ms UTC, included")],
    end: Annotated[InMs, Query(alias="to", description="ms UTC, not included")],
    points: Annotated[int, Query(ge=LEAST_POINTS, le=MOST_POINTS, description="numbers at most")] = MOST_POINTS,
) -> Chart:
    """Return all readings of a span, or its parts with their exact extremes where there are more than `points`."""
    if start >= end:
        raise HTTPException(422, "from: must be before to")
    await check_device(services, person, gateway, device)
    found = await services.series.read(gateway, device, point, start_ms=start, end_ms=end, limit=points + 1)
    if not found:
        await check_series(services, gateway, device, point)
    width_ms, parts, is_hourly = None, None, False
    singles_since = await services.series.singles_since(device)
    if len(found) > points or start < singles_since:
        width_ms = _width_ms(start, end, points, singles_since)
        span = {"start_ms": start, "end_ms": end, "width_ms": width_ms}
        buckets = await services.series.summarise(gateway, device, point, **span)
        is_hourly = any(one.start < singles_since for one in buckets)
        if is_hourly or len(found) > points:
            parts = _columns_of_parts(buckets)
    reviews = [] if parts else await reviews_of(services, gateway, device, point, found)
    about = await services.database.read(lambda connection: _about(connection, gateway, device, point))
    quantity = _quantity(point)
    return Chart(
        unit=quantity.unit if quantity else "",
        stepped=quantity is not None and quantity.type == "contact",
        timezone=str(services.timezone),
        start=start,
        end=end,
        gap_ms=about.gap_ms,
        least_span=about.least_span,
        expected_from=about.expected_from,
        width_ms=width_ms if parts else None,
        hourly_until=singles_since if parts and is_hourly else None,
        readings=None if parts else _columns_of_readings(found, reviews),
        parts=parts,
        thresholds=about.thresholds,
    )


def _width_ms(start: int, end: int, points: int, singles_since: int) -> int:
    """Return how long parts are: at most so many numbers, and whole hours where no more is kept."""
    width_ms = -(-(end - start) // (points // NUMBERS_OF_PART))
    return width_ms if start >= singles_since else -(-width_ms // HOUR_MS) * HOUR_MS


def _columns_of_readings(readings: Sequence[Reading], reviews: list[Verdict | None]) -> ReadingColumns:
    return ReadingColumns(
        times=[one.taken_at for one in readings],
        values=[one.value for one in readings],
        flags=[one.flag for one in readings],
        tests=[one.tests for one in readings],
        reviews=reviews,
    )


def _columns_of_parts(buckets: Sequence[Bucket]) -> PartColumns:
    return PartColumns(
        times=[one.start for one in buckets],
        lows=[one.low for one in buckets],
        highs=[one.high for one in buckets],
        failed_lows=[one.failed_low for one in buckets],
        failed_highs=[one.failed_high for one in buckets],
        counts={
            Flag.PASS: [one.passed for one in buckets],
            Flag.NOT_EVALUATED: [one.not_evaluated for one in buckets],
            Flag.SUSPECT: [one.suspect for one in buckets],
            Flag.FAIL: [one.failed for one in buckets],
            Flag.MISSING: [one.missing for one in buckets],
        },
    )


def _quantity(point: str) -> Quantity | None:
    try:
        return quantities()[quantity_of(point)]
    except ValueError:
        return None


class _About(Struct, frozen=True, kw_only=True):
    gap_ms: int | None
    least_span: float
    expected_from: int | None
    thresholds: list[Threshold]


def _about(connection: Connection, gateway: str, device: str, point: str) -> _About:
    state = find_state(connection, gateway)
    listed = state.inventory.devices if state and state.inventory else []
    known = next((one for one in listed if one.device == device), None)
    expected = next((one for one in known.points if one.name == point), None) if known else None
    return _About(
        gap_ms=_gap_ms(expected) if expected else None,
        least_span=_least_span(known.profile, point) if known else 0,
        expected_from=state.first_seen if state else None,
        thresholds=_thresholds(connection, gateway, device, point),
    )


def _gap_ms(expected: PointInventory) -> int:
    """Return which distance of two readings is more than usual.

    A gateway sends at least one reading a heartbeat, up to half a poll late.
    """
    return round(1000 * (expected.heartbeat_s + 0.75 * expected.interval_s))


def _least_span(profile: str, point: str) -> float:
    """Return ten times the smallest change that is shown and sent; 0 for a profile that did not come with Anlan."""
    known = load_profile(profile).points if profile in profile_names() else ()
    return next((10 * max(one.resolution or 0, one.deadband) for one in known if one.name == point), 0)


def _thresholds(connection: Connection, gateway: str, device: str, point: str) -> list[Threshold]:
    """Return what the newest event of each class here has named, with the levels that it came through."""
    here = and_(events.c.gateway == gateway, events.c.device == device, events.c.point == point)
    newest = select(events.c.class_code, func.max(events.c.began_at).label("at")).where(here)
    newest_of_class = newest.group_by(events.c.class_code).subquery()
    same_event = and_(events.c.class_code == newest_of_class.c.class_code, events.c.began_at == newest_of_class.c.at)
    of_event = and_(event_revisions.c.gateway == events.c.gateway, event_revisions.c.event == events.c.id)
    wanted = select(event_revisions.c.body).select_from(events.join(newest_of_class, same_event))
    told = wanted.join(event_revisions, of_event).where(here).order_by(events.c.began_at, event_revisions.c.revision)
    found = {
        each.class_code: each for each in (msgspec.json.decode(body, type=_Named) for body in connection.scalars(told))
    }
    shown = [code for code in sorted(found) if code in event_classes() and looks_at_value(code, point)]
    named = [(code, found[code].threshold) for code in shown]
    return [_threshold(code, value) for code, value in named if value is not None]


class _Named(Struct, frozen=True):
    """What a revision says of a limit."""

    class_code: str
    threshold: float | None = None


def _threshold(code: str, value: float) -> Threshold:
    known = event_classes()[code]
    return Threshold(class_code=code, zh=known.zh, en=known.en, severity=known.severity, value=value)
