"""Device profiles: what a device model measures and where it is read. A device is data, never a class.

A profile is one YAML file, `firmware_configs/profiles/<kind>/<profile>.yaml`; the quantities its points may measure
are in `firmware_configs/quantities.yaml`. Loading checks everything; errors are `ConfigError`.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from edge.contract.config_file import ConfigError, ConfigModel, Key, Misfit, Problem, load_yaml, nearest, read_document
from edge.contract.forms import Id
from edge.contract.readings import is_reserved

Table = Literal["input", "holding", "coil", "discrete"]
RegisterType = Literal[
    "bool", "uint16", "int16", "sign_magnitude16", "uint32", "int32", "uint64", "int64", "float32", "float64"
]
Order = Literal["high_first", "low_first"]

BIT_TABLES: tuple[Table, ...] = ("coil", "discrete")
REGISTER_COUNT: Mapping[RegisterType, int] = {
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
            yield ("unit",), _not_one_of(self.unit, quantity.units)
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


class Source(ConfigModel):
    """Where a register map comes from, so that anyone can check it."""

    document: str = Field(min_length=11, description="Title of the document.")
    revision: str = Field(default="", description="Its revision or date.")
    origin: str = Field(min_length=11, description="Where it can be found in public.")
    checked: str = Field(min_length=11, description="What was compared with it, and what could not be confirmed.")


class IllegalRange(ConfigModel):
    """Addresses that the device refuses to be read, even inside a longer read."""

    table: Table = Field(description="Where they are.")
    first: int = Field(ge=0, le=0xFFFF, description="Counted from 0, as sent on the wire.")
    last: int = Field(ge=0, le=0xFFFF, description="The last one that is refused.")


class Reads(ConfigModel):
    """How the device wants to be read."""

    max_registers: int = Field(default=125, ge=1, le=125, description="Most registers in one request.")
    max_gap: int = Field(default=0, ge=0, le=124, description="Unused registers worth reading to save a request.")
    pause_ms: int = Field(default=0, ge=0, le=10_000, description="Quiet time between two requests.")
    illegal: tuple[IllegalRange, ...] = Field(default=(), description="Ranges that must not be read.")


class Setting(ConfigModel):
    """A number that only the site knows: the ratio of its transformers, the height that a sensor hangs at."""

    unit: str = Field(default="1", description="Its unit; of one that is added, one of the point's quantity.")
    range: tuple[Decimal, Decimal] = Field(description="Lowest and highest number it may have.")
    default: Decimal | None = Field(default=None, description="Holds when gateway.yaml says nothing; none: it must.")
    example: Decimal = Field(description="A usual number, for simulated devices and the profile's page.")
    zh: str = Field(description="Chinese label, with what it is measured from.")
    en: str = Field(description="English label, with what it is measured from.")

    @model_validator(mode="after")
    def _within_range(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise Misfit([(("range",), "the first number must be less than the second")])
        for key, number in (("default", self.default), ("example", self.example)):
            if number is not None and (fault := self.fault(number)):
                raise Misfit([((key,), fault)])
        return self

    @property
    def usual(self) -> Decimal:
        """The default; of one that gateway.yaml must give, the example."""
        return self.example if self.default is None else self.default

    def fault(self, number: Decimal) -> str:
        """Why it cannot be this number; empty when it can."""
        low, high = self.range
        return "" if low <= number <= high else f"must be {low} to {high}{'' if self.unit == '1' else f' {self.unit}'}"


class DeviceProfile(ConfigModel):
    """One device model."""

    profile: Id = Field(description="The file's name without .yaml.")
    maker: str = Field(description="As on the device; sold by several makers, where nobody knows who makes it.")
    model: str = Field(description="As on the device, with what tells it from others of its name.")
    kind: Id = Field(description="Kind of device, the folder's name: electricity_meter, gateway.")
    protocol: Literal["modbus", "gateway"] = Field(description="How it is read; gateway: the gateway's own health.")
    source: Source = Field(description="Where the register map comes from.")
    points: tuple[Point, ...] = Field(min_length=1, description="What it measures.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise Misfit(problems)
        return self

    def _problems(self) -> Iterator[tuple[Key, str]]:
        seen: dict[str, int] = {}
        for index, point in enumerate(self.points):
            if point.name in seen:
                yield ("points", index, "name"), f'"{point.name}" is already the name of points.{seen[point.name]}'
            seen.setdefault(point.name, index)

    def point(self, name: str) -> Point:
        """The point of that name. Raises KeyError."""
        return {point.name: point for point in self.points}[name]


class ModbusProfile(DeviceProfile):
    """A device model read by Modbus."""

    protocol: Literal["modbus"]
    settings: dict[Id, Setting] = Field(default_factory=dict, description="What gateway.yaml says of the site.")
    reads: Reads = Field(default=Reads(), description="How the device wants to be read.")
    points: tuple[RegisterPoint, ...] = Field(min_length=1, description="What it measures, and where.")

    def installed(self, values: Mapping[str, Decimal]) -> "ModbusProfile":
        """The profile as it holds at a site: every point with the site's numbers in its scale, offset, span and steps.

        A setting that `values` lacks, or that may not be what they say, has its usual number; `setting_faults` tells.
        """
        if not self.settings:
            return self
        numbers = {
            name: values[name] if name in values and not setting.fault(values[name]) else setting.usual
            for name, setting in self.settings.items()
        }
        points = tuple(_at_site(point, numbers, self.settings) for point in self.points)
        return self.model_copy(update={"points": points, "settings": {}})

    def setting_faults(self, values: Mapping[str, Decimal]) -> Iterator[tuple[Key, str]]:
        """What is wrong with a site's numbers, each with its key."""
        for name, number in values.items():
            if name not in self.settings:
                known = nearest(name, self.settings) or f" (it has {', '.join(self.settings) or 'none'})"
                yield (name,), f"{self.profile} has no such setting{known}"
            elif fault := self.settings[name].fault(number):
                yield (name,), f"{fault}, found {number}"
        for name, setting in self.settings.items():
            if name not in values and setting.default is None:
                yield (name,), f"missing: {setting.en}, such as {setting.example}"

    def _problems(self) -> Iterator[tuple[Key, str]]:
        yield from super()._problems()
        yield from self._setting_problems()
        for index, point in enumerate(self.points):
            if len(point.registers) > self.reads.max_registers:
                yield ("points", index), f"{point.type} is wider than reads.max_registers {self.reads.max_registers}"
            for taboo in self.reads.illegal:
                if point.table == taboo.table and _overlap(point.registers, range(taboo.first, taboo.last + 1)):
                    yield ("points", index, "address"), "inside a range of reads.illegal"
            for other in self.points[:index]:
                if _clash(point, other):
                    yield ("points", index, "address"), f"overlaps the registers of {other.name}"
        for index, taboo in enumerate(self.reads.illegal):
            if taboo.last < taboo.first:
                yield ("reads", "illegal", index, "last"), "must not be less than first"

    def _setting_problems(self) -> Iterator[tuple[Key, str]]:
        used: set[str] = set()
        for index, point in enumerate(self.points):
            key: Key = ("points", index)
            for name in (*point.times, *([point.plus] if point.plus else [])):
                used.add(name)
                if name not in self.settings:
                    at = "plus" if name == point.plus else "times"
                    yield (*key, at), f'"{name}" is not one of the profile\'s settings{nearest(name, self.settings)}'
            known = {name: self.settings[name] for name in (*point.times, point.plus) if name in self.settings}
            if any(known[name].range[0] <= 0 for name in point.times if name in known):
                yield (*key, "times"), "what a value is multiplied by must be above 0: mend the setting's range"
            if point.plus in known and (unit := known[point.plus].unit) not in point.quantity.units:
                yield ("settings", point.plus, "unit"), _not_one_of(unit, point.quantity.units)
        yield from ((("settings", name), "no point uses it") for name in self.settings if name not in used)


