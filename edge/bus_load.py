"""How busy the lines of a gateway are, known before anything is connected. Pure.

The load of a line is the sum of what each request takes, divided by the interval at which it is made. Over 1 it cannot
be done: that is a fault of the configuration, told with what would fit. What a network takes is only assumed, so a
device with a network of its own is refused only for the pauses that it needs itself.

Errors: `ConfigError`, with file, line and key.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from edge.bus_time import wire_of
from edge.contract.buses import Line, ModbusAddress
from edge.contract.config_file import Key, read_document
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.profile import ModbusProfile, RegisterPoint
from edge.read_plan import Block, plan

BUSY: Final = 0.8
"""From here on a device that does not answer, or one more of them, may delay all readings of the line."""

UNITS: Final = 247  # addresses of a serial line

OFFERED_BAUD: Final = (2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200)
"""What devices usually offer."""


@dataclass(frozen=True, slots=True)
class Station:
    """A device on a line: its unit, and its points by seconds between two readings."""

    device: str
    unit: int
    profile: ModbusProfile
    polls: Mapping[float, tuple[RegisterPoint, ...]]


@dataclass(frozen=True, slots=True)
class Bus:
    """A line with all devices on it; ``key`` says where gateway.yaml has it."""

    name: str
    line: Line
    stations: tuple[Station, ...]
    key: Key = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One request that is made every ``poll_s`` and takes ``cost_s`` of the line."""

    station: Station
    poll_s: float
    block: Block
    cost_s: float

    @property
    def load(self) -> float:
        """The share of the line's time that it takes."""
        return self.cost_s / self.poll_s


@dataclass(frozen=True)
class BusLoad:
    """Every request of a line, and what they come to."""

    bus: Bus
    requests: tuple[Request, ...]

    @cached_property
    def load(self) -> float:
        """The share of its time that the line is busy; over 1 it cannot be done."""
        return math.fsum(request.load for request in self.requests)

    @cached_property
    def cycle_s(self) -> float:
        """The shortest interval on the line."""
        return min((request.poll_s for request in self.requests), default=0.0)

    @property
    def needs_s(self) -> float:
        """How long the line is busy in one cycle; on the average, where there are longer intervals too."""
        return self.load * self.cycle_s

    @cached_property
    def shares(self) -> dict[str, float]:
        """What each device takes of the load, the largest first."""
        shares = {station.device: 0.0 for station in self.bus.stations}
        for request in self.requests:
            shares[request.station.device] += request.load
        return dict(sorted(shares.items(), key=lambda each: (-each[1], each[0])))

    @property
    def room(self) -> int | None:
        """How many devices more, like those that are there on the average, keep the line at `BUSY` or below.

        None where nothing is known of the line, or nothing is read on it.
        """
        if not self.load or self.bus.line.baud is None:
            return None
        count = len(self.bus.stations)
        return max(0, min(UNITS - count, math.floor((BUSY - self.load) / (self.load / count) + 1e-9)))

    @property
    def fault(self) -> str | None:
        """Why it cannot be done, and what would fit; None when it can."""
        sure = self if self.bus.line.baud else _without_network(self)
        if sure.load <= 1 + 1e-9:
            return None
        needs, cycle = seconds(sure.needs_s), seconds(sure.cycle_s)
        if needs == cycle:
            needs = f"a little over {needs}"
        return f"{self.bus.name}: needs {needs} of a {cycle} cycle: it fits {', or '.join(_what_fits(sure))}"

    @property
    def warning(self) -> str | None:
        """What may go wrong although it fits; None when there is room."""
        if self.load < BUSY or self.fault:
            return None
        if self.bus.line.baud is None:
            return f"{self.bus.name}: {percent(self.load)} busy, if its network is as fast as is usual"
        return f"{self.bus.name}: {percent(self.load)} busy: one device that does not answer may delay all others on it"


def load_of(bus: Bus) -> BusLoad:
    """Plan everything that is read on a line."""
    return BusLoad(bus, tuple(request for station in bus.stations for request in requests_of(station, bus.line)))


def station_of(device: DeviceConfig, profile: ModbusProfile, address: ModbusAddress) -> Station:
    """Return a configured device of this profile and address."""
    polls = {
        poll_s: tuple(point for point in points if isinstance(point, RegisterPoint))
        for poll_s, points in device.polls.items()
    }
    return Station(device.id, address.unit, profile, polls)


