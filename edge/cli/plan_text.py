"""What `edge plan` shows: every request on every line, what it takes, and how busy the lines are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from edge.bus_load import BusLoad, Request, percent, seconds
from edge.contract.buses import Line

BAR_WIDTH: Final = 25
UNIT_LOADS: Final = 32  # what an RS-485 driver can carry (TIA/EIA-485-A)
HEADINGS: Final = ("device", "unit", "every", "registers", "points", "takes")


def described(loads: Sequence[BusLoad]) -> Iterator[str]:
    """The plan in lines of text."""
    for index, load in enumerate(loads):
        if index:
            yield ""
        yield f"{load.bus.name}: {_settings(load.bus.line)}"
        yield from (f"  {line}" for line in _table([_row(request) for request in load.requests]))
        usual = " on average" if len({request.poll_s for request in load.requests}) > 1 else ""
        yield f"  takes {seconds(load.needs_s)} of each {seconds(load.cycle_s)}{usual}"
        yield f"  load {_bar(load.load)} {percent(load.load)}"
        yield from (f"  {line}" for line in _remarks(load))


def as_plain(loads: Sequence[BusLoad]) -> dict[str, Any]:
    """The same for programs; times in seconds, load as a share of 1."""
    return {"lines": [_plain_line(load) for load in loads], "fits": not any(load.fault for load in loads)}


def _settings(line: Line) -> str:
    if line.baud is None:
        return f"{line}, a network of its own"
    parity = {"none": "N", "even": "E", "odd": "O"}[line.parity]
    through = (
        ""
        if line.is_serial
        else f", a converter that {'passes bytes on' if line.framing == 'rtu' else 'speaks Modbus TCP'}"
    )
    return f"{line}, {line.baud} baud, 8{parity}{line.stop_bits}{through}"


def _row(request: Request) -> tuple[str, ...]:
    station, block = request.station, request.block
    registers = f"{block}{' after its header' if station.profile.discovery else ''}"
    points = str(len(block.points))
    return station.device, str(station.unit), seconds(request.poll_s), registers, points, seconds(request.cost_s)


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    rows = [HEADINGS, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        cells = (
            f"{word:{width}}" if heading in ("device", "registers") else f"{word:>{width}}"
            for word, width, heading in zip(row, widths, HEADINGS, strict=True)
        )
        yield "  ".join(cells)


def _bar(load: float) -> str:
    filled = min(BAR_WIDTH, round(load * BAR_WIDTH))
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"


def _remarks(load: BusLoad) -> Iterator[str]:
    if load.fault:
        yield "does not fit"
    elif load.warning:
        yield load.warning.removeprefix(f"{load.bus.name}: ")
    elif load.room is not None:
        stations = load.bus.stations
        kinds = {station.profile.kind for station in stations}
        noun = "meter" if kinds == {"electricity_meter"} else "device"
        limit = ""
        if len(stations) + load.room > UNIT_LOADS:
            limit = f" in time; without a repeater an RS-485 line carries {UNIT_LOADS} devices"
        yield f"room for {load.room} more such {noun}{'' if load.room == 1 else 's'}{limit}"
    if load.bus.line.baud is None:
        yield "what its network takes is known only there, and counted with what its profile says"


def _plain_line(load: BusLoad) -> dict[str, Any]:
    line = load.bus.line
    return {
        "line": load.bus.name,
        "place": str(line),
        "framing": line.framing,
        "baud": line.baud,
        "parity": line.parity if line.baud else None,
        "stop_bits": line.stop_bits if line.baud else None,
        "requests": [_plain_request(request) for request in load.requests],
        "cycle_s": load.cycle_s,
        "needs_s": round(load.needs_s, 6),
        "load": round(load.load, 6),
        "room": load.room,
        "fault": load.fault,
        "warning": load.warning,
    }


def _plain_request(request: Request) -> dict[str, Any]:
    block = request.block
    return {
        "device": request.station.device,
        "unit": request.station.unit,
        "poll_s": request.poll_s,
        "table": block.table,
        "address": block.address,
        "after_header": bool(request.station.profile.discovery),
        "count": block.count,
        "points": list(block.names),
        "takes_s": round(request.cost_s, 9),
    }
