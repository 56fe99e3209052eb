"""Pure: register words <-> values, both ways. The reader decodes with it, the simulator encodes with it.

Words are unsigned 16-bit numbers in the order they have on the wire; for a coil or a discrete input one word, 0 or 1.
Values are in the unit of the point's quantity: `int` for counters, `float` for everything else, None for "no value".

Scale and offset are exact decimals: raw 2301 with scale 0.1 is 230.1, the nearest float to the exact result. A counter
is rounded to its integer unit (half to even). Formats: IEEE 754 for float32 and float64, two's complement for int*,
sign bit and magnitude for sign_magnitude16; Modbus Application Protocol V1.1b3 fixes only the bytes of one register.
"""

import math
import struct
from collections.abc import Sequence
from fractions import Fraction

from edge.contract.profile import BIT_TABLES, REGISTER_COUNT, RegisterPoint
from edge.contract.readings import Value

INT64 = range(-(1 << 63), 1 << 63)
_FLOAT_FORMAT = {"float32": ">f", "float64": ">d"}


def words(point: RegisterPoint) -> int:
    """How many registers (or bits, for a coil or a discrete input) the point takes up."""
    return REGISTER_COUNT[point.type]


def decode(point: RegisterPoint, registers: Sequence[int]) -> Value:
    """The value in `registers`, which are `words(point)` long.

    None for a pattern listed in `point.missing`, NaN, an infinity, or a number too large for the value's type.
    Raises ValueError when the number of words or a word's range is wrong.
    """
    pattern = _join(point, registers)
    if pattern in point.missing:
        return None
    if point.type == "bool":
        return float(pattern >> (point.bit or 0) & 1)
    raw = _to_number(point, pattern)
    return None if raw is None else _to_value(point, raw)


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
        return [int(value != 0) << (point.bit or 0)]
    pattern = _to_pattern(point, value)
    if pattern is None:
        raise ValueError(f"{point.name}: {value} {point.quantity.unit} does not fit into {point.type}")
    return _split(point, pattern)


def _join(point: RegisterPoint, registers: Sequence[int]) -> int:
    if len(registers) != words(point):
        raise ValueError(f"{point.name}: {point.type} is {words(point)} words, not {len(registers)}")
    largest = 1 if point.table in BIT_TABLES else 0xFFFF
    pattern = 0
    for word in registers if point.word_order == "high_first" else reversed(registers):
        if not 0 <= word <= largest:
            raise ValueError(f"{point.name}: {word} is not a word from 0 to {largest}")
        pattern = pattern << 16 | (word if point.byte_order == "high_first" else _swap(word))
    return pattern


def _split(point: RegisterPoint, pattern: int) -> list[int]:
    high_first = [pattern >> 16 * index & 0xFFFF for index in reversed(range(words(point)))]
    ordered = high_first if point.word_order == "high_first" else high_first[::-1]
    return ordered if point.byte_order == "high_first" else [_swap(word) for word in ordered]


def _swap(word: int) -> int:
    return word >> 8 | (word & 0xFF) << 8


def _to_number(point: RegisterPoint, pattern: int) -> int | float | None:
    """The raw number, before scaling; None for NaN and infinities."""
    bits = 16 * words(point)
    if point.type in _FLOAT_FORMAT:
        (number,) = struct.unpack(_FLOAT_FORMAT[point.type], pattern.to_bytes(bits // 8, "big"))
        return float(number) if math.isfinite(number) else None
    sign = 1 << (bits - 1)
    if point.type == "sign_magnitude16":
        return -(pattern ^ sign) if pattern & sign else pattern
    return pattern - (1 << bits) if point.type.startswith("int") and pattern & sign else pattern


def _to_value(point: RegisterPoint, raw: int | float) -> Value:
    if isinstance(raw, float) and _is_plain(point) and not point.counter:
        return raw  # keeps -0.0
    exact = Fraction(raw) * point.multiplier
    if point.addend:
        exact += point.addend
    if point.counter:
        count = round(exact)
        return count if count in INT64 else None
    try:
        return float(exact)  # the nearest float to the exact result
    except OverflowError:
        return None


def _is_plain(point: RegisterPoint) -> bool:
    """Whether the raw number is the value."""
    return point.multiplier == 1 and point.addend == 0


def _to_pattern(point: RegisterPoint, value: float | int) -> int | None:
    """The unsigned pattern of a value; None when it does not fit."""
    bits = 16 * words(point)
    if point.type in _FLOAT_FORMAT:
        number = float(value) if _is_plain(point) else float(_raw(point, value))
        try:
            return int.from_bytes(struct.pack(_FLOAT_FORMAT[point.type], number), "big")
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
    if point.type in _FLOAT_FORMAT:
        return int.from_bytes(struct.pack(_FLOAT_FORMAT[point.type], math.nan), "big")
    raise ValueError(f'{point.name}: {point.type} has no pattern for "no value": the profile lists none in missing')
