"""Pure: register words <-> values, both ways. The reader decodes with it, the simulator encodes with it.

Words are unsigned 16-bit numbers in the order they have on the wire; for a coil or a discrete input one word, 0 or 1.
Values are in the unit of the point's quantity: `int` for counters, `float` for everything else, None for "no value".

Scale and offset are exact decimals: raw 2301 with scale 0.1 is 230.1, the nearest float to the exact result. A counter
is rounded to its integer unit (half to even). Formats: IEEE 754 for float32 and float64, two's complement for int*,
sign bit and magnitude for sign_magnitude16, four bits a decimal digit for bcd*; Modbus Application Protocol V1.1b3
fixes only the bytes of one register.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from edge.contract.readings import Value

if TYPE_CHECKING:
    from edge.contract.points import RegisterPoint, ScaleFrom

Table = Literal["input", "holding", "coil", "discrete"]
RegisterType = Literal[
    "bool", "uint16", "int16", "sign_magnitude16", "bcd16", "uint32", "int32", "bcd32", "uint64", "int64",
    "float32", "float64",
]  # fmt: skip
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
    "bcd16": 1,
    "uint32": 2,
    "int32": 2,
    "bcd32": 2,
    "float32": 2,
    "uint64": 4,
    "int64": 4,
    "float64": 4,
}
FLOATS: Final[Mapping[RegisterType, str]] = {"float32": "f", "float64": "d"}  # and what struct calls them
EXPONENTS: Final = range(-10, 11)  # of a scale factor that is read with the value, as SunSpec has them
_UNSIGNED: Final[Mapping[int, str]] = {1: "H", 2: "I", 4: "Q"}  # by number of registers
_SIGN_BIT: Final = 0x8000
_WORD: Final = 0xFFFF


def words(point: RegisterPoint) -> int:
    """How many registers (or bits, for a coil or a discrete input) are read for the point."""
    return len(point.registers)


def decode(point: RegisterPoint, registers: Sequence[int]) -> Value:
    """The value in `registers`, which are the `point.registers`, all of them.

    None for a pattern listed in `point.missing`, a number that `point.enum` does not list, NaN, an infinity, a digit
    that is none, a scale factor out of range, or a number too large for the value's type.
    Raises ValueError when the number of words or a word's range is wrong.
    """
    return point.decode(registers)


def decoder(point: RegisterPoint) -> Decoder:
    """What `decode` does, made ready once for a point that is read over and over."""
    if point.type == "bool":
        return _bit_decoder(point)
    read = _reader(point)
    if point.scale_from:
        return _scaled_decoder(point, point.scale_from, read)
    convert = _converter(point)

    def decode_number(held: Sequence[int]) -> Value:
        try:
            number = read(held)
        except struct.error:
            raise _misfit(point, held) from None
        return None if number is None else convert(number)

    return decode_number


def _bit_decoder(point: RegisterPoint) -> Decoder:
    bit = _bit_on_the_wire(point)
    largest = 1 if point.table in BIT_TABLES else _WORD

    def decode_bit(held: Sequence[int]) -> Value:
        if len(held) != 1 or not 0 <= held[0] <= largest:
            raise _misfit(point, held)
        return float(held[0] >> bit & 1)

    return decode_bit


def _scaled_decoder(point: RegisterPoint, scale: ScaleFrom, read: Reader) -> Decoder:
    """A value and, somewhere beside it, the exponent of ten that it is to be multiplied by."""
    count, at, scale_at = len(point.registers), _place_of_value(point), scale.address - point.registers.start
    own = slice(at, at + REGISTER_COUNT[point.type])
    mask = _scale_mask(point, scale)
    converters = {word: _converter(point, Fraction(10) ** power) for word, power in _scale_words(point, scale).items()}

    def decode_scaled(held: Sequence[int]) -> Value:
        if len(held) != count or not 0 <= held[scale_at] <= _WORD:
            raise _misfit(point, held)
        try:
            number = read(held[own])
        except struct.error:
            raise _misfit(point, held) from None
        convert = converters.get(held[scale_at] & mask)
        return None if number is None or convert is None else convert(number)

    return decode_scaled


def _place_of_value(point: RegisterPoint) -> int:
    """Where the value begins in what is read."""
    return point.address - point.registers.start


def _misfit(point: RegisterPoint, held: Sequence[int]) -> ValueError:
    """Say what is wrong with words that cannot have come from the device."""
    if len(held) != words(point):
        return ValueError(f"{point.name}: {point.type} is {words(point)} words, not {len(held)}")
    largest = 1 if point.table in BIT_TABLES else _WORD
    wrong = next((word for word in held if not 0 <= word <= largest), held)
    return ValueError(f"{point.name}: {wrong} is not a word from 0 to {largest}")


def _reader(point: RegisterPoint) -> Reader:
    """What takes the raw number of a point out of the words of its value."""
    if point.bits:
        read_word = number_reader(point.type, point.word_order, point.byte_order)
        return _known(_field_reader(read_word, *point.bits, absent=frozenset(point.missing)), point.enum)
    return _known(number_reader(point.type, point.word_order, point.byte_order, missing=point.missing), point.enum)


def number_reader(kind: RegisterType, word_order: Order, byte_order: Order, *, missing: Sequence[int] = ()) -> Reader:
    """What takes the raw number out of words; it raises struct.error for words that are too few, too many, too large.

    The words are packed so that the bytes stand in the order of a whole number of that width, high or low byte first:
    the low word first turns the order of the words, the low byte first that of the bytes in each.
    """
    count = REGISTER_COUNT[kind]
    pack, end = _packing(count, word_order, byte_order)
    absent = frozenset(pattern.to_bytes(2 * count, "big" if end == ">" else "little") for pattern in missing)
    is_float = kind in FLOATS
    letter = FLOATS[kind] if is_float else _UNSIGNED[count]
    unpack = struct.Struct(end + (letter.lower() if kind.startswith("int") else letter)).unpack

    def read(held: Sequence[int]) -> Number:
        data = pack(*held)
        if absent and data in absent:
            return None
        number: int | float = unpack(data)[0]
        return None if is_float and not math.isfinite(number) else number

    if kind.startswith("bcd"):
        return lambda held: _decimal_digits(read(held))
    return read if kind != "sign_magnitude16" else lambda held: _signed_by_bit(read(held))


def _packing(count: int, word_order: Order, byte_order: Order) -> tuple[Callable[..., bytes], str]:
    """What makes bytes of words, and how struct calls the order that these bytes then have."""
    end = ">" if word_order == "high_first" else "<"
    other = "<" if word_order == "high_first" else ">"
    return struct.Struct((end if byte_order == "high_first" else other) + "H" * count).pack, end


def _decimal_digits(number: Number) -> Number:
    """The number whose decimal digits are the hexadecimal ones of this; None where one of them is above 9."""
    digits = f"{number or 0:x}"
    return int(digits) if number is not None and digits.isdecimal() else None


def _signed_by_bit(number: Number) -> Number:
    return -(number ^ _SIGN_BIT) if isinstance(number, int) and number & _SIGN_BIT else number


def _field_reader(read: Reader, first: int, last: int, *, absent: frozenset[int]) -> Reader:
    """What takes a field of bits out of one register."""
    mask = (1 << last - first + 1) - 1

    def read_field(held: Sequence[int]) -> Number:
        number = int(read(held) or 0) >> first & mask
        return None if number in absent else number

    return read_field


def _known(read: Reader, enum: Mapping[int, str]) -> Reader:
    """A reader for which numbers that the list does not have are no value; without a list every number is one."""
    if not enum:
        return read

    def read_known(held: Sequence[int]) -> Number:
        number = read(held)
        return number if number in enum else None

    return read_known


def _converter(point: RegisterPoint, power: Fraction = Fraction(1)) -> Callable[[int | float], Value]:
    """What makes the value of a raw number: exactly, then rounded once. `power` is a scale factor read with it.

    value = number x p / q + a / b, as one fraction over whole numbers, whose division Python rounds to the nearest.
    """
    if point.true_for:
        return lambda number: float(number in point.true_for)
    multiplier = point.multiplier * power
    if (multiplier, point.addend) == (Fraction(1), Fraction(0)) and not point.counter:
        return float  # keeps -0.0
    bottom = math.lcm(multiplier.denominator, point.addend.denominator)
    factor, added = int(multiplier * bottom), int(point.addend * bottom)
    finish = _whole if point.counter else _divide
    if point.type not in FLOATS:
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


def exponent_in(point: RegisterPoint, registers: Sequence[int]) -> int | None:
    """The exponent that stands beside the value; None where it is out of range, or the point has no `scale_from`."""
    if not point.scale_from:
        return None
    word = registers[point.scale_from.address - point.registers.start] & _scale_mask(point, point.scale_from)
    return _scale_words(point, point.scale_from).get(word)


def own_bits(point: RegisterPoint) -> list[int]:
    """Which bits of its registers, as they come, are the point's own: a mask for each; the others are other points'."""
    masks = [0] * words(point)
    at = _place_of_value(point)
    masks[at : at + REGISTER_COUNT[point.type]] = _value_masks(point)
    if point.scale_from:
        masks[point.scale_from.address - point.registers.start] |= _scale_mask(point, point.scale_from)
    return masks


def _value_masks(point: RegisterPoint) -> list[int]:
    if point.table in BIT_TABLES:
        return [1]
    if point.type == "bool":
        return [1 << _bit_on_the_wire(point)]
    if point.bits:
        return _split(point, _field(*point.bits))
    return [_WORD] * REGISTER_COUNT[point.type]


def encode(point: RegisterPoint, value: Value, *, exponent: int | None = None) -> list[int]:
    """The words of `point.registers` that hold `value`, rounded to what they can hold; bits that are not its own are 0.

    None becomes the first pattern of `point.missing`, or NaN. Raises ValueError for a value the registers cannot hold.
    `exponent` is the scale factor that is written beside it, for points with `scale_from`; else that one's usual.
    """
    scale = point.scale_from
    if not scale:
        return _encode_value(point, value, Fraction(1))
    power = scale.usual if exponent is None else exponent
    held = [0] * words(point)
    held[scale.address - point.registers.start] = _scale_word(point, scale, power)
    at = _place_of_value(point)
    for index, word in enumerate(_encode_value(point, value, Fraction(10) ** power), at):
        held[index] |= word
    return held


def _encode_value(point: RegisterPoint, value: Value, power: Fraction) -> list[int]:
    if value is None:
        return _split(point, _missing_pattern(point))
    if not math.isfinite(value):
        raise ValueError(f"{point.name}: {value} is not a finite number")
    if point.type == "bool":
        return [int(value != 0) << _bit_on_the_wire(point)]
    pattern = _to_pattern(point, value, power)
    if pattern is None:
        raise ValueError(f"{point.name}: {value} {point.quantity.unit} does not fit into {point.type}")
    return _split(point, pattern << point.bits[0] if point.bits else pattern)


def _split(point: RegisterPoint, pattern: int) -> list[int]:
    high_first = [pattern >> 16 * index & _WORD for index in reversed(range(REGISTER_COUNT[point.type]))]
    ordered = high_first if point.word_order == "high_first" else high_first[::-1]
    return [_on_the_wire(point, word) for word in ordered]


def _on_the_wire(point: RegisterPoint, word: int) -> int:
    """A register as it comes: its bytes may be turned round."""
    return word if point.byte_order == "high_first" else word >> 8 | (word & 0xFF) << 8


def _bit_on_the_wire(point: RegisterPoint) -> int:
    bit = point.bit or 0
    return bit if point.byte_order == "high_first" else (bit + 8) % 16


def _field(first: int, last: int) -> int:
    """A mask of the bits from first to last."""
    return (1 << last + 1) - (1 << first)


def _scale_word(point: RegisterPoint, scale: ScaleFrom, exponent: int) -> int:
    found = [word for word, power in _scale_words(point, scale).items() if power == exponent]
    if not found:
        raise ValueError(f"{point.name}: {exponent} does not fit into its scale factor")
    return found[0]


def _scale_words(point: RegisterPoint, scale: ScaleFrom) -> dict[int, int]:
    """What the register of a scale factor may hold, of the bits that are its own, and the exponent that means.

    A whole register has a sign (two's complement), a field of bits has none.
    """
    if scale.bits is None:
        return {_on_the_wire(point, exponent * scale.sign & _WORD): exponent for exponent in EXPONENTS}
    first, last = scale.bits
    numbers = range(1 << last - first + 1)
    return {
        _on_the_wire(point, number << first): number * scale.sign
        for number in numbers
        if number * scale.sign in EXPONENTS
    }


def _scale_mask(point: RegisterPoint, scale: ScaleFrom) -> int:
    return _WORD if scale.bits is None else _on_the_wire(point, _field(*scale.bits))


def _to_pattern(point: RegisterPoint, value: float | int, power: Fraction) -> int | None:
    """The unsigned pattern of a value; None when it does not fit."""
    if point.type in FLOATS:
        return _to_float_pattern(point, value, power)
    raw = _listed(point, value) if point.true_for else round(_raw(point, value, power))
    if raw is None or (point.enum and raw not in point.enum):
        return None
    bits = point.width
    if point.type == "sign_magnitude16":
        return raw if 0 <= raw < 1 << 15 else (1 << 15) - raw if -(1 << 15) < raw < 0 else None
    if point.type.startswith("bcd"):
        return int(str(raw), 16) if 0 <= raw < 10 ** (bits // 4) else None
    lowest = -(1 << (bits - 1)) if point.type.startswith("int") else 0
    return raw % (1 << bits) if lowest <= raw < lowest + (1 << bits) else None


def _to_float_pattern(point: RegisterPoint, value: float | int, power: Fraction) -> int | None:
    is_plain = (point.multiplier * power, point.addend) == (Fraction(1), Fraction(0))
    try:
        number = float(value if is_plain else _raw(point, value, power))
        return int.from_bytes(struct.pack(f">{FLOATS[point.type]}", number), "big")
    except OverflowError:
        return None


def _listed(point: RegisterPoint, value: float | int) -> int | None:
    """The first number of the list that stands for this state of a contact."""
    return next((raw for raw in point.enum if (raw in point.true_for) == bool(value)), None)


def _raw(point: RegisterPoint, value: float | int, power: Fraction) -> Fraction:
    """The exact raw number of a value."""
    return (Fraction(value) - point.addend) / (point.multiplier * power)


def _missing_pattern(point: RegisterPoint) -> int:
    if point.missing:
        return point.missing[0] << (point.bits[0] if point.bits else 0)
    if point.type in FLOATS:
        return int.from_bytes(struct.pack(f">{FLOATS[point.type]}", math.nan), "big")
    raise ValueError(f'{point.name}: {point.type} has no pattern for "no value": the profile lists none in missing')
