"""Device profiles: what a device model measures and where it is read. A device is data, never a class.

A profile is one YAML file, `firmware_configs/profiles/<kind>/<profile>.yaml`; the quantities its points may measure
are in `firmware_configs/quantities.yaml`. Loading checks everything; errors are `ConfigError`.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge.contract.config_file import (
    CheckedModel,
    ConfigError,
    ConfigModel,
    Key,
    Misfit,
    Problem,
    nearest,
    read_document,
)
from edge.contract.forms import Id
from edge.contract.points import Point, RegisterPoint, ScaleFrom, not_one_of
from edge.contract.quantities import Quantity, QuantityFile, config_folder, quantities, quantity_of
from edge.contract.registers import BIT_TABLES, REGISTER_COUNT, Order, RegisterType, Table
from edge.contract.signatures import Signature

__all__ = [
    "BIT_TABLES",
    "REGISTER_COUNT",
    "REVERSED",
    "DeviceProfile",
    "GatewayProfile",
    "IllegalRange",
    "ModbusProfile",
    "Order",
    "Point",
    "Quantity",
    "QuantityFile",
    "Reads",
    "RegisterPoint",
    "RegisterType",
    "ScaleFrom",
    "Setting",
    "Signature",
    "Source",
    "Table",
    "config_folder",
    "load_profile",
    "profile_names",
    "quantities",
    "quantity_of",
]


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
    max_gap: int = Field(
        default=0, ge=0, le=124, description="Most unused registers in a row that a request may read along, if it pays."
    )
    pause_ms: int = Field(default=0, ge=0, le=10_000, description="Quiet time between two requests.")
    turnaround_ms: int = Field(
        default=5, ge=0, le=1000, description="How long it usually takes to answer; for planning, nothing waits for it."
    )
    illegal: tuple[IllegalRange, ...] = Field(default=(), description="Ranges that must not be read.")


class Setting(ConfigModel):
    """A number that only the site knows: the ratio of its transformers, the height that a sensor hangs at."""

    unit: str = Field(default="1", description="Its unit; of one that is added, one of the point's quantity.")
    range: tuple[Decimal, Decimal] = Field(description="Lowest and highest number it may have.")
    default: Decimal | None = Field(default=None, description="Holds when gateway.yaml says nothing; none: it must.")
    example: Decimal = Field(description="A usual number, for simulated devices and the profile's page.")
    zh: str = Field(description="Chinese label, with what it is measured from.")
    en: str = Field(description="English label, with what it is measured from.")
    whole: bool = Field(default=False, description="Whether it must be a whole number.")

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
        if self.whole and number % 1:
            return "must be a whole number"
        return "" if low <= number <= high else f"must be {low} to {high}{'' if self.unit == '1' else f' {self.unit}'}"


REVERSED = "reversed"
"""The setting of every profile that has points which depend on how the meter is mounted."""
_REVERSED_SETTING = Setting(
    range=(Decimal(0), Decimal(1)),
    default=Decimal(0),
    example=Decimal(1),
    zh="装反填 1：功率和电流取反，正反向电能互换",
    en="1 where the meter is mounted the wrong way round: turns powers and currents, swaps import and export",
    whole=True,
)


class DeviceProfile(CheckedModel):
    """One device model."""

    profile: Id = Field(description="The file's name without .yaml.")
    maker: str = Field(description="As on the device; sold by several makers, where nobody knows who makes it.")
    model: str = Field(description="As on the device, with what tells it from others of its name.")
    kind: Id = Field(description="Kind of device, the folder's name: electricity_meter, gateway.")
    protocol: Literal["modbus", "gateway", "camera"] = Field(
        description="How it is read; gateway, camera: health that the gateway tells of itself or of a camera."
    )
    source: Source = Field(description="Where the register map comes from.")
    points: tuple[Point, ...] = Field(min_length=1, description="What it measures.")

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
    settings: dict[Id, Setting] = Field(
        default_factory=dict, validate_default=True, description="What gateway.yaml says of the site."
    )
    reads: Reads = Field(default=Reads(), description="How the device wants to be read.")
    signature: tuple[Signature, ...] = Field(default=(), description="What tells this model from others.")
    discovery: Literal["sunspec"] | None = Field(
        default=None, description="sunspec: addresses count from the header of a SunSpec model, which is looked for."
    )
    model_ids: tuple[int, ...] = Field(default=(), description="Of discovery: which models it may be; the first found.")
    points: tuple[RegisterPoint, ...] = Field(min_length=1, description="What it measures, and where.")

    @property
    def extent(self) -> int:
        """How many registers there must be from the address that a profile with discovery counts from."""
        return max(point.registers.stop for point in self.points)

    def at(self, address: int) -> "ModbusProfile":
        """A profile with discovery as it holds for a device whose model's header stands at this address.

        Raises ValueError when its registers would not end below 0x10000.
        """
        if address + self.extent > 0x10000:
            raise ValueError(f"{self.profile}: does not fit behind address {address:#06x}")
        points = tuple(_moved(point, address) for point in self.points)
        illegal = tuple(
            each.model_copy(update={"first": each.first + address, "last": each.last + address})
            for each in self.reads.illegal
        )
        reads = self.reads.model_copy(update={"illegal": illegal})
        return self.model_copy(update={"points": points, "reads": reads, "discovery": None, "model_ids": ()})

    @field_validator("settings")
    @classmethod
    def _with_reversed(cls, settings: dict[str, Setting], info: ValidationInfo) -> dict[str, Setting]:
        """A profile with points that can be mounted backwards asks whether they are, without saying so."""
        if REVERSED in settings:
            raise ValueError(f"{REVERSED} comes by itself: say which points are reversible, or what they swap with")
        points: tuple[RegisterPoint, ...] = info.data.get("points", ())
        can_be_reversed = any(point.reversible or point.swaps_with for point in points)
        return {**settings, REVERSED: _REVERSED_SETTING} if can_be_reversed else settings

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
        if numbers.get(REVERSED):
            points = _turned_round(points)
        return self.model_copy(update={"points": points, "settings": {}})

    def setting_faults(self, values: Mapping[str, Decimal]) -> Iterator[tuple[Key, str]]:
        """What is wrong with a site's numbers, each with its key."""
        for name, number in values.items():
            if name == REVERSED and name not in self.settings:
                yield (name,), f"{self.profile} has no points that depend on how the meter is mounted"
            elif name not in self.settings:
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
            if len(point.value_registers) > self.reads.max_registers:
                yield ("points", index), f"{point.type} is wider than reads.max_registers {self.reads.max_registers}"
            elif len(point.registers) > self.reads.max_registers:
                yield ("points", index, "scale_from", "address"), _too_far(self.reads.max_registers)
            for taboo in self.reads.illegal:
                if point.table == taboo.table and _overlap(point.registers, range(taboo.first, taboo.last + 1)):
                    yield ("points", index, "address"), "inside a range of reads.illegal"
            for other in self.points[:index]:
                if _clash(point, other):
                    yield ("points", index, "address"), f"overlaps the registers of {other.name}"
        yield from self._scale_problems()
        yield from self._swap_problems()
        yield from self._identity_problems()
        for index, taboo in enumerate(self.reads.illegal):
            if taboo.last < taboo.first:
                yield ("reads", "illegal", index, "last"), "must not be less than first"

    def _scale_problems(self) -> Iterator[tuple[Key, str]]:
        scales: dict[tuple[Table, int], RegisterPoint] = {}
        for index, point in enumerate(self.points):
            if scale := point.scale_from:
                first = scales.setdefault((point.table, scale.address), point)
                if first.scale_from and first.scale_from.bits == scale.bits and first.scale_from != scale:
                    yield ("points", index, "scale_from"), f"is not what {first.name} says of the same register"

    def _identity_problems(self) -> Iterator[tuple[Key, str]]:
        """Whether what tells the model from others can be read."""
        for index, mark in enumerate(self.signature):
            key: Key = ("signature", index)
            if len(mark.registers) > self.reads.max_registers:
                yield key, f"is wider than reads.max_registers {self.reads.max_registers}"
            for taboo in self.reads.illegal:
                if mark.table == taboo.table and _overlap(mark.registers, range(taboo.first, taboo.last + 1)):
                    yield (*key, "address"), "inside a range of reads.illegal"
        if bool(self.discovery) != bool(self.model_ids):
            yield ("model_ids",), "missing: say which models" if self.discovery else "only with discovery"
        if self.discovery and self.signature:
            yield ("signature",), "not with discovery: the model's id tells what it is"
        for index, point in enumerate(self.points):
            if self.discovery and point.table != "holding":
                yield ("points", index, "table"), "must be holding: SunSpec devices have no other"

    def _swap_problems(self) -> Iterator[tuple[Key, str]]:
        names = {point.name: point for point in self.points}
        taken: dict[str, str] = {}
        for index, point in enumerate(self.points):
            if point.swaps_with is None:
                continue
            key: Key = ("points", index, "swaps_with")
            other = names.get(point.swaps_with)
            if other is None or other is point:
                yield key, f'"{point.swaps_with}" is not another point of the profile{nearest(point.swaps_with, names)}'
            elif (other.quantity.unit, other.counter) != (point.quantity.unit, point.counter):
                yield key, f"{other.name} does not measure the same: it is in {other.quantity.unit}"
            for one, partner in ((point.name, point.swaps_with), (point.swaps_with, point.name)):
                if taken.setdefault(one, partner) != partner:
                    yield key, f"{one} already swaps with {taken[one]}"

    def _setting_problems(self) -> Iterator[tuple[Key, str]]:
        used: set[str] = {REVERSED}
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
                yield ("settings", point.plus, "unit"), not_one_of(unit, point.quantity.units)
        yield from ((("settings", name), "no point uses it") for name in self.settings if name not in used)


