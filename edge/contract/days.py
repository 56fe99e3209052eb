"""The day of account: which readings a statement puts together.

Gateway and cloud must cut at the same moment, so it is one day for all: the calendar day at UTC+8, China's only time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

ZONE = timezone(timedelta(hours=8), "UTC+8")
DAY_MS = 86_400_000
DAY_PATTERN = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"
_OFFSET_MS = 8 * 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date().toordinal()


def day_of(at_ms: int) -> str:
    """Return the day in which a moment lies, such as 2026-11-26."""
    return datetime.fromordinal(_EPOCH + (at_ms + _OFFSET_MS) // DAY_MS).strftime("%Y-%m-%d")


def bounds_of(day: str) -> tuple[int, int]:
    """Return when a day begins, and when the next one does; raises ValueError for what is no day."""
    start = (datetime.strptime(day, "%Y-%m-%d").date().toordinal() - _EPOCH) * DAY_MS - _OFFSET_MS  # noqa: DTZ007
    if day_of(start) != day:  # days are compared as text, and 2026-1-1 would be one of which there is nothing
        raise ValueError(f"{day} is not written as {day_of(start)}")
    return start, start + DAY_MS


def is_day(text: str) -> bool:
    """Whether this is a day, written as days are."""
    try:
        bounds_of(text)
    except (ValueError, OverflowError):
        return False
    return True
