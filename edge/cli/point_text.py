"""How points look that were read: a table for people, plain values for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from edge.contract.messages import Flag, Test, Value
from edge.contract.points import Point
from edge.readout import PointReadout, Readout

HEADINGS: Final = ("point", "place", "raw", "value", "unit", "flag")


def number(point: Point, value: Value) -> str:
    """A value as a person reads it; empty where there is none."""
    return "" if value is None else f"{value:,}" if point.counter else f"{value:g}"


def table_of(points: Sequence[PointReadout]) -> Iterator[str]:
    """Each point with where it is, raw registers, value, unit and flag."""
    rows = [HEADINGS, *map(_row, points)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for *words, value, unit, flag in rows:
        left = "  ".join(f"{word:{width}}" for word, width in zip(words, widths[:3], strict=True))
        yield f"{left}  {value:>{widths[3]}}  {unit:{widths[4]}}  {flag}"


def as_plain(readout: Readout) -> dict[str, Any]:
    """One poll for programs: ``taken_at`` in ms UTC, ``took_s`` from the first request to the last answer."""
    return {
        "device": readout.device.id,
        "profile": readout.device.device_profile.profile,
        "took_s": round(readout.took_s, 4),
        "points": [_plain_point(each) for each in readout.points],
        "faults": readout.faults,
    }


def tests_in_words(tests: int) -> list[str]:
    """The names of the tests that set a flag."""
    return [str(test.name).lower() for test in Test if tests & test]


def _row(readout: PointReadout) -> tuple[str, ...]:
    point, reading = readout.point, readout.reading
    raw = " ".join(f"{word:04X}" for word in readout.words or ())
    flag = f"{reading.flag} {Flag(reading.flag).name.lower()}"
    if reading.tests:
        flag += f" ({', '.join(tests_in_words(reading.tests))})"
    return point.name, readout.place, raw, number(point, reading.value), point.quantity.unit, flag


def _plain_point(readout: PointReadout) -> dict[str, Any]:
    point, reading = readout.point, readout.reading
    return {
        "point": point.name,
        "place": readout.place or None,
        "raw": None if readout.words is None else list(readout.words),
        "value": reading.value,
        "unit": point.quantity.unit,
        "flag": int(reading.flag),
        "tests": tests_in_words(reading.tests),
        "reason": readout.reason or None,
        "taken_at": reading.taken_at,
    }