class GatewayProfile(DeviceProfile):
    """The gateway itself as a device: its health points are read from the operating system, not from registers."""

    protocol: Literal["gateway"]


def _at_site(point: RegisterPoint, numbers: Mapping[str, Decimal], settings: Mapping[str, Setting]) -> RegisterPoint:
    """A point with the site's numbers put in."""
    if not point.times and not point.plus:
        return point
    factor, moved = Fraction(1), Fraction(0)  # moved: in the quantity's unit
    for name in point.times:
        factor *= Fraction(numbers[name])
    if point.plus:
        moved = Fraction(numbers[point.plus]) * point.quantity.factor(settings[point.plus].unit)
    offset = Fraction(point.offset) * factor + moved / point.quantity.factor(point.unit)
    changes = {
        "scale": _decimal(Fraction(point.scale) * factor),
        "offset": _decimal(offset),
        "span": point.span and tuple(float(Fraction(end) * factor + moved) for end in point.span),
        "deadband": float(Fraction(point.deadband) * factor),
        "resolution": point.resolution and float(Fraction(point.resolution) * factor),
    }
    kept = point.model_dump(exclude={"times", "plus", *changes})
    return RegisterPoint.model_validate({**kept, **changes})


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def _not_one_of(word: str, choices: Sequence[str]) -> str:
    return f'"{word}" is not one of {", ".join(choices)}{nearest(word, choices)}'


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _clash(one: RegisterPoint, other: RegisterPoint) -> bool:
    """Two points may share a register only as different bits of it."""
    different_bits = one.bit is not None and other.bit is not None and one.bit != other.bit
    return one.table == other.table and _overlap(one.registers, other.registers) and not different_bits


_MODELS: Mapping[object, type[DeviceProfile]] = {"modbus": ModbusProfile, "gateway": GatewayProfile}


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


@cache
def _profile_paths() -> Mapping[str, Path]:
    return {path.stem: path for path in sorted((config_folder() / "profiles").glob("*/*.yaml"))}


def profile_names() -> list[str]:
    """Names of the profiles that come with Anlan, sorted."""
    return sorted(_profile_paths())


def load_profile(name_or_path: str | Path) -> DeviceProfile:
    """A profile by its name, or by the path of a file of your own (ending in .yaml).

    Returns a ModbusProfile or a GatewayProfile. Raises ConfigError for an unknown name and for every fault in the file.
    """
    if isinstance(name_or_path, Path) or name_or_path.endswith(".yaml"):
        return _read_profile(Path(name_or_path))
    path = _profile_paths().get(name_or_path)
    if path is None:
        reason = f'unknown profile "{name_or_path}"{nearest(name_or_path, profile_names())}'
        raise ConfigError([Problem(str(config_folder() / "profiles"), 0, "", reason)])
    return _read_profile(path)


@cache
def _read_profile(path: Path) -> DeviceProfile:
    document = read_document(path)
    profile = document.validate(_MODELS.get(document.value.get("protocol"), DeviceProfile))
    if profile.profile != path.stem:
        document.refuse([(("profile",), f'must be the name of the file, "{path.stem}"')])
    return profile
