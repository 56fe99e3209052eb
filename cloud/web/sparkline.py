"""The readings that raised an order as a small drawing that needs no script: where each mark of it stands; pure."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from msgspec import Struct

from edge.contract.messages import Flag, Reading

WIDTH, HEIGHT = 320, 120
LEFT, RIGHT, TOP, BOTTOM = 4, 4, 14, 20
GAP_FACTOR = 3  # of the usual distance between two readings: over a longer one no line is drawn
HEADROOM = 1.15


class Mark(Struct, frozen=True):
    """One reading in the drawing; `look` says what its flag is: pass, suspect, failed or missing."""

    x: float
    y: float
    look: str


class Sparkline(Struct, frozen=True, kw_only=True):
    """A drawing of WIDTH by HEIGHT: lines as SVG paths, a mark for each reading, the height of the threshold."""

    lines: str
    marks: list[Mark]
    threshold_y: float | None
    highest: float
    first_at: int
    last_at: int


def sparkline(readings: Sequence[Reading], threshold: float | None, *, gap_ms: int = 0) -> Sparkline | None:
    """Draw readings, oldest first; None where there is no value to draw. A pause of `gap_ms` breaks no line yet."""
    values = [float(reading.value) for reading in readings if reading.value is not None]
    if not values:
        return None
    low, high = _range(values, threshold)
    first, last = readings[0].taken_at, readings[-1].taken_at

    def x(at: int) -> float:
        share = (at - first) / (last - first) if last > first else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    marks = [
        Mark(x(one.taken_at), HEIGHT - BOTTOM if one.value is None else y(one.value), _look(one)) for one in readings
    ]
    return Sparkline(
        lines=_lines(readings, marks, gap_ms),
        marks=marks,
        threshold_y=None if threshold is None else y(threshold),
        highest=max(values),
        first_at=first,
        last_at=last,
    )


def _range(values: Sequence[float], threshold: float | None) -> tuple[float, float]:
    """Return what the drawing spans; from zero, unless that would flatten what is far from it, such as a river."""
    known = [*values, *([] if threshold is None else [threshold])]
    low, high = min(known), max(known)
    if low >= 0 and low <= high / 2:
        low = 0.0
    span = (high - low) or abs(high) or 1.0
    return low, low + span * HEADROOM


def _look(reading: Reading) -> str:
    if reading.value is None:
        return "missing"
    return {Flag.SUSPECT: "suspect", Flag.FAIL: "failed"}.get(reading.flag, "pass")


def _lines(readings: Sequence[Reading], marks: Sequence[Mark], gap_ms: int) -> str:
    """Join what can be trusted; a failed or missing reading, and a long pause, break the line."""
    steps = [later.taken_at - earlier.taken_at for earlier, later in pairwise(readings)]
    longest = max(gap_ms, GAP_FACTOR * median(steps)) if steps else 0
    path, is_drawing, before = [], False, 0
    for reading, mark in zip(readings, marks, strict=True):
        is_drawn = mark.look in ("pass", "suspect")
        follows = is_drawing and reading.taken_at - before <= longest
        if is_drawn:
            path.append(f"{'L' if follows else 'M'}{mark.x:g} {mark.y:g}")
        is_drawing, before = is_drawn, reading.taken_at
    return " ".join(path)
