"""Batches as line protocol: a row of a device becomes one line (see `influx`).

Numbers are written by msgspec, a column at a time: the shortest digits that give a float back bit for bit, eight times
faster than `repr`. The contract's ids hold nothing that line protocol would need escaped.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat

from msgspec import json

from edge.contract.messages import Batch, Block, Column, Flag


def lines_of(batches: Sequence[Batch]) -> Iterator[str]:
    """Give the lines of batches, in the order of `readings_of_lines`."""
    for batch in batches:
        for block in batch.blocks:
            yield from _lines_of_block(batch.gateway, block)


def readings_of_lines(batches: Sequence[Batch]) -> Iterator[tuple[int, int]]:
    """Give, for each line, the place of its batch and how many readings it holds."""
    for place, batch in enumerate(batches):
        for block in batch.blocks:
            for readings in filter(None, _readings_of_rows(block)):
                yield place, readings


def time_of(line: str) -> int:
    """Return the time of a line."""
    return int(line.rpartition(" ")[2])


def _lines_of_block(gateway: str, block: Block) -> Iterator[str]:
    starts = [f"{block.kind},device={device},gateway={gateway}" for device in block.devices]
    if max(block.rows) > 1:
        starts = [start for start, rows in zip(starts, block.rows, strict=True) for _ in range(rows)]
    if not any(column.flags for column in block.columns):
        # One format for all rows: the quickest way to put a hundred strings together.
        ending = " " + ",".join(f"{column.point}=%s" for column in block.columns) + " %d"
        rows = zip(*(_numbers(column) for column in block.columns), block.times, strict=True)
        return (start + ending % row for start, row in zip(starts, rows, strict=True))
    cells = zip(*(_cells(column) for column in block.columns), strict=True)
    fields = (",".join(filter(None, row)) for row in cells)
    return (
        f"{start} {written} {taken_at}"
        for start, written, taken_at in zip(starts, fields, block.times, strict=True)
        if written
    )


def _numbers(column: Column) -> list[str]:
    """Return the values of a point as they are written."""
    kinds = set(map(type, column.values))
    if int not in kinds:
        return json.encode(column.values)[1:-1].decode().split(",")
    if len(kinds) == 1:
        return f"{json.encode(column.values)[1:-1].decode()},".replace(",", "i,").split(",")[:-1]
    return [f"{value}i" if type(value) is int else repr(value) for value in column.values]


def _cells(column: Column) -> Iterator[str]:
    """Give what is written of a point in each row, "" where it has no reading."""
    name, values = column.point, iter(_numbers(column))
    if not column.flags:
        return (f"{name}={value}" for value in values)
    if not column.tests:
        return (f"{name}={next(values)}" if flag else "" for flag in column.flags)
    return _judged_cells(column, values)


def _judged_cells(column: Column, values: Iterator[str]) -> Iterator[str]:
    name, tests = column.point, iter(column.tests)
    for flag in column.flags:
        if flag == 0:
            yield ""
        elif flag == Flag.PASS:
            yield f"{name}={next(values)}"
        else:
            judged = f"{name}_flag={flag}i,{name}_tests={next(tests)}i"
            if flag == Flag.MISSING:
                yield judged
            else:
                yield f"{name}{'_failed' if flag == Flag.FAIL else ''}={next(values)},{judged}"


def _readings_of_rows(block: Block) -> Iterator[int]:
    flags = [column.flags for column in block.columns]
    if not all(flags):
        return repeat(len(flags), len(block.times))
    return (len(row) - row.count(0) for row in zip(*flags, strict=True))
