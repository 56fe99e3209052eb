"""A batch: the readings of one gateway over a short time, as one table per device.

A table has a row for each time and a column for each point, and travels column by column, because the values of one
point resemble each other. Its body is MessagePack; inside, numbers are *planes*: first all lowest bytes, then all
second bytes, and so on, so that the slow high bytes lie together and compress to almost nothing. ``docs/contract.md``
describes every field.
"""

from __future__ import annotations

import math
import operator
import sys
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate, chain, groupby, islice, pairwise
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge.contract.envelope import (
    MAX_READINGS,
    Body,
    Header,
    check_gateway,
    from_msgpack,
    open_body,
    pack_body,
)
from edge.contract.readings import EARLIEST, LATEST, ContractError, Flag, Id, Reading, check_value, is_reserved
from edge.contract.rows import Row, rows_of

MAX_TABLES = 1024
MAX_POINTS = 512
MAX_CELLS = 4 * MAX_READINGS  # rows x points over all tables, where report by exception leaves most of them empty


class ClockState(StrEnum):
    """How far the gateway's clock can be trusted."""

    SYNCHRONISED = "synchronised"
    FREE_RUNNING = "free-running"
    UNKNOWN = "unknown"


class Column(Struct, frozen=True):
    """One point of a table.

    ``flags`` holds one byte a row, 0 where the row has no reading of this point; empty where the whole table passes.
    ``values`` holds, in row order, one number for each row flagged 1 to 4; ``tests`` one mask for each row flagged
    other than 0 and 1.
    """

    point: str
    values: list[float] | list[int]
    flags: bytes = b""
    tests: list[int] = []


class Table(Struct, frozen=True):
    """The readings of one device: one row a time, strictly ascending, one column a point."""

    device: str
    kind: str
    times: list[int]
    columns: list[Column]

    def rows(self) -> Iterator[tuple[int, list[Reading]]]:
        """Give each row as its time and the readings taken then."""
        cells = [_cells(self.device, column, self.times) for column in self.columns]
        for taken_at, row in zip(self.times, zip(*cells, strict=True), strict=True):
            yield taken_at, [reading for reading in row if reading is not None]