def requests_of(station: Station, line: Line) -> list[Request]:
    """Plan everything that is read of a device on a line, the shortest interval first."""
    reads = station.profile.reads
    wire = wire_of(line, reads)
    return [
        Request(station, poll_s, block, wire.request_s(block.table, block.count))
        for poll_s, points in station.polls.items()
        for block in plan(points, reads, wire)
    ]


def buses_of(config: GatewayConfig) -> list[Bus]:
    """Return every line of a gateway that a device is on: shared ones first, then those of single devices."""
    names = {bus.line: (bus.id, ("buses", index)) for index, bus in enumerate(config.buses)}
    found: dict[Line, list[Station]] = {line: [] for line in names}
    for index, device in enumerate(config.devices):
        if device.modbus is not None and isinstance(device.device_profile, ModbusProfile):
            line = config.line_of(device)
            found.setdefault(line, []).append(station_of(device, device.device_profile, device.modbus))
            names.setdefault(line, (device.id, ("devices", index)))
    return [
        Bus(names[line][0] if len(its) == 1 or line.baud else str(line), line, tuple(its), names[line][1])
        for line, its in found.items()
        if its
    ]


def check_loads(config: GatewayConfig, path: Path) -> None:
    """Refuse a gateway.yaml with lines that cannot carry what is read on them. Raises ConfigError."""
    bounded = [
        bus for bus in buses_of(config) if bus.line.baud or any(each.profile.reads.pause_ms for each in bus.stations)
    ]
    faults = [(bus.key, fault) for bus in bounded if (fault := load_of(bus).fault)]
    if faults:
        read_document(path).refuse(faults)


def seconds(time_s: float) -> str:
    """A duration in the unit that suits it, with three digits: `5.20 ms`, `13.4 s`, `2 min`, `1.5 h`."""
    if time_s < 0.9995:
        return f"{_digits(time_s * 1000)} ms"
    if time_s < 120:
        return f"{_digits(time_s)} s"
    return f"{_digits(time_s / 60)} min" if time_s < 7200 else f"{_digits(time_s / 3600)} h"


def percent(share: float) -> str:
    """A share as a whole number of percent; what is not whole is not said to be nothing, or everything."""
    if 0 < share < 0.01:
        return "under 1 %"
    return f"{math.floor(share * 100) if share < 1 else math.ceil(share * 100 - 1e-9)} %"


def _digits(number: float) -> str:
    places = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text and not float(text) % 1 else text


def _without_network(load: BusLoad) -> BusLoad:
    """What is sure to be needed on a network: the pauses."""
    line = load.bus.line
    pauses = (
        replace(request, cost_s=wire_of(line, request.station.profile.reads).quiet_s) for request in load.requests
    )
    return BusLoad(load.bus, tuple(pauses))


def _what_fits(load: BusLoad) -> Iterator[str]:
    intervals = {request.poll_s for request in load.requests}
    if len(intervals) == 1:
        yield f"with poll_s: {_round_up(load.needs_s):g}{' for all of it' if len(load.bus.stations) > 1 else ''}"
    else:
        yield f"with every poll_s {math.ceil(load.load * 10 - 1e-9) / 10:g} times as long"
    line = load.bus.line
    for baud in OFFERED_BAUD if line.baud else ():
        faster = load_of(replace(load.bus, line=line._replace(baud=baud)))
        if baud > (line.baud or 0) and faster.load <= 1:
            yield f"with {baud} baud ({percent(faster.load)} busy)"
            break
    yield from _left_out(load)


def _left_out(load: BusLoad) -> Iterator[str]:
    """The fewest devices without which the others fit."""
    rest, left_out = load.load, []
    for device, share in load.shares.items():
        if rest <= 1:
            break
        left_out.append(device)
        rest -= share
    if len(left_out) < len(load.bus.stations):
        which = " and ".join(left_out) if len(left_out) < 3 else f"{len(left_out)} of its {len(load.shares)} devices"
        yield f"without {which}"


def _round_up(time_s: float) -> float:
    """The next longer interval that a person would choose."""
    step = next((step for below, step in ((1, 0.1), (10, 0.5), (60, 1), (600, 10)) if time_s < below), 60)
    return round(math.ceil(time_s / step - 1e-9) * step, 1)
