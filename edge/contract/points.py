"""Points: one value that a device offers, its quantity, and where it stands in the registers.

The quantities that a point may measure are in `firmware_configs/quantities.yaml`.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from edge.contract.config_file import ConfigModel, Key, Misfit, load_yaml, nearest
from edge.contract.forms import Id
from edge.contract.readings import is_reserved
from edge.contract.registers import BIT_TABLES, REGISTER_COUNT, Decoder, Order, RegisterType, Table, decoder


class Quantity(ConfigModel):
    """A physical kind of value: its one unit, and the register units that are brought to it."""

    unit: str = Field(description="The one unit inside the program and in the store.")
    type: Literal["number", "counter", "contact"] = Field(
        description="number: 64-bit float; counter: 64-bit integer that only grows; contact: 0.0 or 1.0."
    )
    accepts: dict[str, Decimal] = Field(default_factory=dict, description="Register unit: factor to the quantity's.")
    zh: str = Field(description="Chinese label.")
    en: str = Field(description="English label.")

    @property
    def units(self) -> list[str]:
        """Every unit that a value of this quantity may be given in, its own first."""
        return [self.unit, *self.accepts]

    def factor(self, unit: str) -> Fraction:
        """Exact factor from one of `units` to the quantity's own."""
        return Fraction(self.accepts.get(unit, Decimal(1)))


class QuantityFile(ConfigModel):
    """The whole of quantities.yaml."""

    quantities: dict[Id, Quantity] = Field(description="By name; a point's name begins with its quantity.")


