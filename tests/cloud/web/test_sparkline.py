"""The drawing of an event's readings: what it joins, what it marks, and what it never draws."""

import pytest

from cloud.web.sparkline import BOTTOM, HEIGHT, WIDTH, sparkline
from edge.contract.messages import Flag, Reading

MINUTE = 60_000


def readings(*values: float | tuple[float, Flag] | None, step_ms: int = MINUTE) -> list[Reading]:
    """Return readings a minute apart; a bare value passed, None is missing."""
    found = []
    for number, value in enumerate(values):
        given, flag = value if isinstance(value, tuple) else (value, Flag.MISSING if value is None else Flag.PASS)
        found.append(Reading("road-1", "depth", number * step_ms, given, flag))
    return found


def pieces(lines: str) -> list[int]:
    """Return how many points each unbroken piece of a path has."""
    return [piece.count("L") + 1 for piece in lines.split("M")[1:]]


def test_what_was_read_in_a_row_is_one_line() -> None:
    """From left to right, higher values higher up, within the drawing."""
    drawn = sparkline(readings(10, 40, 160), 150.0)
    assert drawn is not None
    assert pieces(drawn.lines) == [3]
    assert [mark.x for mark in drawn.marks] == sorted(mark.x for mark in drawn.marks)
    assert drawn.marks[0].y > drawn.marks[1].y > drawn.marks[2].y > 0
    assert drawn.threshold_y is not None
    assert drawn.marks[1].y > drawn.threshold_y > drawn.marks[2].y
    assert all(0 <= mark.x <= WIDTH for mark in drawn.marks)


@pytest.mark.parametrize(
    ("broken", "look"), [(None, "missing"), ((300.0, Flag.FAIL), "failed"), ((70.0, Flag.SUSPECT), "suspect")]
)
def test_a_line_breaks_where_nothing_can_be_trusted(broken: tuple[float, Flag] | None, look: str) -> None:
    """Missing and failed readings are marked and not joined; a suspect one is marked and joined."""
    drawn = sparkline(readings(10, 20, broken, 40, 50), None)
    assert drawn is not None
    assert pieces(drawn.lines) == ([5] if look == "suspect" else [2, 2])
    assert [mark.look for mark in drawn.marks] == ["pass", "pass", look, "pass", "pass"]
    assert drawn.threshold_y is None


def test_a_missing_value_is_not_drawn_as_zero() -> None:
    """Its mark lies on the axis and no line leads there."""
    drawn = sparkline(readings(100, None, 100), None)
    assert drawn is not None
    assert drawn.marks[1].y == HEIGHT - BOTTOM
    assert f"{drawn.marks[1].x:g} {drawn.marks[1].y:g}" not in drawn.lines


def test_a_long_pause_is_not_bridged() -> None:
    """The first readings of an event and its latest may lie hours apart."""
    early, late = readings(10, 20, 30), readings(40, 50, 60)
    moved = [Reading("road-1", "depth", one.taken_at + 90 * MINUTE, one.value, one.flag) for one in late]
    drawn = sparkline([*early, *moved], None)
    assert drawn is not None
    assert pieces(drawn.lines) == [3, 3]


def test_a_pause_that_is_usual_breaks_no_line() -> None:
    """A sensor whose value does not change says little, whatever it said in the hour before."""
    drawn = sparkline(
        [*readings(10, 20, 30), Reading("road-1", "depth", 9 * MINUTE, 40, Flag.PASS)], None, gap_ms=10 * MINUTE
    )
    assert drawn is not None
    assert pieces(drawn.lines) == [4]


def test_a_river_far_above_zero_is_not_flattened() -> None:
    """What changes by little at a high level still fills the drawing; a road begins at zero."""
    river, road = sparkline(readings(4400, 4410, 4420), None), sparkline(readings(10, 30), None)
    assert river is not None
    assert road is not None
    assert river.marks[0].y - river.marks[2].y > HEIGHT / 3
    assert road.marks[0].y < HEIGHT - BOTTOM


def test_one_reading_and_none() -> None:
    """A single reading stands in the middle; where nothing has a value there is no drawing."""
    drawn = sparkline(readings(0.0), 0.0)
    assert drawn is not None
    assert (drawn.marks[0].x, pieces(drawn.lines)) == (WIDTH / 2, [1])
    assert sparkline(readings(None, None), 150.0) is None
    assert sparkline([], None) is None