class GatewayProfile(DeviceProfile):
    """The gateway itself, or a camera, as a device: the gateway tells their health, which is read from no registers."""

    protocol: Literal["gateway", "camera"]


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


def _turned_round(points: tuple[RegisterPoint, ...]) -> tuple[RegisterPoint, ...]:
    """The points of a meter that is mounted backwards: signs turned, and the registers of pairs exchanged."""
    named = {point.name: point for point in points}
    pairs = {point.name: point.swaps_with for point in points if point.swaps_with}
    pairs |= {other: name for name, other in pairs.items()}
    return tuple(_backwards(point, named[pairs.get(point.name, point.name)]) for point in points)


def _backwards(point: RegisterPoint, other: RegisterPoint) -> RegisterPoint:
    """What a point is there: `other`, under its own name and labels, or itself with the other sign."""
    if other is not point:
        own = {"name": point.name, "zh": point.zh, "en": point.en, "swaps_with": None}
        return RegisterPoint.model_validate({**other.model_dump(), **own})
    if not point.reversible:
        return point
    span = point.span and (-point.span[1], -point.span[0])
    changes = {"scale": -point.scale, "offset": -point.offset, "span": span}
    return RegisterPoint.model_validate({**point.model_dump(), **changes})


def _moved(point: RegisterPoint, distance: int) -> RegisterPoint:
    """A point that many registers further on."""
    changes: dict[str, object] = {"address": point.address + distance}
    if point.scale_from:
        changes["scale_from"] = {**point.scale_from.model_dump(), "address": point.scale_from.address + distance}
    return RegisterPoint.model_validate({**point.model_dump(), **changes})


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _clash(one: RegisterPoint, other: RegisterPoint) -> bool:
    """Two points may share a register only as different bits of it; scale factors may be read for several."""
    different_bits = one.field and other.field and not _overlap(one.field, other.field)
    return one.table == other.table and _overlap(one.value_registers, other.value_registers) and not different_bits


def _too_far(most: int) -> str:
    return f"more than reads.max_registers {most} lie between the value and its scale factor: they are read together"


_MODELS: Mapping[object, type[DeviceProfile]] = {
    "modbus": ModbusProfile,
    "gateway": GatewayProfile,
    "camera": GatewayProfile,
}


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
