"""What a scan asks: serial settings and units in the order of likelihood, addresses of a network. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final, get_args

from edge.bus_time import Wire
from edge.contract.buses import MODBUS_PORT, Baud, Framing, Line, Parity
from edge.contract.gateway_config import LAST_UNIT, OWN_UNIT

USUAL: Final[tuple[tuple[int, Parity], ...]] = (
    (9600, "none"), (9600, "even"), (19_200, "even"), (19_200, "none"), (4800, "none"), (4800, "even"),
    (2400, "none"), (2400, "even"), (38_400, "none"), (115_200, "none"), (9600, "odd"), (19_200, "odd"),
)  # fmt: skip
"""Modbus over Serial Line V1.02 makes 19200 with even parity the default; what makers deliver is another matter."""
BAUDS: Final = (9600, 19_200, 4800, 2400, 38_400, 115_200, 57_600, 1200)
PARITIES: Final[tuple[Parity, ...]] = ("none", "even", "odd")
MOST_HOSTS: Final = 1024
PROBE_REGISTERS: Final = 1


class TargetError(ValueError):
    """What to scan was said in a way that cannot be understood."""


def serial_lines(port: str, bauds: Sequence[int] = (), parities: Sequence[str] = ()) -> list[Line]:
    """The settings to try on a port: the usual ones, or each of those baud rates with each of those parities.

    Raises TargetError for a baud rate or a parity that there is not.
    """
    for baud in bauds:
        if baud not in get_args(Baud):
            raise TargetError(f"{baud} is no baud rate of a bus: {', '.join(map(str, get_args(Baud)))}")
    for parity in parities:
        if parity not in PARITIES:
            raise TargetError(f'"{parity}" is no parity: {", ".join(PARITIES)}')
    if not bauds and not parities:
        settings = list(USUAL)
    else:
        wanted = [(baud, parity) for parity in PARITIES for baud in BAUDS]
        settings = [
            each
            for each in dict.fromkeys([*USUAL, *wanted])
            if each[0] in (bauds or BAUDS) and each[1] in (parities or PARITIES)
        ]
    return [Line(port, 0, "rtu", baud, parity) for baud, parity in settings]


def network_lines(network: str, framing: Framing = "tcp") -> list[Line]:
    """The addresses of ``10.0.0.0/28``, ``10.0.0.7`` or ``meter.example``, each with ``:port`` where it is not 502.

    Raises TargetError.
    """
    place, _, port_text = network.partition(":")
    try:
        port = int(port_text) if port_text else MODBUS_PORT
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise TargetError(f'"{port_text}" is no TCP port: {place}:{MODBUS_PORT} is usual')
    if "/" not in place:
        if not place or " " in place:
            raise TargetError(f'"{network}" is no address: say 10.0.0.0/28, 10.0.0.7 or 10.0.0.7:{MODBUS_PORT}')
        return [Line(place, port, framing)]
    try:
        addresses = ipaddress.ip_network(place, strict=False)
    except ValueError:
        raise TargetError(f'"{place}" is no address range: say 10.0.0.0/28, 10.0.0.7 or a name') from None
    if addresses.num_addresses > MOST_HOSTS:
        raise TargetError(f"{place} has {addresses.num_addresses} addresses: at most {MOST_HOSTS} at a time (/22)")
    return [Line(str(host), port, framing) for host in addresses.hosts()]


def units_in(text: str, *, is_serial: bool) -> list[int]:
    """``1-5,17`` -> 1, 2, 3, 4, 5, 17. Raises TargetError."""
    units: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise TargetError(f'"{text}" are no unit numbers: say 1-{LAST_UNIT}, or 1-10,17')
        units += range(int(first), int(last or first) + 1)
    if not units or not all(0 < unit <= LAST_UNIT or (unit == OWN_UNIT and not is_serial) for unit in units):
        also = "" if is_serial else f", or {OWN_UNIT}"
        raise TargetError(f'"{text}": units are numbered 1 to {LAST_UNIT}{also}')
    return list(dict.fromkeys(units))


def probe_s(line: Line, wait_s: float) -> float:
    """How long a unit takes that is not there."""
    wire = Wire(line.baud, line.bits_per_char, turnaround_s=0.0)
    return wire.request_s("holding", PROBE_REGISTERS) + wait_s


def settings_in_words(line: Line) -> str:
    """``9600 baud, even parity``; of a network how it is spoken to."""
    if line.is_serial:
        return f"{line.baud} baud, {'no' if line.parity == 'none' else line.parity} parity"
    return {
        "tcp": "Modbus TCP",
        "tcp_without_ids": "Modbus TCP of a converter that gives no transaction ids back",
        "rtu": "a converter that passes bytes on",
    }[line.framing]


def place_of(lines: Iterable[Line]) -> str:
    """What all these lines are: a port, an address, or from the first to the last."""
    places = list(dict.fromkeys(map(str, lines)))
    return places[0] if len(places) == 1 else f"{places[0]} to {places[-1]}"
