"""Rows, in any order, as blocks: what the gateway does before a batch is encoded.

Devices of one kind share a block where that makes the batch no larger: one that leaves most cells of the others'
columns empty, or whose values are written otherwise, has a block of its own.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby

from edge.contract.envelope import MAX_READINGS
from edge.contract.readings import ContractError, Flag, Value
from edge.contract.rows import Row
from edge.contract.tables import Block, Column, without_needless

MAX_DEVICES = 1024
MAX_POINTS = 512
MAX_CELLS = 4 * MAX_READINGS  # rows x points over all blocks, where report by exception leaves most of them empty
DECIMALS = 6  # a value with more was not written as a decimal number by its device


def in_batches(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Sort rows by device, and cut them into lists of about ``most`` readings that are within the limits of a batch.

    A device stays in one list where it can: the more rows it has there, the less a reading takes.
    """
    device_of = operator.attrgetter("device")
    room = MAX_CELLS // 2  # a block has at most twice as many cells as readings, or no more than its devices alone
    batch: list[Row] = []
    readings = devices = cells = 0
    for _, group in groupby(sorted(rows, key=device_of), key=device_of):
        its = list(group)
        points = len(set(chain.from_iterable(row.points for row in its)))
        step = max(min(most, room) // points, 1)
        for part in (its[first : first + step] for first in range(0, len(its), step)):
            more = sum(len(row.points) for row in part)
            is_full = readings + more > most or cells + points * len(part) > room or devices == MAX_DEVICES
            if batch and is_full:
                yield batch
                batch, readings, devices, cells = [], 0, 0, 0
            batch += part
            readings, devices, cells = readings + more, devices + 1, cells + points * len(part)
    if batch:
        yield batch


def blocks_of(rows: Iterable[Row], kinds: Mapping[str, str]) -> list[Block]:
    """Arrange rows as blocks. Raises ContractError when two readings claim the same device, point and time."""
    by_device: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_device[row.device].append(row)
    parts = sorted((_Part(kinds[device], its) for device, its in by_device.items()), key=operator.attrgetter("order"))
    joined: list[_Part] = []
    for part in parts:
        if not (joined and joined[-1].joins(part)):
            joined.append(part)
    return [_block(part.kind, part.devices) for part in joined]


class _Part:
    """What will be one block: the rows of some devices."""

    def __init__(self, kind: str, rows: list[Row]) -> None:
        rows.sort(key=operator.attrgetter("taken_at"))
        self.kind = kind
        self.devices = [rows]
        self.readings = sum(len(row.points) for row in rows)
        self._height = len(rows)
        self._types = _types_of(rows)
        self._cells = self._height * len(self._types)
        self._is_noisy = any(map(_is_noisy, rows[0].values))
        self.order = (kind, self._is_noisy, sorted(self._types), rows[0].device)

    def joins(self, other: _Part) -> bool:
        """Take another in, if they fit together; return whether they do."""
        if (other.kind, other._is_noisy) != (self.kind, self._is_noisy):
            return False
        types = _joined(self._types, other._types)
        if types is None or len(types) > MAX_POINTS:
            return False
        height, readings = self._height + other._height, self.readings + other.readings
        apart = self._cells + other._cells
        cells = height * len(types)
        if cells > apart and cells >= 2 * readings:
            return False
        self.devices += other.devices
        self._types, self._height, self.readings, self._cells = types, height, readings, cells
        return True


_Types = dict[str, type | None]


def _types_of(rows: Sequence[Row]) -> _Types:
    """Return the type of each point, by its first value; None where it has none."""
    types: _Types = {}
    for row in rows:
        if row.points != rows[0].points or row.marks or not types:
            for point, value in zip(row.points, row.values, strict=True):
                if types.get(point) is None:
                    types[point] = None if value is None else type(value)
    return types


def _joined(one: _Types, other: _Types) -> _Types | None:
    """Return the types of both; None where a point has two."""
    types = {**one}
    for point, its in other.items():
        known = types.setdefault(point, its)
        if known is None:
            types[point] = its
        elif its is not None and its is not known:
            return None
    return types


def _is_noisy(value: Value) -> bool:
    return type(value) is float and abs(value) < 2**31 and round(value, DECIMALS) != value


def _block(kind: str, devices: Sequence[Sequence[Row]]) -> Block:
    points = devices[0][0].points
    is_even = len(set(points)) == len(points) and all(
        row.points == points and not row.marks for rows in devices for row in rows
    )
    if not is_even or any(len({row.taken_at for row in rows}) < len(rows) for rows in devices):
        return _uneven_block(kind, devices)
    columns = zip(points, zip(*[row.values for rows in devices for row in rows], strict=True), strict=True)
    return Block(
        kind,
        [rows[0].device for rows in devices],
        list(map(len, devices)),
        [row.taken_at for rows in devices for row in rows],
        [Column(point, list(values)) for point, values in sorted(columns, key=operator.itemgetter(0))],
    )


_PASS = (Flag.PASS, 0)
_Cell = tuple[Value, Flag, int]


def _uneven_block(kind: str, devices: Sequence[Sequence[Row]]) -> Block:
    """A block of rows that do not all have the same points, or of which some do not pass."""
    heights: list[int] = []
    times: list[int] = []
    cells: defaultdict[str, dict[int, _Cell]] = defaultdict(dict)
    for rows in devices:
        before = len(times)
        for row in rows:
            if len(times) == before or times[-1] != row.taken_at:
                times.append(row.taken_at)
            _fill(cells, len(times) - 1, row)
        heights.append(len(times) - before)
    columns = [_column(point, its, len(times)) for point, its in sorted(cells.items())]
    return Block(kind, [rows[0].device for rows in devices], heights, times, without_needless(columns, len(times)))


def _fill(cells: Mapping[str, dict[int, _Cell]], place: int, row: Row) -> None:
    for point, value in zip(row.points, row.values, strict=True):
        cell = (value, *row.marks.get(point, _PASS))
        if cells[point].setdefault(place, cell) is not cell:
            raise ContractError(f"{row.device}: {point} read twice at {row.taken_at}")


def _column(point: str, cells: Mapping[int, _Cell], height: int) -> Column:
    flags = bytearray(height)
    for place, (_, flag, _) in cells.items():
        flags[place] = flag
    there = [cells[place] for place in sorted(cells)]
    values = [value for value, _, _ in there if value is not None]
    return Column(point, values, bytes(flags), [mask for _, flag, mask in there if flag is not Flag.PASS])
