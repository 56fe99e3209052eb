"""Points: one value that a device offers, its quantity, and where it stands in the registers.

The quantities that a point may measure are in `firmware_configs/quantities.yaml`.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Literal

from pydantic import Field, field_validator

from edge.contract.config_file import CheckedModel, ConfigModel, Key, nearest
from edge.contract.forms import Id
from edge.contract.quality_config import QualityChoice
from edge.contract.quantities import Quantity, quantities, quantity_of
from edge.contract.readings import is_reserved
from edge.contract.registers import BIT_TABLES, FLOATS, REGISTER_COUNT, Decoder, Order, RegisterType, Table, decoder


class Point(CheckedModel):
    """One value a device offers. `span`, `deadband` and `resolution` are in the quantity's unit."""

    name: Id = Field(description="Begins with its quantity: voltage_l1, depth.")
    unit: str = Field(description="The unit the device gives: the quantity's own or one it accepts.")
    counter: bool = Field(default=False, description="Said for quantities of type counter, and only for them.")
    span: tuple[float, float] | None = Field(
        default=None, description="Lowest and highest value the sensor can measure; outside is flagged 4."
    )
    deadband: float = Field(default=0.0, ge=0, description="Changes up to this are not sent (report by exception).")
    resolution: float | None = Field(default=None, gt=0, description="Smallest step the device can show.")
    quality: QualityChoice = Field(
        default=QualityChoice(), description="What is known of how it behaves; see quality.yaml."
    )
    zh: str = Field(default="", description="Chinese label; the quantity's when empty.")
    en: str = Field(default="", description="English label; the quantity's when empty.")

    @field_validator("name")
    @classmethod
    def _has_quantity(cls, name: str) -> str:
        quantity_of(name)
        if is_reserved(name):
            raise ValueError(f'"{name}": a name that ends so is kept for flags and failed values')
        return name

    def _problems(self) -> Iterator[tuple[Key, str]]:
        quantity = self.quantity
        if self.unit not in quantity.units:
            yield ("unit",), not_one_of(self.unit, quantity.units)
        if self.counter != (quantity.type == "counter"):
            yield ("counter",), f"{self.quantity_name} is {'' if quantity.type == 'counter' else 'not '}a counter"
        if quantity.type == "number" and self.span is None and not self._is_listed:
            yield ("span",), "missing: say the lowest and highest value the sensor can measure"
        if self.span is not None and not self.span[0] < self.span[1]:
            yield ("span",), "the first number must be less than the second"

    @property
    def _is_listed(self) -> bool:
        """Whether its numbers are words of a list: such have no span."""
        return False

    @cached_property
    def quantity_name(self) -> str:
        """The quantity this point measures: the longest one its name begins with."""
        return quantity_of(self.name)

    @cached_property
    def quantity(self) -> Quantity:
        """The quantity this point measures; values are in `point.quantity.unit`."""
        return quantities()[self.quantity_name]


class ScaleFrom(ConfigModel):
    """A register in the same table that says by which power of ten a value is to be multiplied, now."""

    address: int = Field(ge=0, le=0xFFFF, description="Counted as the point's own; read in the same request as it.")
    bits: tuple[int, int] | None = Field(
        default=None, description="First and last bit of that register, where it holds more; 0 is the lowest."
    )
    sign: Literal[1, -1] = Field(default=1, description="1: the register is the exponent; -1: the number of decimals.")
    usual: int = Field(default=0, ge=-10, le=10, description="The exponent that a simulated device has.")


