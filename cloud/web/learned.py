"""The limits by which a gateway flags the readings of one point, in words."""

from collections.abc import Mapping

from msgspec import Struct

from cloud.quality.limits import PointLearned
from cloud.web.formats import Formats
from cloud.web.limit_notes import say_note
from cloud.web.page import Page
from cloud.web.words import N_
from edge.contract.messages import LearnedLimit

SOURCES: Mapping[str, str] = {
    "learned": N_("learned"),
    "profile": N_("from the profile"),
    "site": N_("set for this site"),
    "default": N_("default"),
}
SECONDS = {"s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
"""Units of limits that are durations, in ms."""


class LimitLine(Struct, frozen=True, kw_only=True):
    """One limit: what passes, where that comes from, and what it was learned from; texts are in the page's language."""

    test: int
    passes: str
    source: str
    is_learned: bool
    since: int | None
    until: int | None
    samples: int
    note: str


def limit_lines(page: Page, learned: PointLearned | None, unit: str) -> list[LimitLine]:
    """Return the limits of a point whose values have this unit, by test."""
    found = sorted(learned.limits, key=lambda one: one.test) if learned else []
    return [
        LimitLine(
            test=one.test,
            passes=_passes(page, one, unit),
            source=page._(SOURCES[one.source]),
            is_learned=one.source == "learned",
            since=one.since,
            until=one.until,
            samples=one.samples,
            note=say_note(page.words, one.note),
        )
        for one in found
    ]


def _passes(page: Page, limit: LearnedLimit, unit: str) -> str:
    low = None if limit.low is None else _value(page.formats, limit.low, limit.unit or unit)
    high = None if limit.high is None else _value(page.formats, limit.high, limit.unit or unit)
    if low is None or high is None:
        if low is not None:
            return page._("at least %(value)s") % {"value": low}
        return page._("at most %(value)s") % {"value": high} if high is not None else "—"
    return page._("%(low)s to %(high)s") % {"low": low, "high": high}


def _value(formats: Formats, value: float, unit: str) -> str:
    return formats.duration(value * SECONDS[unit]) if unit in SECONDS else formats.value(value, unit)
