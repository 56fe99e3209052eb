"""A row: what one device gave at one time. So readings wait for their batch: in half the memory, and nearly a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from edge.contract.readings import Flag, Reading, Value

_PASS = (Flag.PASS, 0)


class Row(NamedTuple):
    """Readings of one device at one time."""

    device: str
    taken_at: int
    points: tuple[str, ...]
    values: tuple[Value, ...]
    marks: Mapping[str, tuple[Flag, int]]  # flag and tests of the points that do not pass

    def readings(self) -> list[Reading]:
        """The readings that it was made of."""
        return [
            Reading(self.device, point, self.taken_at, value, *self.marks.get(point, _PASS))
            for point, value in zip(self.points, self.values, strict=True)
        ]


def rows_of(readings: Iterable[Reading]) -> list[Row]:
    """Arrange readings, in any order, as rows, in the order in which each of these begins."""
    groups: defaultdict[tuple[str, int], list[Reading]] = defaultdict(list)
    for reading in readings:
        groups[reading.device, reading.taken_at].append(reading)
    return [_row(device, taken_at, its) for (device, taken_at), its in groups.items()]


def _row(device: str, taken_at: int, readings: Sequence[Reading]) -> Row:
    return Row(
        device,
        taken_at,
        tuple([reading.point for reading in readings]),
        tuple([reading.value for reading in readings]),
        {one.point: (one.flag, one.tests) for one in readings if one.flag is not Flag.PASS},
    )
