"""A batch: the readings of one gateway over a short time, in one block for the devices of one kind.

It travels column by column, because the values of one point resemble each other. Its body is MessagePack; inside,
numbers are planes (see ``planes``). ``docs/contract.md`` describes every field.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import reduce
from itertools import accumulate, islice, pairwise
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from edge.contract.arranging import MAX_CELLS, MAX_DEVICES, MAX_POINTS, blocks_of
from edge.contract.envelope import (
    MAX_READINGS,
    Body,
    Header,
    check_gateway,
    from_msgpack,
    open_body,
    pack_body,
)
from edge.contract.planes import Integers, pack_floats, pack_integers, unpack_floats, unpack_integers
from edge.contract.readings import EARLIEST, LATEST, ContractError, Flag, Id, Reading, check_value, is_reserved
from edge.contract.rows import Row, rows_of
from edge.contract.tables import Block, Column, Table

FORMAT = 2  # of the body; what an older gateway wrote has a table for every device, and is read too


class ClockState(StrEnum):
    """How far the gateway's clock can be trusted."""

    SYNCHRONISED = "synchronised"
    FREE_RUNNING = "free-running"
    UNKNOWN = "unknown"


class Batch(Struct, frozen=True, kw_only=True, gc=False):
    """What a gateway took over a short time, under one configuration and one state of its clock."""

    gateway: str
    config_hash: str
    clock: ClockState
    clock_since: int | None = None
    blocks: list[Block]

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
        """Arrange readings, in any order, as blocks; ``kinds`` gives the kind of each device.

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
        """Arrange rows, in any order, as blocks; otherwise as :meth:`of`."""
        blocks = blocks_of(rows, kinds)
        return cls(gateway=gateway, config_hash=config_hash, clock=clock, clock_since=clock_since, blocks=blocks)

    @property
    def tables(self) -> list[Table]:
        """The table of each device."""
        return [table for block in self.blocks for table in block.tables()]

    def readings(self) -> Iterator[Reading]:
        """Give every reading, device by device and row by row."""
        return (
            reading for block in self.blocks for table in block.tables() for _, row in table.rows() for reading in row
        )

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each device."""
        return {device: block.kind for block in self.blocks for device in block.devices}


# --- a batch and its bytes --------------------------------------------------------------------------------------------

_INTEGERS, _DECIMALS, _SINGLE, _DOUBLE = 0, range(1, 8), 16, 17  # how a column is written; 1 + n: n decimals
_SCALES = {kind: 10 ** (kind - 1) for kind in _DECIMALS}
_ALL_INTEGERS, _ALL_FLOATS = frozenset({int}), frozenset({float})
_KNOWN_WRITINGS = frozenset({_INTEGERS, *_DECIMALS, _SINGLE, _DOUBLE})
_KNOWN_FLAGS = bytes([0, *Flag])


class _WireBlock(Struct, array_like=True, frozen=True):
    kind: Id
    devices: Annotated[list[Id], Meta(min_length=1, max_length=MAX_DEVICES)]
    rows: Annotated[list[Annotated[int, Meta(ge=1, le=MAX_READINGS)]], Meta(max_length=MAX_DEVICES)]
    times: Integers
    points: Annotated[list[Id], Meta(min_length=1, max_length=MAX_POINTS)]
    written: bytes  # one byte a column: _INTEGERS, 1 + decimals, _SINGLE, _DOUBLE
    flags: bytes  # column by column, empty when every reading passes
    tests: Annotated[list[Annotated[int, Meta(ge=0, lt=2**31)]], Meta(max_length=MAX_READINGS)]
    integers: Integers
    singles: bytes
    doubles: bytes

    @property
    def what(self) -> str:
        """What sentences about it begin with."""
        return self.devices[0] if len(self.devices) == 1 else f"{self.devices[0]} and {len(self.devices) - 1} more"


class _WireBatch(Struct, array_like=True, frozen=True):
    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT)]
    gateway: Id
    config_hash: Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
    clock: ClockState
    clock_since: Annotated[int, Meta(ge=EARLIEST, le=LATEST)] | None
    blocks: Annotated[list[_WireBlock], Meta(min_length=1, max_length=MAX_DEVICES)]


class _OldTable(Struct, array_like=True, frozen=True):
    device: Id
    kind: Id
    times: Integers
    points: Annotated[list[Id], Meta(min_length=1, max_length=MAX_POINTS)]
    written: bytes
    flags: bytes
    tests: Annotated[list[Annotated[int, Meta(ge=0, lt=2**31)]], Meta(max_length=MAX_READINGS)]
    integers: Integers
    singles: bytes
    doubles: bytes

    def as_block(self) -> _WireBlock:
        """The same with the device as the only one of its block."""
        numbers = (self.times, self.points, self.written, self.flags, self.tests)
        numbers_of_columns = (self.integers, self.singles, self.doubles)
        return _WireBlock(self.kind, [self.device], [self.times.count], *numbers, *numbers_of_columns)


