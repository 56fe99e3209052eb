"""Readings by column: a *table* is what one device gave, a *block* what several devices of one kind gave.

Both have a row for each time and a column for each point. A block holds the rows of its devices one device after the
other, so that what is done with a column is done once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from msgspec import Struct

from edge.contract.readings import Flag, Reading


class Column(Struct, frozen=True, gc=False):
    """One point of a table or block.

    ``flags`` holds one byte a row, 0 where the row has no reading of this point; empty where all of the table or block
    passes. ``values`` holds, in row order, one number for each row flagged 1 to 4; ``tests`` one mask for each row
    flagged other than 0 and 1.
    """

    point: str
    values: list[float] | list[int]
    flags: bytes = b""
    tests: list[int] = []

    def cut(self, ends: Sequence[int]) -> Iterator[Column]:
        """Give the part of each device, which ends before that row."""
        starts = [0, *ends[:-1]]
        if not self.flags:
            return (Column(self.point, self.values[start:end]) for start, end in zip(starts, ends, strict=True))
        flags = [self.flags[start:end] for start, end in zip(starts, ends, strict=True)]
        values = accumulate((len(some) - some.count(0) - some.count(Flag.MISSING) for some in flags), initial=0)
        tests = accumulate((len(some) - some.count(0) - some.count(Flag.PASS) for some in flags), initial=0)
        parts = zip(flags, pairwise(values), pairwise(tests), strict=True)
        return (Column(self.point, self.values[v:w], some, self.tests[t:u]) for some, (v, w), (t, u) in parts)


class Table(Struct, frozen=True, gc=False):
    """The readings of one device: one row a time, strictly ascending, one column a point."""

    device: str
    kind: str
    times: list[int]
    columns: list[Column]

    def rows(self) -> Iterator[tuple[int, list[Reading]]]:
        """Give each row as its time and the readings taken then."""
        if not self.columns:
            return
        cells = [_cells(self.device, column, self.times) for column in self.columns]
        for taken_at, row in zip(self.times, zip(*cells, strict=True), strict=True):
            yield taken_at, [reading for reading in row if reading is not None]


class Block(Struct, frozen=True, gc=False):
    """The readings of devices of one kind: each has as many rows as ``rows`` says, strictly ascending in time."""

    kind: str
    devices: list[str]
    rows: list[int]
    times: list[int]
    columns: list[Column]

    @classmethod
    def of(cls, table: Table) -> Block:
        """The block of one device alone."""
        return cls(table.kind, [table.device], [len(table.times)], table.times, table.columns)

    def tables(self) -> Iterator[Table]:
        """Give what each device has, with the columns that it has a reading of."""
        ends = list(accumulate(self.rows))
        parts = zip(*(column.cut(ends) for column in self.columns), strict=True)
        for device, (start, end), columns in zip(self.devices, pairwise([0, *ends]), parts, strict=True):
            yield Table(device, self.kind, self.times[start:end], without_needless(columns, end - start))


def without_needless(columns: Sequence[Column], rows: int) -> list[Column]:
    """Leave out columns that have no reading, and flags where everything passes."""
    there = [column for column in columns if not column.flags or column.flags.strip(b"\0")]
    if all(not column.flags or column.flags.count(Flag.PASS) == rows for column in there):
        return [Column(column.point, column.values) for column in there]
    return there


def _cells(device: str, column: Column, times: list[int]) -> Iterator[Reading | None]:
    point = column.point
    if not column.flags:
        return (Reading(device, point, at, value) for at, value in zip(times, column.values, strict=True))
    return _flagged_cells(device, column, times)


_FLAGS = {int(flag): flag for flag in Flag}


def _flagged_cells(device: str, column: Column, times: list[int]) -> Iterator[Reading | None]:
    values, tests = iter(column.values), iter(column.tests)
    for taken_at, flag in zip(times, column.flags, strict=True):
        if flag == 0:
            yield None
        else:
            value = None if flag == Flag.MISSING else next(values)
            mask = 0 if flag == Flag.PASS else next(tests)
            yield Reading(device, column.point, taken_at, value, _FLAGS[flag], mask)
