"""What the sensor that raised an order has read: its newest value, and a curve from before the event until now."""

import asyncio

from msgspec import Struct

from cloud.api.orders import OrderDetail
from cloud.series import Bucket, SeriesError
from cloud.web.formats import MINUTE_MS
from cloud.web.page import Page
from cloud.web.sparkline import Sparkline, sparkline
from edge.contract.event_classes import looks_at_value
from edge.contract.messages import Event, Flag, Reading

STORE_WITHIN_S = 2.0  # an order is worth more than its curve
BEFORE_MS, AFTER_MS = 30 * MINUTE_MS, 30 * MINUTE_MS  # that the curve shows around an event that is over
MOST_PARTS = 120  # of the curve
USUAL_GAP_MS = 10 * MINUTE_MS  # as static/js/chart.js: what changes little is read far more often than it is sent
CURRENT_MS = 10 * MINUTE_MS  # an older reading is not how it is now


class Curve(Struct, frozen=True, kw_only=True):
    """What there is of the point that raised an order.

    `is_current` is whether `latest` is of the present, `is_over` whether it is beyond the threshold. `is_whole` is
    whether the drawing is the store's, not just of what came with the event; `reaches_now` whether it goes on to now.
    """

    latest: Reading | None = None
    is_current: bool = False
    is_over: bool = False
    drawing: Sparkline | None = None
    is_whole: bool = False
    reaches_now: bool = False


async def curve_of(page: Page, order: OrderDetail, event: Event | None) -> Curve:
    """Ask the series store; the event's own readings go on from there, and must do while it is away or slow."""
    if event is None:
        return Curve()
    end_ms = page.now_ms
    if order.finished_at is not None:
        end_ms = min(end_ms, (event.ended_at or order.finished_at) + AFTER_MS)
    latest, parts, width_ms = await _asked(page, order, event, end_ms)
    newer = [reading for reading in event.readings if not parts or reading.taken_at >= parts[-1].taken_at + width_ms]
    return Curve(
        latest=latest,
        is_current=latest is not None and page.now_ms - latest.taken_at < CURRENT_MS,
        is_over=latest is not None and _is_over(latest, event),
        drawing=sparkline(
            [*parts, *newer], event.threshold if _is_of_values(event) else None, gap_ms=USUAL_GAP_MS if parts else 0
        ),
        is_whole=bool(parts),
        reaches_now=order.finished_at is None,
    )


async def _asked(
    page: Page, order: OrderDetail, event: Event, end_ms: int
) -> tuple[Reading | None, list[Reading], int]:
    """Return the newest reading, the parts of the curve, and how long each is."""
    start_ms = event.began_at - BEFORE_MS
    width_ms = max(1000, -(-(end_ms - start_ms) // MOST_PARTS))
    if not event.point:
        return None, [], width_ms
    series, place, point = page.services.series, (order.gateway, order.device), event.point
    end_ms += 1  # with what was read this very moment
    try:
        async with asyncio.timeout(STORE_WITHIN_S):
            newest = await series.latest(*place)
            parts = await series.summarise(*place, point, start_ms=start_ms, end_ms=end_ms, width_ms=width_ms)
    except (SeriesError, TimeoutError, ValueError):
        return None, [], width_ms
    latest = next((reading for reading in newest if reading.point == point), None)
    return latest, [_reading_of(part, event) for part in parts], width_ms


def _is_low(event: Event) -> bool:
    """Whether an event is of a value that is too low, not too high."""
    return event.threshold is not None and event.value is not None and event.value < event.threshold


def worst_of(event: Event, latest: Reading | None) -> float | int | None:
    """Return the value furthest beyond the threshold; of an event that goes on, a gateway does not tell each one."""
    if event.value is None or event.ended_at is not None or latest is None or not _is_of_values(event):
        return event.value
    if latest.value is None or latest.flag is Flag.FAIL:
        return event.value
    return (min if _is_low(event) else max)(event.value, latest.value)


def _is_of_values(event: Event) -> bool:
    """Whether value and threshold of an event are of its readings, not of their rise or their sum."""
    return looks_at_value(event.class_code, event.point)


def _is_over(latest: Reading, event: Event) -> bool:
    if latest.value is None or event.threshold is None or latest.flag is Flag.FAIL or not _is_of_values(event):
        return False
    return latest.value <= event.threshold if _is_low(event) else latest.value >= event.threshold


def _reading_of(part: Bucket, event: Event) -> Reading:
    """Return the reading of a part that matters most: the one furthest beyond the threshold."""
    value, failed = (part.low, part.failed_low) if _is_low(event) else (part.high, part.failed_high)
    if value is not None:
        return Reading(event.device, event.point, part.start, value, Flag.SUSPECT if part.suspect else Flag.PASS)
    flag = Flag.MISSING if failed is None else Flag.FAIL
    return Reading(event.device, event.point, part.start, failed, flag)