class _OldBatch(Struct, array_like=True, frozen=True):
    gateway: Id
    config_hash: Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
    clock: ClockState
    clock_since: Annotated[int, Meta(ge=EARLIEST, le=LATEST)] | None
    tables: Annotated[list[_OldTable], Meta(min_length=1, max_length=MAX_DEVICES)]

    def as_new(self) -> _WireBatch:
        """The same in the present format."""
        blocks = [table.as_block() for table in self.tables]
        return _WireBatch(FORMAT, self.gateway, self.config_hash, self.clock, self.clock_since, blocks)


_BEGINNING = msgspec.msgpack.encode([FORMAT, *[None] * 5])[:2]
_OLD_BEGINNING = msgspec.msgpack.encode([None] * 5)[:1]


def encode_batch(batch: Batch) -> Body:
    """Encode a batch; raises ContractError for what the contract cannot carry (sizes, NaN, bad names)."""
    blocks = [_pack_block(block) for block in batch.blocks]
    wire = _WireBatch(FORMAT, batch.gateway, batch.config_hash, batch.clock, batch.clock_since, blocks)
    data = msgspec.msgpack.encode(wire)
    readings = _unpack(from_msgpack(data, _WireBatch, "batch"))[1]  # what we cannot read must never enter the outbox
    return pack_body(data, readings)


def decode_batch(payload: bytes, gateway: str | None) -> tuple[Header, Batch]:
    """Read a batch that arrived under the gateway's topic, checking every field; raises ContractError.

    Without a gateway the batch is our own.
    """
    header, data = open_body(payload, "batch")
    if data[:1] == _OLD_BEGINNING:
        wire = from_msgpack(data, _OldBatch, "batch").as_new()
    elif data[:2] == _BEGINNING:
        wire = from_msgpack(data, _WireBatch, "batch")
    else:
        raise ContractError(f"batch: not written in format {FORMAT} or before: is its gateway newer than the cloud?")
    if gateway is not None:
        check_gateway(wire.gateway, gateway, "batch")
    batch, readings = _unpack(wire)
    if readings != header.readings:
        raise ContractError(f"batch: {readings} readings, its header says {header.readings}")
    return header, batch


def _pack_block(block: Block) -> _WireBlock:
    integers: list[int] = []
    singles, doubles, written = array("f"), array("d"), bytearray()
    for column in block.columns:
        kind, numbers = _how_to_write(column.values, block, column.point)
        written.append(kind)
        if kind == _SINGLE:
            singles.extend(numbers)
        elif kind == _DOUBLE:
            doubles.extend(numbers)
        else:
            integers += numbers  # type: ignore[arg-type]
    return _WireBlock(
        block.kind,
        block.devices,
        block.rows,
        pack_integers(block.times),
        [column.point for column in block.columns],
        bytes(written),
        b"".join([column.flags for column in block.columns]),
        [mask for column in block.columns for mask in column.tests],
        pack_integers(integers),
        pack_floats(singles),
        pack_floats(doubles),
    )


def _how_to_write(values: Sequence[float], block: Block, point: str) -> tuple[int, Sequence[float]]:
    """Choose the smallest writing that gives every value back bit for bit; return it and the numbers that it writes.

    Raises ContractError for values that the contract cannot carry.
    """
    kinds = set(map(type, values))
    if kinds == _ALL_INTEGERS and min(values) >= -(2**63) and max(values) < 2**63:
        return _INTEGERS, values
    size = 0.0 if kinds - _ALL_FLOATS else sum(map(abs, values))  # no value is larger; NaN where one is
    if kinds - _ALL_FLOATS or not size < math.inf:
        _refuse_values(block, point)
    if kinds - _ALL_FLOATS:
        raise ContractError(f"{block.devices[0]}: {point}: values of one point are all floats or all integers")
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


def _refuse_values(block: Block, point: str) -> None:
    """Name the first value that the contract cannot carry, if there is one."""
    for table in block.tables():
        for column in table.columns:
            if column.point == point:
                for value in column.values:
                    check_value(value, f"{table.device}: {point}")


def _has_negative_zero(values: Sequence[float]) -> bool:
    """Whether there is a -0.0, which an integer cannot say."""
    return any(value == 0 and math.copysign(1, value) < 0 for value in values)


def _unpack(wire: _WireBatch) -> tuple[Batch, int]:
    names = [device for block in wire.blocks for device in block.devices]
    if len(set(names)) != len(names):
        raise ContractError("batch: a device has two tables")
    if len(names) > MAX_DEVICES:
        raise ContractError(f"batch: {len(names)} devices, at most {MAX_DEVICES} are allowed")
    if sum(packed.times.count * len(packed.points) for packed in wire.blocks) > MAX_CELLS:
        raise ContractError(f"batch: more than {MAX_CELLS} cells")
    readings, blocks = 0, []
    for packed in wire.blocks:
        block, count = _unpack_block(packed)
        readings += count
        blocks.append(block)
    if readings > MAX_READINGS:
        raise ContractError(f"batch: {readings} readings, at most {MAX_READINGS} are allowed")
    batch = Batch(
        gateway=wire.gateway,
        config_hash=wire.config_hash,
        clock=wire.clock,
        clock_since=wire.clock_since,
        blocks=blocks,
    )
    return batch, readings