class Point(ConfigModel):
    """One value a device offers. `span`, `deadband` and `resolution` are in the quantity's unit."""

    name: Id = Field(description="Begins with its quantity: voltage_l1, depth.")
    unit: str = Field(description="The unit the device gives: the quantity's own or one it accepts.")
    counter: bool = Field(default=False, description="Said for quantities of type counter, and only for them.")
    span: tuple[float, float] | None = Field(
        default=None, description="Lowest and highest value the sensor can measure; outside is flagged 4."
    )
    deadband: float = Field(default=0.0, ge=0, description="Changes up to this are not sent (report by exception).")
    resolution: float | None = Field(default=None, gt=0, description="Smallest step the device can show.")
    zh: str = Field(default="", description="Chinese label; the quantity's when empty.")
    en: str = Field(default="", description="English label; the quantity's when empty.")

    @field_validator("name")
    @classmethod
    def _has_quantity(cls, name: str) -> str:
        quantity_of(name)
        if is_reserved(name):
            raise ValueError(f'"{name}": a name that ends so is kept for flags and failed values')
        return name

    @model_validator(mode="after")
    def _fits_quantity(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise Misfit(problems)
        return self

    def _problems(self) -> Iterator[tuple[Key, str]]:
        quantity = self.quantity
        if self.unit not in quantity.units:
            yield ("unit",), not_one_of(self.unit, quantity.units)
        if self.counter != (quantity.type == "counter"):
            yield ("counter",), f"{self.quantity_name} is {'' if quantity.type == 'counter' else 'not '}a counter"
        if quantity.type == "number" and self.span is None:
            yield ("span",), "missing: say the lowest and highest value the sensor can measure"
        if self.span is not None and not self.span[0] < self.span[1]:
            yield ("span",), "the first number must be less than the second"

    @cached_property
    def quantity_name(self) -> str:
        """The quantity this point measures: the longest one its name begins with."""
        return quantity_of(self.name)

    @cached_property
    def quantity(self) -> Quantity:
        """The quantity this point measures; values are in `point.quantity.unit`."""
        return quantities()[self.quantity_name]


class RegisterPoint(Point):
    """A point at a Modbus address."""

    table: Table = Field(description="input: function 4, holding: 3, coil: 1, discrete: 2.")
    address: int = Field(ge=0, le=0xFFFF, description="Counted from 0, as sent on the wire; hex is allowed.")
    type: RegisterType = Field(description="What the registers hold. sign_magnitude16: top bit is the sign.")
    word_order: Order = Field(default="high_first", description="Which register of a wide value comes first.")
    byte_order: Order = Field(default="high_first", description="Which byte of each register comes first.")
    bit: int | None = Field(default=None, ge=0, le=15, description="Bit of a register, for type bool in a register.")
    scale: Decimal = Field(default=Decimal(1), description="Exact decimal: value = raw x scale + offset, in `unit`.")
    offset: Decimal = Field(default=Decimal(0), description="Exact decimal, in `unit`.")
    missing: tuple[int, ...] = Field(default=(), description='Raw patterns that mean "no value", as unsigned numbers.')
    times: tuple[Id, ...] = Field(default=(), description="Settings of the site that the value is multiplied by.")
    plus: Id | None = Field(default=None, description="Setting of the site that is added to the value.")

    @cached_property
    def multiplier(self) -> Fraction:
        """Exact factor from the raw number to the quantity's unit."""
        return Fraction(self.scale) * self.quantity.factor(self.unit)

    @cached_property
    def addend(self) -> Fraction:
        """What is added after that, exact, in the quantity's unit."""
        return Fraction(self.offset) * self.quantity.factor(self.unit)

    @cached_property
    def decode(self) -> Decoder:
        """What makes a value of the words that were read."""
        return decoder(self)

    @property
    def registers(self) -> range:
        """The addresses (or bit addresses) this point takes up."""
        return range(self.address, self.address + REGISTER_COUNT[self.type])

    def _problems(self) -> Iterator[tuple[Key, str]]:
        yield from super()._problems()
        yield from self._register_problems()
        is_bit_table = self.table in BIT_TABLES
        if is_bit_table and self.type != "bool":
            yield ("type",), f"a {self.table} holds one bit: type must be bool"
        if self.type == "bool" and not is_bit_table and self.bit is None:
            yield ("bit",), "missing: say which bit of the register"
        if self.bit is not None and (is_bit_table or self.type != "bool"):
            yield ("bit",), "only for type bool in an input or holding register"

    def _register_problems(self) -> Iterator[tuple[Key, str]]:
        bits = 16 * REGISTER_COUNT[self.type]
        if self.registers[-1] > 0xFFFF:
            yield ("address",), f"{self.type} does not fit below address 0x10000"
        if self.scale == 0:
            yield ("scale",), "must not be 0"
        if self.type == "bool" and (self.multiplier != 1 or self.offset or self.missing or self.times or self.plus):
            yield ("type",), "a bool has no scale, offset, missing, times or plus"
        for index, pattern in enumerate(self.missing):
            if not 0 <= pattern < 1 << bits:
                yield ("missing", index), f"must be an unsigned number of {bits} bits"


def config_folder() -> Path:
    """The folder `firmware_configs`, in a checkout as in an installed package."""
    return Path(str(files("firmware_configs").joinpath("quantities.yaml"))).parent


@cache
def quantities() -> Mapping[str, Quantity]:
    """Every quantity by name, from quantities.yaml. Raises ConfigError."""
    return load_yaml(config_folder() / "quantities.yaml", QuantityFile).quantities


def quantity_of(name: str) -> str:
    """The longest quantity that a point's name begins with: `voltage_l1` -> `voltage`. Raises ValueError."""
    found = [quantity for quantity in quantities() if name == quantity or name.startswith(f"{quantity}_")]
    if not found:
        hint = nearest(name, quantities()) or nearest(name.rpartition("_")[0], quantities())
        raise ValueError(f'"{name}" does not begin with a quantity of quantities.yaml{hint}')
    return max(found, key=len)


def not_one_of(word: str, choices: Sequence[str]) -> str:
    """Say that a word is none of these, and which is nearest."""
    return f'"{word}" is not one of {", ".join(choices)}{nearest(word, choices)}'
