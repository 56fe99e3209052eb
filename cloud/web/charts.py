"""What the chart of one point needs in a page; the drawing is static/js/chart.js.

view = chart_of(page, gateway, device, point, start=…, end=…)

{% import "parts/chart.html" as charts with context %}
{% block head %}{{ charts.head() }}{% endblock %}
{{ charts.chart(page, view) }}
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct

from cloud.web.formats import DAY_MS, HOUR_MS, SHOWN_UNITS
from cloud.web.page import Page
from cloud.web.words import FLAGS, N_, TESTS
from edge.contract.profile import quantities, quantity_of

SPANS: Mapping[str, tuple[str, int]] = {
    "1h": (N_("1 hour"), HOUR_MS),
    "6h": (N_("6 hours"), 6 * HOUR_MS),
    "24h": (N_("24 hours"), DAY_MS),
    "7d": (N_("7 days"), 7 * DAY_MS),
    "30d": (N_("30 days"), 30 * DAY_MS),
    "1y": (N_("1 year"), 365 * DAY_MS),
}
"""Spans that end now, with their length in ms."""


class ChartView(Struct, frozen=True, kw_only=True):
    """One chart: what it asks for, the span it begins with, and how it shows values.

    `span` is the one of SPANS that it shows, which then goes on with the time; `table` a selector of the part of the
    page that shows the same span.
    """

    source: str
    label: str
    start: int
    end: int
    unit: str
    factor: float
    words: dict[str, Any]
    span: str = ""
    table: str = ""


def chart_of(
    page: Page, gateway: str, device: str, point: str, *, start: int, end: int, span: str = "", table: str = ""
) -> ChartView:
    """Return the chart of a point."""
    unit = unit_of(point)
    shown, factor = SHOWN_UNITS.get(unit, (unit, 1.0))
    return ChartView(
        source=f"/api/v1/chart?{urlencode({'gateway': gateway, 'device': device, 'point': point})}",
        label=page.words.point(point),
        start=start,
        end=end,
        unit=shown,
        factor=factor,
        words=_words(page),
        span=span,
        table=table,
    )


def unit_of(point: str) -> str:
    """Return the unit that the store keeps a point in; empty for a point that we do not know."""
    try:
        return quantities()[quantity_of(point)].unit
    except ValueError:
        return ""


def _words(page: Page) -> dict[str, Any]:
    return {
        "flags": {flag: page.words.flag(flag) for flag in FLAGS},
        "tests": {int(test): page.words.text(text) for test, text in TESTS.items()},
        "reviews": {"overruled": page._("overruled"), "confirmed": page._("confirmed")},
        "none": page._("no data"),
        "missing": page._("reported missing"),
        "empty": page._("No readings in this span"),
        "failed": page._("The chart could not be loaded: try again"),
        "sign_in": page._("You are not signed in any more: load the page again"),
    }