def _unpack_block(packed: _WireBlock) -> tuple[Block, int]:
    what, points = packed.what, packed.points
    times = _unpack_times(packed)
    if len(set(points)) != len(points) or len(packed.written) != len(points):
        raise ContractError(f"{what}: each point needs one column and one writing")
    if any(map(is_reserved, points)):
        raise ContractError(f"{what}: a point has a name that stores keep for themselves")
    if not packed.flags:
        values = _unpack_values(packed, [len(times)] * len(points))
        if packed.tests:
            raise ContractError(f"{what}: test masks, but every reading passes")
        columns = list(map(Column, points, values))
        return Block(packed.kind, packed.devices, packed.rows, times, columns), len(times) * len(columns)
    flags = _unpack_flags(packed, len(times))
    marks = [len(column) - column.count(0) - column.count(Flag.PASS) for column in flags]
    if sum(marks) != len(packed.tests):
        raise ContractError(f"{what}: {len(packed.tests)} test masks for {sum(marks)} flagged readings")
    counts = [len(column) - column.count(0) - column.count(Flag.MISSING) for column in flags]
    tests = iter(packed.tests)
    columns = [
        Column(point, values, column_flags, list(islice(tests, mark)))
        for point, values, column_flags, mark in zip(points, _unpack_values(packed, counts), flags, marks, strict=True)
    ]
    readings = sum(len(column) - column.count(0) for column in flags)
    return Block(packed.kind, packed.devices, packed.rows, times, columns), readings


def _unpack_times(packed: _WireBlock) -> list[int]:
    """Return the times of all rows: within a device they ascend, from device to device they may fall."""
    what = packed.what
    if len(packed.rows) != len(packed.devices) or sum(packed.rows) != packed.times.count:
        raise ContractError(f"{what}: {packed.times.count} rows, which are not those of its {len(packed.rows)} devices")
    times = unpack_integers(packed.times, f"{what}: times")
    if not times:
        raise ContractError(f"{what}: a block without rows")
    is_early = [later <= earlier for earlier, later in pairwise(times)]
    if min(times) < EARLIEST or max(times) > LATEST or True in _within_devices(is_early, packed.rows):
        raise ContractError(f"{what}: times do not ascend between the years 2000 and 2100")
    return times


def _within_devices(steps: list[bool], rows: Sequence[int]) -> list[bool]:
    """Clear the steps that lead from the rows of one device to those of the next."""
    for end in list(accumulate(rows))[:-1]:
        steps[end - 1] = False
    return steps


def _unpack_flags(packed: _WireBlock, rows: int) -> list[bytes]:
    if len(packed.flags) != rows * len(packed.points):
        raise ContractError(f"{packed.what}: {len(packed.flags)} flags for {rows} x {len(packed.points)} cells")
    if packed.flags.translate(None, _KNOWN_FLAGS):
        raise ContractError(f"{packed.what}: a flag that is none of 1, 2, 3, 4, 9")
    columns = [packed.flags[at : at + rows] for at in range(0, len(packed.flags), rows)]
    together = reduce(operator.or_, map(int.from_bytes, columns)).to_bytes(rows)
    if 0 in together:
        raise ContractError(f"{packed.what}: a row without a reading")
    return columns


def _unpack_values(packed: _WireBlock, counts: list[int]) -> list[list[float] | list[int]]:
    """Cut the three streams into columns; each stream must end exactly where its last column does."""
    what = packed.what
    streams: list[list[int] | list[float]] = [
        unpack_integers(packed.integers, f"{what}: integers"),
        unpack_floats(packed.singles, "f", f"{what}: singles"),
        unpack_floats(packed.doubles, "d", f"{what}: doubles"),
    ]
    if not (all(map(math.isfinite, streams[1])) and all(map(math.isfinite, streams[2]))):
        raise ContractError(f"{what}: NaN or infinity, which is said as missing instead")
    taken, columns = [0, 0, 0], []
    for kind, count in zip(packed.written, counts, strict=True):
        if kind not in _KNOWN_WRITINGS:
            raise ContractError(f"{what}: unknown writing {kind}")
        stream = max(kind - _SINGLE + 1, 0)
        values = streams[stream][taken[stream] : taken[stream] + count]
        taken[stream] += count
        if kind in _DECIMALS:
            scale = _SCALES[kind]
            values = [value / scale for value in values]
        columns.append(values)
    if taken != [len(stream) for stream in streams]:
        raise ContractError(f"{what}: values do not match the cells that should hold one")
    return columns
