"""A bus of several devices from a file: who is on it, how it is set, and what goes wrong when."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import Field

from edge.contract.buses import Baud, Framing, Parity
from edge.contract.config_file import ConfigError, ConfigModel, Document, Key, LocalPath, nearest, read_document
from edge.contract.profile import ModbusProfile
from simulators.device import NotModbusError, SimulatedDevice, load_modbus_profile
from simulators.faults import Draw, Fault, FaultError, FaultKind, FaultPlan, Spell
from simulators.plausible import Plausible
from simulators.serial_wire import SerialSettings
from simulators.serving import Place, Served

Over = Literal["serial", "rtu", "tcp", "tcp_without_ids"]
FRAMINGS: Final[dict[Over, Framing | None]] = {
    "serial": None,
    "rtu": "rtu",
    "tcp": "tcp",
    "tcp_without_ids": "tcp_without_ids",
}
CHANCE: Final = 0.1


class BusDevice(ConfigModel):
    """A device on the bus, which may be set otherwise than the others."""

    unit: int = Field(ge=1, le=247)
    profile: str
    hold: dict[str, float] = Field(default_factory=dict)
    settings: dict[str, Decimal] = Field(default_factory=dict)
    baud: Baud | None = None
    parity: Parity | None = None


class TimedFault(ConfigModel):
    """What is wrong with a unit, from one second of the bus to another."""

    unit: int
    fault: FaultKind
    number: float | None = None
    from_s: float = Field(default=0.0, ge=0)
    to_s: float | None = Field(default=None, gt=0)


class RandomFaults(ConfigModel):
    """Faults that come by themselves."""

    faults: list[FaultKind] = Field(min_length=1)
    chance: float = Field(default=CHANCE, gt=0, le=1)
    longest_s: float = Field(default=0.0, ge=0)
    seed: int = 1


class BusFile(ConfigModel):
    """The whole file."""

    over: Over = "serial"
    port: int = Field(default=5020, ge=0, le=65535)
    link: LocalPath | None = None
    baud: Baud = 9600
    parity: Parity = "none"
    stop_bits: Literal[1, 2] = 1
    turnaround_ms: float | None = Field(default=None, ge=0, le=1000)
    devices: list[BusDevice] = Field(min_length=1)
    faults: list[TimedFault] = Field(default_factory=list)
    random: RandomFaults | None = None

    @property
    def settings(self) -> SerialSettings:
        """How the line is set."""
        return SerialSettings(self.baud, self.parity, self.stop_bits)


class Bus(NamedTuple):
    """What a file says, ready to be served."""

    devices: list[Served]
    place: Place
    faults: FaultPlan


def load_bus(path: Path, *, seed: int = 1) -> Bus:
    """Read and check a file; raises ConfigError."""
    document = read_document(path)
    file = document.validate(BusFile)
    units = [device.unit for device in file.devices]
    document.refuse(list(_unit_problems(file, units)))
    served = [_served(document, index, device, seed) for index, device in enumerate(file.devices)]
    others = {
        device.unit: SerialSettings(device.baud or file.baud, device.parity or file.parity, file.stop_bits)
        for device in file.devices
    }
    turnaround_s = None if file.turnaround_ms is None else file.turnaround_ms / 1000
    place = Place(file.settings, FRAMINGS[file.over], file.port, file.link, turnaround_s, others)
    return Bus(served, place, _faults(file))


def _unit_problems(file: BusFile, units: list[int]) -> Iterator[tuple[Key, str]]:
    for index, unit in enumerate(units):
        if unit in units[:index]:
            yield ("devices", index, "unit"), f"unit {unit} is there twice: on a bus each has its own"
    for index, fault in enumerate(file.faults):
        try:
            Fault.of(fault.fault, fault.number)
        except FaultError as error:
            yield ("faults", index, "number"), str(error)
        if fault.unit not in units:
            yield ("faults", index, "unit"), f"no device has unit {fault.unit}; there are {', '.join(map(str, units))}"


def _served(document: Document, index: int, device: BusDevice, seed: int) -> Served:
    key: Key = ("devices", index)
    try:
        profile = load_modbus_profile(device.profile)
    except NotModbusError as error:
        raise ConfigError([document.problem((*key, "profile"), str(error))]) from None
    except ConfigError as error:  # of the profile's own file, which it names, or there is none
        problems = [one if one.line else document.problem((*key, "profile"), one.reason) for one in error.problems]
        raise ConfigError(problems) from None
    numbers = {name: setting.usual for name, setting in profile.settings.items()} | device.settings
    document.refuse([((*key, "settings", *below), fault) for below, fault in profile.setting_faults(numbers)])
    served = SimulatedDevice(profile, settings=numbers)
    document.refuse(list(_held_problems(served, key, device, profile)))
    return Served(device.unit, served, Plausible(served.profile, f"{seed}/{device.unit}"), device.hold, numbers)


def _held_problems(
    served: SimulatedDevice, key: Key, device: BusDevice, profile: ModbusProfile
) -> Iterator[tuple[Key, str]]:
    names = [point.name for point in profile.points]
    for name, value in device.hold.items():
        if name not in names:
            yield (*key, "hold", name), f"{device.profile} has no such point{nearest(name, names)}"
            continue
        try:
            served.set(name, value)
        except ValueError as error:
            yield (*key, "hold", name), str(error)


def _faults(file: BusFile) -> FaultPlan:
    spells = [
        Spell(one.unit, Fault.of(one.fault, one.number), one.from_s, math.inf if one.to_s is None else one.to_s)
        for one in file.faults
    ]
    at_random = file.random
    if at_random is None:
        return FaultPlan(spells)
    faults = tuple(map(Fault.of, at_random.faults))
    return FaultPlan(spells, draw=Draw(at_random.seed, faults, at_random.chance, at_random.longest_s))