class RegisterPoint(Point):
    """A point at a Modbus address."""

    table: Table = Field(description="input: function 4, holding: 3, coil: 1, discrete: 2.")
    address: int = Field(ge=0, le=0xFFFF, description="Counted from 0, as sent on the wire; hex is allowed.")
    type: RegisterType = Field(description="What the registers hold. sign_magnitude16: top bit is the sign.")
    word_order: Order = Field(default="high_first", description="Which register of a wide value comes first.")
    byte_order: Order = Field(default="high_first", description="Which byte of each register comes first.")
    bit: int | None = Field(default=None, ge=0, le=15, description="Bit of a register, for type bool in a register.")
    bits: tuple[int, int] | None = Field(
        default=None, description="First and last bit of the value in its register, for type uint16; 0 is the lowest."
    )
    scale: Decimal = Field(default=Decimal(1), description="Exact decimal: value = raw x scale + offset, in `unit`.")
    scale_from: ScaleFrom | None = Field(default=None, description="A power of ten that the device says at run time.")
    offset: Decimal = Field(default=Decimal(0), description="Exact decimal, in `unit`.")
    missing: tuple[int, ...] = Field(default=(), description='Raw patterns that mean "no value", as unsigned numbers.')
    enum: dict[int, str] = Field(
        default_factory=dict, description='Raw numbers and what they mean; any other number is "no value".'
    )
    true_for: tuple[int, ...] = Field(default=(), description="Of a contact: the numbers of enum that make it 1.")
    wraps_at: int | None = Field(
        default=None, ge=1, description="Of a counter: the highest raw number, after which it is at 0 again."
    )
    times: tuple[Id, ...] = Field(default=(), description="Settings of the site that the value is multiplied by.")
    plus: Id | None = Field(default=None, description="Setting of the site that is added to the value.")
    reversible: bool = Field(
        default=False, description="Its sign turns where the meter is mounted the wrong way round."
    )
    swaps_with: Id | None = Field(
        default=None, description="The point that it changes places with there; said on one of the two."
    )

    @cached_property
    def multiplier(self) -> Fraction:
        """Exact factor from the raw number to the quantity's unit; without what `scale_from` says."""
        return Fraction(self.scale) * self.quantity.factor(self.unit)

    @cached_property
    def addend(self) -> Fraction:
        """What is added after that, exact, in the quantity's unit."""
        return Fraction(self.offset) * self.quantity.factor(self.unit)

    @cached_property
    def decode(self) -> Decoder:
        """What makes a value of the words that were read."""
        return decoder(self)

    @cached_property
    def registers(self) -> range:
        """The addresses (or bit addresses) that are read for this point, in one request: `scale_from` is among them."""
        own = self.value_registers
        if self.scale_from is None:
            return own
        return range(min(own.start, self.scale_from.address), max(own.stop, self.scale_from.address + 1))

    @property
    def value_registers(self) -> range:
        """The addresses that the value itself takes up."""
        return range(self.address, self.address + REGISTER_COUNT[self.type])

    @property
    def width(self) -> int:
        """How many bits the raw number has."""
        return self.bits[1] - self.bits[0] + 1 if self.bits else 16 * REGISTER_COUNT[self.type]

    @property
    def field(self) -> range:
        """The bits that it takes up of a register that it may share with others; empty for a point that shares none."""
        if self.bits:
            return range(self.bits[0], self.bits[1] + 1)
        return range(0) if self.bit is None else range(self.bit, self.bit + 1)

    @cached_property
    def modulus(self) -> int | None:
        """What a counter has counted when it is at 0 again, in the quantity's unit; None where nobody knows.

        A counter of 16 or 32 bits goes up to its last number where the profile does not say less.
        """
        if not self.counter or self.scale_from or self.type in FLOATS:
            return None
        if self.wraps_at is not None:
            return round((self.wraps_at + 1) * self.multiplier)
        is_decimal = self.type.startswith("bcd")
        numbers = 10 ** (self.width // 4) if is_decimal else 1 << self.width
        return round(numbers * self.multiplier) if self.width <= 32 else None

    def _problems(self) -> Iterator[tuple[Key, str]]:
        yield from super()._problems()
        yield from self._register_problems()
        yield from self._bit_problems()
        yield from self._enum_problems()
        if self.reversible and (self.quantity.type != "number" or self.enum or self.swaps_with):
            yield ("reversible",), "only for numbers with a sign; counters say swaps_with"
        if self.scale_from:
            yield from self._scale_problems(self.scale_from)
        if self.wraps_at is not None:
            if not self.counter or self.type in FLOATS or self.scale_from:
                yield ("wraps_at",), "only for a counter of whole numbers without scale_from"
            elif self.wraps_at >= 1 << self.width:
                yield ("wraps_at",), f"must be a number of {self.width} bits"

    def _bit_problems(self) -> Iterator[tuple[Key, str]]:
        is_bit_table = self.table in BIT_TABLES
        if is_bit_table and self.type != "bool":
            yield ("type",), f"a {self.table} holds one bit: type must be bool"
        if self.type == "bool" and not is_bit_table and self.bit is None:
            yield ("bit",), "missing: say which bit of the register"
        if self.bit is not None and (is_bit_table or self.type != "bool"):
            yield ("bit",), "only for type bool in an input or holding register"
        if self.bits and self.type != "uint16":
            yield ("bits",), "only for type uint16"
        if self.bits and (fault := _field_fault(self.bits)):
            yield ("bits",), fault

    def _register_problems(self) -> Iterator[tuple[Key, str]]:
        if self.value_registers[-1] > 0xFFFF:
            yield ("address",), f"{self.type} does not fit below address 0x10000"
        if self.scale == 0:
            yield ("scale",), "must not be 0"
        if self.type == "bool" and (not self._is_raw or self.missing):
            yield ("type",), "a bool has no scale, scale_from, offset, missing, times or plus"
        for index, pattern in enumerate(self.missing):
            if not 0 <= pattern < 1 << self.width:
                yield ("missing", index), f"must be an unsigned number of {self.width} bits"

    @property
    def _is_listed(self) -> bool:
        return bool(self.enum)

    @property
    def _is_raw(self) -> bool:
        """Whether the raw number is the value, whatever device and site say."""
        return self.multiplier == 1 and not (self.offset or self.scale_from or self.times or self.plus)

    def _scale_problems(self, scale: ScaleFrom) -> Iterator[tuple[Key, str]]:
        if scale.address in self.value_registers:
            yield ("scale_from", "address"), "is a register of the value itself"
        if scale.bits and (fault := _field_fault(scale.bits)):
            yield ("scale_from", "bits"), fault
        elif scale.bits and not 0 <= scale.usual * scale.sign < 1 << (scale.bits[1] - scale.bits[0] + 1):
            yield ("scale_from", "usual"), "does not fit into the bits: they have no sign"

    def _enum_problems(self) -> Iterator[tuple[Key, str]]:
        if self.enum and (self.type in FLOATS or self.type == "bool"):
            yield ("enum",), f"only for whole numbers, not for {self.type}"
        if self.enum and not self._is_raw:
            yield ("enum",), "numbers that are listed have no scale, scale_from, offset, times or plus"
        is_contact = self.quantity.type == "contact"
        if self.true_for and not (self.enum and is_contact):
            yield ("true_for",), "only for a contact with enum"
        elif self.enum and is_contact and not self.true_for:
            yield ("true_for",), f"missing: say which numbers of enum make {self.quantity_name} 1"
        for index, number in enumerate(self.true_for):
            if number not in self.enum:
                yield ("true_for", index), f"{number} is not in enum"
        if self.enum and set(self.enum) <= set(self.true_for):
            yield ("true_for",), "must leave a number of enum for 0"


def _field_fault(bits: tuple[int, int]) -> str:
    """Why these cannot be the first and the last bit of a field; empty when they can."""
    return "" if 0 <= bits[0] <= bits[1] <= 15 else "must be the first and the last bit, 0 to 15"


def not_one_of(word: str, choices: Sequence[str]) -> str:
    """Say that a word is none of these, and which is nearest."""
    return f'"{word}" is not one of {", ".join(choices)}{nearest(word, choices)}'
