"""Pure: register words <-> values, both ways. The reader decodes with it, the simulator encodes with it.

Words are unsigned 16-bit numbers in the order they have on the wire; for a coil or a discrete input one word, 0 or 1.
Values are in the unit of the point's quantity: `int` for counters, `float` for everything else, None for "no value".

Scale and offset are exact decimals: raw 2301 with scale 0.1 is 230.1, the nearest float to the exact result. A counter
is rounded to its integer unit (half to even). Formats: IEEE 754 for float32 and float64, two's complement for int*,
sign bit and magnitude for sign_magnitude16; Modbus Application Protocol V1.1b3 fixes only the bytes of one register.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from edge.contract.readings import Value

if TYPE_CHECKING:
    from edge.contract.points import RegisterPoint

Table = Literal["input", "holding", "coil", "discrete"]
RegisterType = Literal[
    "bool", "uint16", "int16", "sign_magnitude16", "uint32", "int32", "uint64", "int64", "float32", "float64"
]
Order = Literal["high_first", "low_first"]
Number = int | float | None
"""A raw number before scaling; None for "no value"."""
Reader = Callable[[Sequence[int]], Number]
Decoder = Callable[[Sequence[int]], Value]

BIT_TABLES: Final[tuple[Table, ...]] = ("coil", "discrete")
REGISTER_COUNT: Final[Mapping[RegisterType, int]] = {
    "bool": 1,
    "uint16": 1,
    "int16": 1,
    "sign_magnitude16": 1,
    "uint32": 2,
    "int32": 2,
    "float32": 2,
    "uint64": 4,
    "int64": 4,
    "float64": 4,
}
_FLOATS: Final[Mapping[RegisterType, str]] = {"float32": "f", "float64": "d"}
_UNSIGNED: Final[Mapping[int, str]] = {1: "H", 2: "I", 4: "Q"}  # by number of registers
_SIGN_BIT: Final = 0x8000


def words(point: RegisterPoint) -> int:
    """How many registers (or bits, for a coil or a discrete input) the point takes up."""
    return REGISTER_COUNT[point.type]


def decode(point: RegisterPoint, registers: Sequence[int]) -> Value:
    """The value in `registers`, which are `words(point)` long.

    None for a pattern listed in `point.missing`, NaN, an infinity, or a number too large for the value's type.
    Raises ValueError when the number of words or a word's range is wrong.
    """
    return point.decode(registers)


def decoder(point: RegisterPoint) -> Decoder:
    """What `decode` does, made ready once for a point that is read over and over."""
    if point.type == "bool":
        return _bit_decoder(point)
    read = number_reader(point.type, point.word_order, point.byte_order, missing=point.missing)
    convert = _converter(point)

    def decode_number(held: Sequence[int]) -> Value:
        try:
            number = read(held)
        except struct.error:
            raise _misfit(point, held) from None
        return None if number is None else convert(number)

    return decode_number


def number_reader(kind: RegisterType, word_order: Order, byte_order: Order, *, missing: Sequence[int] = ()) -> Reader:
    """What takes the raw number out of words; it raises struct.error for words that are too few, too many, too large.

    The words are packed so that the bytes stand in the order of a whole number of that width, high or low byte first:
    the low word first turns the order of the words, the low byte first that of the bytes in each.
    """
    count = REGISTER_COUNT[kind]
    pack, end = _packing(count, word_order, byte_order)
    absent = frozenset(pattern.to_bytes(2 * count, "big" if end == ">" else "little") for pattern in missing)
    is_float = kind in _FLOATS
    letter = _FLOATS[kind] if is_float else _UNSIGNED[count]
    unpack = struct.Struct(end + (letter.lower() if kind.startswith("int") else letter)).unpack

    def read(held: Sequence[int]) -> Number:
        data = pack(*held)
        if absent and data in absent:
            return None
        number: int | float = unpack(data)[0]
        return None if is_float and not math.isfinite(number) else number

    return read if kind != "sign_magnitude16" else lambda held: _signed_by_bit(read(held))


def _packing(count: int, word_order: Order, byte_order: Order) -> tuple[Callable[..., bytes], str]:
    """What makes bytes of words, and how struct calls the order that these bytes then have."""
    end = ">" if word_order == "high_first" else "<"
    other = "<" if word_order == "high_first" else ">"
    return struct.Struct((end if byte_order == "high_first" else other) + "H" * count).pack, end


def _signed_by_bit(number: Number) -> Number:
    return -(number ^ _SIGN_BIT) if isinstance(number, int) and number & _SIGN_BIT else number


def _bit_decoder(point: RegisterPoint) -> Decoder:
    in_register = point.table not in BIT_TABLES
    bit = _bit_on_the_wire(point)
    largest = 0xFFFF if in_register else 1

    def decode_bit(held: Sequence[int]) -> Value:
        if len(held) != 1 or not 0 <= held[0] <= largest:
            raise _misfit(point, held)
        return float(held[0] >> bit & 1)

    return decode_bit


def _bit_on_the_wire(point: RegisterPoint) -> int:
    """Where a bit stands in the register as it comes: the bytes may be turned round."""
    bit = point.bit or 0
    return bit if point.byte_order == "high_first" else (bit + 8) % 16


def _misfit(point: RegisterPoint, held: Sequence[int]) -> ValueError:
    """Say what is wrong with words that cannot have come from the device."""
    if len(held) != words(point):
        return ValueError(f"{point.name}: {point.type} is {words(point)} words, not {len(held)}")
    largest = 1 if point.table in BIT_TABLES else 0xFFFF
    wrong = next((word for word in held if not 0 <= word <= largest), held)
    return ValueError(f"{point.name}: {wrong} is not a word from 0 to {largest}")


def _converter(point: RegisterPoint) -> Callable[[int | float], Value]:
    """What makes the value of a raw number: exactly, then rounded once.

    value = number x p / q + a / b, as one fraction over whole numbers, whose division Python rounds to the nearest.
    """
    if _is_plain(point) and not point.counter:
        return float  # keeps -0.0
    bottom = math.lcm(point.multiplier.denominator, point.addend.denominator)
    factor, added = int(point.multiplier * bottom), int(point.addend * bottom)
    finish = _whole if point.counter else _divide
    if point.type not in _FLOATS:
        return lambda number: finish(int(number) * factor + added, bottom)

    def convert(number: int | float) -> Value:
        top, below = number.as_integer_ratio()
        return finish(top * factor + added * below, bottom * below)

    return convert


def _divide(top: int, bottom: int) -> float | None:
    try:
        return top / bottom  # the nearest float to the exact result
    except OverflowError:
        return None


def _whole(top: int, bottom: int) -> int | None:
    """The nearest whole number, half to even; None when 64 bits do not hold it."""
    count, rest = divmod(top, bottom)
    if rest * 2 > bottom or (rest * 2 == bottom and count & 1):
        count += 1
    return count if -(1 << 63) <= count < 1 << 63 else None


def encode(point: RegisterPoint, value: Value) -> list[int]:
    """The words that hold `value`, rounded to what the registers can hold.

    None becomes the first pattern of `point.missing`, or NaN. Raises ValueError for a value the registers cannot hold.
    A bit of a register comes alone: the other bits are 0.
    """
    if value is None:
        return _split(point, _missing_pattern(point))
    if not math.isfinite(value):
        raise ValueError(f"{point.name}: {value} is not a finite number")
    if point.type == "bool":
        return [int(value != 0) << _bit_on_the_wire(point)]
    pattern = _to_pattern(point, value)
    if pattern is None:
        raise ValueError(f"{point.name}: {value} {point.quantity.unit} does not fit into {point.type}")
    return _split(point, pattern)


def _split(point: RegisterPoint, pattern: int) -> list[int]:
    high_first = [pattern >> 16 * index & 0xFFFF for index in reversed(range(words(point)))]
    ordered = high_first if point.word_order == "high_first" else high_first[::-1]
    return ordered if point.byte_order == "high_first" else [_swap(word) for word in ordered]


def _swap(word: int) -> int:
    return word >> 8 | (word & 0xFF) << 8


def _is_plain(point: RegisterPoint) -> bool:
    """Whether the raw number is the value."""
    return point.multiplier == 1 and point.addend == 0


def _to_pattern(point: RegisterPoint, value: float | int) -> int | None:
    """The unsigned pattern of a value; None when it does not fit."""
    bits = 16 * words(point)
    if point.type in _FLOATS:
        number = float(value) if _is_plain(point) else float(_raw(point, value))
        try:
            return int.from_bytes(struct.pack(f">{_FLOATS[point.type]}", number), "big")
        except OverflowError:
            return None
    raw = round(_raw(point, value))
    if point.type == "sign_magnitude16":
        return raw if 0 <= raw < 1 << 15 else (1 << 15) - raw if -(1 << 15) < raw < 0 else None
    lowest = -(1 << (bits - 1)) if point.type.startswith("int") else 0
    return raw % (1 << bits) if lowest <= raw < lowest + (1 << bits) else None


def _raw(point: RegisterPoint, value: float | int) -> Fraction:
    """The exact raw number of a value."""
    return (Fraction(value) - point.addend) / point.multiplier


def _missing_pattern(point: RegisterPoint) -> int:
    if point.missing:
        return point.missing[0]
    if point.type in _FLOATS:
        return int.from_bytes(struct.pack(f">{_FLOATS[point.type]}", math.nan), "big")
    raise ValueError(f'{point.name}: {point.type} has no pattern for "no value": the profile lists none in missing')