class Batch(Struct, frozen=True, kw_only=True):
    """What a gateway took over a short time, under one configuration and one state of its clock."""

    gateway: str
    config_hash: str
    clock: ClockState
    clock_since: int | None = None
    tables: list[Table]

    @classmethod
    def of(
        cls,
        readings: Iterable[Reading],
        *,
        gateway: str,
        config_hash: str,
        clock: ClockState,
        kinds: Mapping[str, str],
        clock_since: int | None = None,
    ) -> Batch:
        """Arrange readings, in any order, as tables; ``kinds`` gives the kind of each device.

        Raises ContractError when two readings claim the same device, point and time.
        """
        return cls.of_rows(
            rows_of(readings),
            gateway=gateway,
            config_hash=config_hash,
            clock=clock,
            kinds=kinds,
            clock_since=clock_since,
        )

    @classmethod
    def of_rows(
        cls,
        rows: Iterable[Row],
        *,
        gateway: str,
        config_hash: str,
        clock: ClockState,
        kinds: Mapping[str, str],
        clock_since: int | None = None,
    ) -> Batch:
        """Arrange rows, in any order, as tables; otherwise as :meth:`of`."""
        by_device: defaultdict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_device[row.device].append(row)
        tables = [_table(device, kinds[device], its) for device, its in by_device.items()]
        return cls(gateway=gateway, config_hash=config_hash, clock=clock, clock_since=clock_since, tables=tables)

    def readings(self) -> Iterator[Reading]:
        """Give every reading, table by table and row by row."""
        return (reading for table in self.tables for _, row in table.rows() for reading in row)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each device."""
        return {table.device: table.kind for table in self.tables}


def in_batches(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Sort rows by device, and cut them into lists of about ``most`` readings that are within the limits of a batch.

    A device stays in one list where it can: the more rows its table has, the less a reading takes.
    """
    device_of = operator.attrgetter("device")
    batch: list[Row] = []
    readings = tables = cells = 0
    for _, group in groupby(sorted(rows, key=device_of), key=device_of):
        its = list(group)
        points = len(set(chain.from_iterable(row.points for row in its)))
        step = max(min(most, MAX_CELLS) // points, 1)
        for part in (its[first : first + step] for first in range(0, len(its), step)):
            more = sum(len(row.points) for row in part)
            is_full = readings + more > most or cells + points * len(part) > MAX_CELLS or tables == MAX_TABLES
            if batch and is_full:
                yield batch
                batch, readings, tables, cells = [], 0, 0, 0
            batch += part
            readings, tables, cells = readings + more, tables + 1, cells + points * len(part)
    if batch:
        yield batch


def _table(device: str, kind: str, rows: Sequence[Row]) -> Table:
    rows = sorted(rows, key=operator.attrgetter("taken_at"))
    times = [row.taken_at for row in rows]
    points = rows[0].points
    is_even = all(row.points == points and not row.marks for row in rows)
    if not is_even or len(set(points)) < len(points) or len(set(times)) < len(times):
        return _uneven_table(device, kind, [reading for row in rows for reading in row.readings()])
    columns = zip(points, zip(*[row.values for row in rows], strict=True), strict=True)
    return Table(device, kind, times, [Column(point, list(values)) for point, values in sorted(columns)])


def _uneven_table(device: str, kind: str, readings: Iterable[Reading]) -> Table:
    """A table of rows that do not all have the same points, or of which some do not pass."""
    columns: defaultdict[str, list[Reading]] = defaultdict(list)
    for reading in readings:
        columns[reading.point].append(reading)
    times = sorted({reading.taken_at for column in columns.values() for reading in column})
    made = [_column(point, _in_rows(column, times)) for point, column in sorted(columns.items())]
    if all(column.flags.count(Flag.PASS) == len(times) for column in made):
        made = [Column(column.point, column.values) for column in made]
    return Table(device, kind, times, made)


def _in_rows(column: Sequence[Reading], times: list[int]) -> list[Reading | None]:
    """A cell for each time, None where there is no reading; raises ContractError for two of one time."""
    by_time: dict[int, Reading] = {}
    for reading in column:
        if by_time.setdefault(reading.taken_at, reading) is not reading:
            raise ContractError(f"{reading.device}: {reading.point} read twice at {reading.taken_at}")
    return [by_time.get(taken_at) for taken_at in times]


def _column(point: str, cells: Sequence[Reading | None]) -> Column:
    there = [cell for cell in cells if cell is not None]
    return Column(
        point,
        [cell.value for cell in there if cell.value is not None],
        bytes([0 if cell is None else cell.flag for cell in cells]),
        [cell.tests for cell in there if cell.flag is not Flag.PASS],
    )


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


# --- numbers as planes ------------------------------------------------------------------------------------------------

_WIDTHS = {1: "b", 2: "h", 4: "i", 8: "q"}
_RAW = 0  # in place of a width: 64-bit integers as they are, for steps that themselves need more than 64 bits
_INTEGERS, _DECIMALS, _SINGLE, _DOUBLE = 0, range(1, 8), 16, 17  # how a column is written; 1 + n: n decimals
_SCALES = {kind: 10 ** (kind - 1) for kind in _DECIMALS}
_ALL_INTEGERS, _ALL_FLOATS = frozenset({int}), frozenset({float})


class _Integers(Struct, array_like=True, frozen=True):
    width: int  # bytes of a step, or _RAW
    first: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
    planes: bytes


class _WireTable(Struct, array_like=True, frozen=True):
    device: Id
    kind: Id
    times: _Integers
    points: Annotated[list[Id], Meta(min_length=1, max_length=MAX_POINTS)]
    written: bytes  # one byte a column: _INTEGERS, 1 + decimals, _SINGLE, _DOUBLE
    flags: bytes  # column by column, empty when every reading passes
    tests: Annotated[list[Annotated[int, Meta(ge=0, lt=2**31)]], Meta(max_length=MAX_READINGS)]
    integers: _Integers
    singles: bytes
    doubles: bytes


class _WireBatch(Struct, array_like=True, frozen=True):
    gateway: Id
    config_hash: Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
    clock: ClockState
    clock_since: Annotated[int, Meta(ge=EARLIEST, le=LATEST)] | None
    tables: Annotated[list[_WireTable], Meta(min_length=1, max_length=MAX_TABLES)]


def _planes(numbers: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    data = numbers.tobytes()
    return b"".join(data[place :: numbers.itemsize] for place in range(numbers.itemsize))


def _from_planes(planes: bytes, typecode: str, what: str) -> list[int] | list[float]:
    numbers = array(typecode)
    count, rest = divmod(len(planes), numbers.itemsize)
    if rest:
        raise ContractError(f"{what}: {len(planes)} bytes are no whole number of {numbers.itemsize}-byte values")
    data = bytearray(len(planes))
    for place in range(numbers.itemsize):
        data[place :: numbers.itemsize] = planes[place * count : (place + 1) * count]
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _pack_integers(values: Sequence[int]) -> _Integers:
    if not values:
        return _Integers(1, 0, b"")
    # The first value is a field of its own; a leading step of zero keeps one step a value.
    steps = [0, *map(operator.sub, values[1:], values)]
    highest, lowest = max(steps), min(steps)
    reach = max(highest, ~lowest)
    for width, typecode in _WIDTHS.items():
        if reach < 1 << (8 * width - 1):
            return _Integers(width, values[0], _planes(array(typecode, steps)))
    return _Integers(_RAW, 0, _planes(array("q", values)))


def _unpack_integers(packed: _Integers, what: str) -> list[int]:
    if packed.width == _RAW:
        return _from_planes(packed.planes, "q", what)  # type: ignore[return-value]
    if packed.width not in _WIDTHS:
        raise ContractError(f"{what}: unknown width {packed.width}")
    steps: list[int] = _from_planes(packed.planes, _WIDTHS[packed.width], what)  # type: ignore[assignment]
    if not steps:
        return []
    steps[0] += packed.first
    values = list(accumulate(steps))
    if max(values) >= 2**63 or min(values) < -(2**63):
        raise ContractError(f"{what}: an integer does not fit 64 bits")
    return values


# --- a batch and its bytes --------------------------------------------------------------------------------------------


def encode_batch(batch: Batch) -> Body:
    """Encode a batch; raises ContractError for what the contract cannot carry (sizes, NaN, bad names)."""
    wire = _WireBatch(
        batch.gateway, batch.config_hash, batch.clock, batch.clock_since, [_pack_table(t) for t in batch.tables]
    )
    data = msgspec.msgpack.encode(wire)
    readings = _unpack(from_msgpack(data, _WireBatch, "batch"))[1]  # what we cannot read must never enter the outbox
    return pack_body(data, readings)


def decode_batch(payload: bytes, gateway: str) -> tuple[Header, Batch]:
    """Read a batch that arrived under the gateway's topic, checking every field; raises ContractError."""
    header, data = open_body(payload, "batch")
    wire = from_msgpack(data, _WireBatch, "batch")
    check_gateway(wire.gateway, gateway, "batch")
    batch, readings = _unpack(wire)
    if readings != header.readings:
        raise ContractError(f"batch: {readings} readings, its header says {header.readings}")
    return header, batch


def _pack_table(table: Table) -> _WireTable:
    integers: list[int] = []
    singles, doubles, written = array("f"), array("d"), bytearray()
    for column in table.columns:
        kind, numbers = _how_to_write(column.values, f"{table.device}: {column.point}")
        written.append(kind)
        if kind == _SINGLE:
            singles.extend(numbers)
        elif kind == _DOUBLE:
            doubles.extend(numbers)
        else:
            integers += numbers  # type: ignore[arg-type]
    return _WireTable(
        table.device,
        table.kind,
        _pack_integers(table.times),
        [column.point for column in table.columns],
        bytes(written),
        b"".join([column.flags for column in table.columns]),
        [mask for column in table.columns for mask in column.tests],
        _pack_integers(integers),
        _planes(singles),
        _planes(doubles),
    )


def _how_to_write(values: Sequence[float], what: str) -> tuple[int, Sequence[float]]:
    """Choose the smallest writing that gives every value back bit for bit; return it and the numbers that it writes.

    Raises ContractError for values that the contract cannot carry.
    """
    kinds = set(map(type, values))
    if kinds == _ALL_INTEGERS and min(values) >= -(2**63) and max(values) < 2**63:
        return _INTEGERS, values
    size = 0.0 if kinds - _ALL_FLOATS else sum(map(abs, values))  # no value is larger; NaN where one is
    if kinds - _ALL_FLOATS or not size < math.inf:
        for value in values:
            check_value(value, what)
    if kinds - _ALL_FLOATS:
        raise ContractError(f"{what}: values of one point are all floats or all integers")
    if size < 2**52 and not (0.0 in values and _has_negative_zero(values)):
        first = values[0] if values else 0.0
        for kind, scale in _SCALES.items():
            if round(first * scale) / scale == first and size * scale < 2**53:
                numbers = [round(value * scale) for value in values]
                if [number / scale for number in numbers] == values:
                    return kind, numbers
    if size < 3.4e38 and array("f", values).tolist() == values:
        return _SINGLE, values
    return _DOUBLE, values


def _has_negative_zero(values: Sequence[float]) -> bool:
    """Whether there is a -0.0, which an integer cannot say."""
    return any(value == 0 and math.copysign(1, value) < 0 for value in values)


def _unpack(wire: _WireBatch) -> tuple[Batch, int]:
    names = [table.device for table in wire.tables]
    if len(set(names)) != len(names):
        raise ContractError("batch: a device has two tables")
    room, readings, tables = MAX_CELLS, 0, []
    for packed in wire.tables:
        rows = len(packed.times.planes) // max(packed.times.width, 1)
        room -= rows * len(packed.points)
        if room < 0:
            raise ContractError(f"batch: more than {MAX_CELLS} cells")
        table, count = _unpack_table(packed)
        readings += count
        tables.append(table)
    if readings > MAX_READINGS:
        raise ContractError(f"batch: {readings} readings, at most {MAX_READINGS} are allowed")
    batch = Batch(
        gateway=wire.gateway,
        config_hash=wire.config_hash,
        clock=wire.clock,
        clock_since=wire.clock_since,
        tables=tables,
    )
    return batch, readings


def _unpack_table(packed: _WireTable) -> tuple[Table, int]:
    device = packed.device
    times = _unpack_times(packed)
    if len(set(packed.points)) != len(packed.points) or len(packed.written) != len(packed.points):
        raise ContractError(f"{device}: each point needs one column and one writing")
    if any(map(is_reserved, packed.points)):
        raise ContractError(f"{device}: a point has a name that stores keep for themselves")
    if not packed.flags:
        values = _unpack_values(packed, [len(times)] * len(packed.points))
        if packed.tests:
            raise ContractError(f"{device}: test masks, but every reading passes")
        columns = list(map(Column, packed.points, values))
        return Table(device, packed.kind, times, columns), len(times) * len(columns)
    flags = _unpack_flags(packed, len(times))
    marks = [len(column) - column.count(0) - column.count(Flag.PASS) for column in flags]
    if sum(marks) != len(packed.tests):
        raise ContractError(f"{device}: {len(packed.tests)} test masks for {sum(marks)} flagged readings")
    counts = [len(column) - column.count(0) - column.count(Flag.MISSING) for column in flags]
    tests = iter(packed.tests)
    columns = [
        Column(point, values, column_flags, list(islice(tests, mark)))
        for point, values, column_flags, mark in zip(
            packed.points, _unpack_values(packed, counts), flags, marks, strict=True
        )
    ]
    return Table(device, packed.kind, times, columns), sum(len(column) - column.count(0) for column in flags)


def _unpack_times(packed: _WireTable) -> list[int]:
    times = _unpack_integers(packed.times, f"{packed.device}: times")
    if not times:
        raise ContractError(f"{packed.device}: a table without rows")
    if times[0] < EARLIEST or times[-1] > LATEST or any(later <= earlier for earlier, later in pairwise(times)):
        raise ContractError(f"{packed.device}: times do not ascend between the years 2000 and 2100")
    return times


_KNOWN_FLAGS = bytes([0, *Flag])


def _unpack_flags(packed: _WireTable, rows: int) -> list[bytes]:
    if len(packed.flags) != rows * len(packed.points):
        raise ContractError(f"{packed.device}: {len(packed.flags)} flags for {rows} x {len(packed.points)} cells")
    if packed.flags.translate(None, _KNOWN_FLAGS):
        raise ContractError(f"{packed.device}: a flag that is none of 1, 2, 3, 4, 9")
    return [packed.flags[at : at + rows] for at in range(0, len(packed.flags), rows)]


def _unpack_values(packed: _WireTable, counts: list[int]) -> list[list[float] | list[int]]:
    """Cut the three streams into columns; each stream must end exactly where its last column does."""
    device = packed.device
    streams: list[list[int] | list[float]] = [
        _unpack_integers(packed.integers, f"{device}: integers"),
        _from_planes(packed.singles, "f", f"{device}: singles"),
        _from_planes(packed.doubles, "d", f"{device}: doubles"),
    ]
    if not (all(map(math.isfinite, streams[1])) and all(map(math.isfinite, streams[2]))):
        raise ContractError(f"{device}: NaN or infinity, which is said as missing instead")
    taken, columns = [0, 0, 0], []
    for kind, count in zip(packed.written, counts, strict=True):
        if kind not in _KNOWN_WRITINGS:
            raise ContractError(f"{device}: unknown writing {kind}")
        stream = max(kind - _SINGLE + 1, 0)
        values = streams[stream][taken[stream] : taken[stream] + count]
        taken[stream] += count
        if kind in _DECIMALS:
            scale = _SCALES[kind]
            values = [value / scale for value in values]
        columns.append(values)
    if taken != [len(stream) for stream in streams]:
        raise ContractError(f"{device}: values do not match the cells that should hold one")
    return columns


_KNOWN_WRITINGS = frozenset({_INTEGERS, *_DECIMALS, _SINGLE, _DOUBLE})
