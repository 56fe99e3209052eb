"""What was found as the beginning of a gateway.yaml, to be looked through and kept. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.contract.buses import MODBUS_PORT, Line
from edge.contract.config_file import in_yaml
from edge.contract.profile import ModbusProfile, load_profile
from edge.scan.findings import main_line
from edge.scan.report import Found, Report
from edge.scan.targets import settings_in_words

BUS = "line-1"


def sketch(report: Report) -> list[str]:
    """Sections ``buses`` and ``devices``; what a person must decide stands there as a comment."""
    if not report.found:
        return []
    main = main_line(report.found)
    lines: list[str] = []
    if main is not None and main.is_serial:
        lines += ["buses:", f"  - {in_yaml(_bus(BUS, main))}"]
    else:
        converters = [line for line in dict.fromkeys(each.line for each in report.found) if line.framing != "tcp"]
        lines += ["buses:", *(f"  - {in_yaml(_bus(_bus_id(line), line))}" for line in converters)] if converters else []
    devices = ["devices:"]
    names: set[str] = set()
    for each in report.found:
        devices += _device(each, main, names)
    return [*lines, *devices]


def _bus_id(line: Line) -> str:
    return "bus-" + "".join(letter if letter.isalnum() else "-" for letter in line.host.lower())


def _bus(name: str, line: Line) -> dict[str, Any]:
    if line.is_serial:
        return {"id": name, "serial": line.host, "baud": line.baud, "parity": line.parity, "stop_bits": line.stop_bits}
    return {"id": name, "host": line.host, "port": line.port, "framing": line.framing, "baud": line.baud or 9600}


def _device(found: Found, main: Line | None, names: set[str]) -> Iterator[str]:
    """One device, as a comment where it cannot be used as it is; other profiles that fit as well are named."""
    line = found.line
    if not found.fits:
        yield f"  # unit {found.unit}{'' if line.is_serial else f' at {line}'} answers, but no profile fits"
        return
    first, *others = found.fits
    profile = load_profile(first.profile)
    name = _name(profile.kind, found, names)
    device: dict[str, Any] = {"id": name, "profile": first.profile, "modbus": _address(found)}
    if isinstance(profile, ModbusProfile):
        needed = {key: setting.example for key, setting in profile.settings.items() if setting.default is None}
        if needed:
            device["settings"] = {key: float(number) for key, number in needed.items()}
    remarks = []
    if line.is_serial and line != main:
        remarks.append(f"at {settings_in_words(line)}: set it as the others first")
    if first.confidence != "sure":
        also = f", or {' or '.join(each.profile for each in others[:3])}" if others else ""
        remarks.append(f"{first.confidence}{also}: compare with the label")
    if "settings" in device:
        remarks.append("the settings are examples: put in those of this site")
    is_comment = first.confidence == "possible" or (line.is_serial and line != main)
    for remark in remarks:
        yield f"  # {remark}"
    yield f"  {'# ' if is_comment else ''}- {in_yaml(device)}"


def _address(found: Found) -> dict[str, Any]:
    line = found.line
    if line.is_serial:
        return {"bus": BUS, "unit": found.unit}
    if line.framing != "tcp":
        return {"bus": _bus_id(line), "unit": found.unit}
    port = {} if line.port == MODBUS_PORT else {"port": line.port}
    return {"host": line.host, **port, "unit": found.unit}


def _name(kind: str, found: Found, names: set[str]) -> str:
    """An id that says what it is and where, and that no other has."""
    word = "meter" if kind == "electricity_meter" else kind.replace("_", "-")
    number = str(found.unit) if found.line.is_serial else found.line.host.rpartition(".")[2]
    name = f"{word}-{number}"
    if name in names:
        name = f"{name}-{found.unit}"
    while name in names:
        name += "b"
    names.add(name)
    return name
