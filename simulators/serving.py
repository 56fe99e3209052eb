"""Devices that are served until somebody stops them: where, with values that move, and with faults typed meanwhile."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from edge.contract.buses import Framing, Line
from edge.contract.readings import Value
from simulators.device import SimulatedDevice
from simulators.faults import TOLD, Fault, FaultError, FaultPlan
from simulators.modbus_server import ModbusServer
from simulators.plausible import Plausible
from simulators.rtu_line import RtuLine
from simulators.rtu_over_tcp import RtuOverTcp
from simulators.serial_wire import SerialSettings

MOVE_EVERY_S: Final = 1.0
MENDED: Final = "ok"


@dataclass
class Served:
    """A device with its unit; ``held`` are the points that do not move, ``numbers`` what the site says of itself."""

    unit: int
    device: SimulatedDevice
    plausible: Plausible
    held: Mapping[str, Value] = field(default_factory=dict)
    numbers: Mapping[str, Decimal] = field(default_factory=dict)


class Place(NamedTuple):
    """Where devices are served.

    Without ``wire`` each has a network of its own; ``framing`` says what a TCP port speaks, None that it is a serial
    port, for which ``link`` is a name that stays.
    """

    wire: SerialSettings | None = None
    framing: Framing | None = "tcp"
    port: int = 0
    link: Path | None = None
    turnaround_s: float | None = None
    others: Mapping[int, SerialSettings] = {}


@asynccontextmanager
async def serve(devices: Sequence[Served], place: Place, faults: FaultPlan) -> AsyncIterator[Line]:
    """Serve them there, and say where that is in the words of gateway.yaml; raises ListenError."""
    units = {one.unit: one.device for one in devices}
    wire = place.wire or SerialSettings()
    if place.framing is None:
        async with RtuLine(
            units, baud=wire.baud, parity=wire.parity, stop_bits=wire.stop_bits, turnaround_s=place.turnaround_s,
            others=place.others, faults=faults, link=place.link,
        ) as serial:  # fmt: skip
            yield Line(serial.path, 0, "rtu", wire.baud, "none", wire.stop_bits)  # a pty carries no parity
    elif place.framing == "rtu":
        async with RtuOverTcp(
            units, wire, port=place.port, turnaround_s=place.turnaround_s, others=place.others, faults=faults
        ) as passing:
            yield Line("127.0.0.1", passing.port, "rtu", *wire)
    else:
        async with ModbusServer(
            units, port=place.port, faults=faults, line=place.wire, turnaround_s=place.turnaround_s,
            echoes_id=place.framing == "tcp",
        ) as server:  # fmt: skip
            yield Line("127.0.0.1", server.port, place.framing, *(place.wire or ()))


async def move(devices: Sequence[Served]) -> None:
    """Give the devices new values every second, for ever."""
    while True:
        now = time.localtime()
        second = now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec
        for one in devices:
            for name, value in (one.plausible.at(second) | dict(one.held)).items():
                one.device.set(name, value)
        await asyncio.sleep(MOVE_EVERY_S)


# --- faults that are typed -------------------------------------------------------------------------------------------


def faults_in_words() -> str:
    """What can be typed, one fault a line."""
    lines = [
        f"  {kind:<16}{told.does}{'' if told.usual is None else f' (usual: {told.usual:g})'}"
        for kind, told in TOLD.items()
    ]
    return "\n".join([*lines, f"  {MENDED:<16}is well again"])


async def obey(
    lines: asyncio.StreamReader, faults: FaultPlan, units: Sequence[int], tell: Callable[[str], None]
) -> None:
    """Begin and end faults as lines say, until there are no more."""
    while line := (await lines.readline()).decode(errors="replace"):
        try:
            said = begin_fault(line.split(), faults, units)
        except FaultError as error:
            said = str(error)
        tell(said)


def begin_fault(words: Sequence[str], faults: FaultPlan, units: Sequence[int]) -> str:
    """Do what the words of a line say, and say what was done; raises FaultError."""
    if not words or words[0] in {"?", "help"}:
        return f"type FAULT UNIT [NUMBER], such as: late {units[0]} 0.8\n{faults_in_words()}"
    name, unit_text, number = (*words, "", "")[:3]
    fault = None if name == MENDED else Fault.named(name, number)
    if unit_text not in map(str, units):
        raise FaultError(f"{name}: say for which unit, one of {', '.join(map(str, units))}")
    unit = int(unit_text)
    if fault is None:
        faults.mend(unit)
        return f"unit {unit} is well again"
    faults.begin(unit, fault)
    return f"unit {unit} {TOLD[fault.kind].does}{'' if fault.amount is None else f': {fault.amount:g}'}"


def is_typed_to() -> bool:
    """Whether somebody may type: a pipe, or a terminal that is ours now (reading another's would stop us)."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            return True
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False  # closed
