"""Pure: the picture of a backtest, an SVG that looks right on light and dark, with words in Chinese and English.

However long the series, the line has at most two points for each column of the picture: the lowest and the highest of
what falls there, so no peak is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Final, NamedTuple

from edge.backtest import Found, Past
from edge.contract.event_classes import event_classes
from edge.contract.messages import Severity
from edge.contract.readings import Flag, Reading
from edge.contract.rules import DeviceRule

WIDTH: Final = 1200
HEIGHT: Final = 560
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 84, 70
HOUR_MS: Final = 3_600_000
TICKS: Final = (1, 2, 6, 12, 24, 48, 168, 336, 720, 2190, 8760)  # hours
MOST_TICKS: Final = 9
MOST_MARKS: Final = 400
COLOURS: Final = {
    Severity.RED: ("#c62828", "#ff6b6b"),
    Severity.ORANGE: ("#d9730d", "#ffa94d"),
    Severity.YELLOW: ("#a88600", "#ffd43b"),
    Severity.BLUE: ("#1864ab", "#74c0fc"),
}
_STYLE = """
svg { background: #ffffff; color: #1c2430; font: 15px system-ui, "Noto Sans CJK SC", "Noto Sans SC", sans-serif; }
text { fill: currentColor; } .soft { fill: #5b6675; } .grid { stroke: #dfe4ea; } .line { stroke: #2b5a8c; }
.suspect { fill: #ffffff; stroke: #b3541e; } .failed { stroke: #c62828; }
@media (prefers-color-scheme: dark) {
  svg { background: #12171f; color: #e6ebf2; } .soft { fill: #9aa6b5; } .grid { stroke: #2a3340; }
  .line { stroke: #8ab8e8; } .suspect { fill: #12171f; stroke: #ffb38a; } .failed { stroke: #ff8787; }
}
"""


class _Frame(NamedTuple):
    """From times and values to the picture."""

    first: int
    last: int
    low: float
    high: float

    def x(self, at_ms: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (at_ms - self.first) / max(self.last - self.first, 1), 1)

    def y(self, value: float) -> float:
        span = HEIGHT - TOP - BOTTOM
        return round(HEIGHT - BOTTOM - span * (value - self.low) / max(self.high - self.low, 1e-9), 1)


def picture(found: Found, rules: Sequence[DeviceRule], *, title: str) -> str:
    """Return the SVG document."""
    frame = _frame(found.readings, rules)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}{_severity_styles()}</style>",
        *_header(found, title),
        *_grid(frame, found),
        *(line for event in found.events for line in _bands(event, frame)),
        *_thresholds(rules, frame),
        f'<path class="line" d="{_path(found.readings, frame)}" fill="none" stroke-width="1.5"/>',
        *_marks(found.readings, frame),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _severity_styles() -> str:
    light = " ".join(f".{name.value} {{ --hue: {pair[0]}; }}" for name, pair in COLOURS.items())
    dark = " ".join(f".{name.value} {{ --hue: {pair[1]}; }}" for name, pair in COLOURS.items())
    uses = ".band { fill: var(--hue); } .limit { stroke: var(--hue); } .said { fill: var(--hue); }"
    return f"{light} {uses} @media (prefers-color-scheme: dark) {{ {dark} }}\n"


def _frame(readings: Sequence[Reading], rules: Sequence[DeviceRule]) -> _Frame:
    values = [one.value for one in readings if one.value is not None and one.flag is not Flag.FAIL]
    limits = [rule.threshold for rule in rules if rule.measure == "value"]
    low, high = min([*values, *limits], default=0.0), max([*values, *limits], default=1.0)
    room = (high - low or 1.0) * 0.05
    return _Frame(readings[0].taken_at, readings[-1].taken_at, low - room, high + room)


def _header(found: Found, title: str) -> Iterator[str]:
    quantity, confirmed = found.point.quantity, [event for event in found.events if event.is_confirmed]
    suspected = len(found.events) - len(confirmed)
    flagged = found.flags[Flag.SUSPECT] + found.flags[Flag.FAIL]
    yield f'<text x="{LEFT}" y="30" font-size="20" font-weight="600">{escape(title)}</text>'
    yield (
        f'<text class="soft" x="{LEFT}" y="56">{quantity.zh} {quantity.en}, {quantity.unit} · '
        f"事件 events {len(confirmed)} · 疑似后撤销 suspected only {suspected} · 标记 flagged {flagged}</text>"
    )


def _grid(frame: _Frame, found: Found) -> Iterator[str]:
    for value in _round_values(frame):
        y = frame.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text class="soft" x="{LEFT - 8}" y="{y + 5}" text-anchor="end">{value:,g}</text>'
    for at_ms, label in _times(frame):
        x = frame.x(at_ms)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        yield f'<text class="soft" x="{x}" y="{HEIGHT - BOTTOM + 22}" text-anchor="middle">{label}</text>'
    yield _legend()
    year = datetime.fromtimestamp(found.readings[0].taken_at / 1000, UTC).year
    yield f'<text class="soft" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">{year}, UTC</text>'


def _legend() -> str:
    y = HEIGHT - 15
    return (
        f'<g class="orange"><rect class="band" x="{LEFT}" y="{y - 4}" width="14" height="14" opacity="0.45"/></g>'
        f'<text class="soft" x="{LEFT + 20}" y="{y + 9}">事件级别 level of an event</text>'
        f'<path class="suspect" d="M{LEFT + 218} {y + 8}h10l-5 -9z"/>'
        f'<text class="soft" x="{LEFT + 234}" y="{y + 9}">疑似后撤销 suspected only</text>'
        f'<circle class="suspect" cx="{LEFT + 455}" cy="{y + 4}" r="3.5" stroke-width="1.5"/>'
        f'<text class="soft" x="{LEFT + 466}" y="{y + 9}">存疑 reading flagged suspect</text>'
        f'<path class="failed" d="M{LEFT + 688} {y}l8 8m0 -8l-8 8" stroke-width="1.5"/>'
        f'<text class="soft" x="{LEFT + 703}" y="{y + 9}">超量程 failed</text>'
    )


def _round_values(frame: _Frame) -> list[float]:
    span = frame.high - frame.low
    step = next(
        base * 10.0**power
        for power in range(-6, 12)
        for base in (1, 2, 5)
        if span / (base * 10.0**power) <= 7  # lines
    )
    first = int(frame.low // step) + 1
    return [number * step for number in range(first, int(frame.high // step) + 1)]


def _times(frame: _Frame) -> list[tuple[float, str]]:
    span_h = (frame.last - frame.first) / HOUR_MS
    step_h = next((hours for hours in TICKS if span_h / hours <= MOST_TICKS), TICKS[-1])
    if step_h < 720:  # within a month or so
        step_ms = step_h * HOUR_MS
        ticks = range((frame.first // step_ms + 1) * step_ms, frame.last + 1, step_ms)
        form = "%m-%d %H:%M" if step_h < 24 else "%m-%d"
        return [(at_ms, datetime.fromtimestamp(at_ms / 1000, UTC).strftime(form)) for at_ms in ticks]
    every = 1 if step_h == 720 else 3 if step_h == 2190 else 12
    return [(at.timestamp() * 1000, at.strftime("%Y-%m")) for at in _months(frame, every)]


def _months(frame: _Frame, every: int) -> Iterator[datetime]:
    at = datetime.fromtimestamp(frame.first / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = datetime.fromtimestamp(frame.last / 1000, UTC)
    while at <= end:
        if at.timestamp() * 1000 >= frame.first and (at.month - 1) % every == 0:
            yield at
        at = (at + timedelta(days=32)).replace(day=1)


def _bands(event: Past, frame: _Frame) -> Iterator[str]:
    """Draw the time spent at each level behind the line, and its colour along the lower edge."""
    if not event.is_confirmed:
        x = frame.x(event.last.began_at)
        yield f'<path class="suspect" d="M{x - 5} {HEIGHT - BOTTOM + 1}h10l-5 -9z"><title>{_told(event)}</title></path>'
        return
    for began, ended, one in event.levels:
        x = frame.x(began)
        width = max(frame.x(frame.last if ended is None else ended) - x, 2)
        yield (
            f'<g class="{one.severity.value}"><title>{_told(event)}</title>'
            f'<rect class="band" x="{x}" y="{TOP}" width="{width}" height="{HEIGHT - TOP - BOTTOM}" opacity="0.16"/>'
            f'<rect class="band" x="{x}" y="{HEIGHT - BOTTOM}" width="{width}" height="5"/></g>'
        )


def _told(event: Past) -> str:
    """What a pointer that rests there is told."""
    one = event.last
    known = event_classes().get(one.highest_class or one.class_code)
    name = "" if known is None else f"{known.zh} {known.en}"
    began = datetime.fromtimestamp(one.began_at / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    peak = "" if one.value is None else f", {one.value:.5g} {one.unit}"
    return escape(f"{began} UTC {one.highest_class or one.class_code} {name}{peak}")


def _thresholds(rules: Sequence[DeviceRule], frame: _Frame) -> Iterator[str]:
    for rule in rules:
        if rule.measure != "value":
            continue
        y, known = frame.y(rule.threshold), event_classes().get(rule.class_code)
        name = "" if known is None else f" {known.zh} {known.en}"
        yield (
            f'<g class="{rule.severity.value}"><line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" '
            f'stroke-dasharray="6 4"/><text class="said" x="{WIDTH - RIGHT - 4}" y="{y - 6}" text-anchor="end">'
            f"{escape(rule.class_code + name)} {rule.threshold:g}</text></g>"
        )


def _path(readings: Sequence[Reading], frame: _Frame) -> str:
    columns: dict[int, list[Reading]] = {}
    for one in readings:
        if one.value is not None and one.flag is not Flag.FAIL:
            columns.setdefault(round(frame.x(one.taken_at)), []).append(one)
    drawn = [one for column in columns.values() for one in _lowest_and_highest(column)]
    return "M" + "L".join(f"{frame.x(one.taken_at)} {frame.y(one.value or 0)}" for one in drawn) if drawn else ""


def _lowest_and_highest(column: Sequence[Reading]) -> list[Reading]:
    ends = {id(one): one for one in (min(column, key=_value), max(column, key=_value))}
    return sorted(ends.values(), key=lambda one: one.taken_at)


def _value(reading: Reading) -> float:
    return reading.value or 0.0


def _marks(readings: Sequence[Reading], frame: _Frame) -> Iterator[str]:
    """Mark what is flagged: a ring for suspect, a cross for failed, of many in one place the first."""
    seen: set[tuple[int, Flag]] = set()
    for one in readings:
        place = (round(frame.x(one.taken_at) / 3), one.flag)
        if one.flag not in (Flag.SUSPECT, Flag.FAIL) or one.value is None or place in seen or len(seen) >= MOST_MARKS:
            continue
        seen.add(place)
        x, y = frame.x(one.taken_at), frame.y(min(max(one.value, frame.low), frame.high))
        if one.flag is Flag.SUSPECT:
            yield f'<circle class="suspect" cx="{x}" cy="{y}" r="3.5" stroke-width="1.5"/>'
        else:
            yield f'<path class="failed" d="M{x - 4} {y - 4}l8 8m0 -8l-8 8" stroke-width="1.5"/>'
