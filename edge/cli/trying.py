"""What `edge profile` does. The agent has the same command line and never does: this is loaded when it is needed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import typer

from edge.cli import profile_text
from edge.cli.settings import fail
from edge.contract.buses import MODBUS_PORT
from edge.contract.clock import SystemClock
from edge.contract.config_file import ConfigError, check_values
from edge.contract.gateway_config import GatewayConfig
from edge.contract.profile import DeviceProfile, ModbusProfile, Signature, load_profile
from edge.drivers.modbus_link import ModbusLink
from edge.readout import Readout, read_device
from edge.scan.identify import Registers

DEVICE, BUS = "device", "line"
WAIT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a device is, as it was typed: at a host with or without ``:port``, or on a serial port."""

    host: str | None
    serial: Path | None
    baud: int
    parity: str
    stop_bits: int
    framing: str
    unit: int


def check_and_show(file: Path, *, as_json: bool) -> None:
    """Say what is wrong with a profile and end with 2, or what it comes to."""
    profile = _load(file)
    if as_json:
        typer.echo(json.dumps(profile_text.plain_summary(profile), ensure_ascii=False, indent=2))
        return
    for line in profile_text.summary(profile):
        typer.echo(line)


def try_and_show(file: Path, place: Place, *, settings: Sequence[str], as_json: bool) -> None:
    """Read a device with a profile; ends with 1 where it does not answer, or is another model."""
    profile = _load(file)
    if not isinstance(profile, ModbusProfile):
        fail(f"{file}: {profile.profile} is not read by Modbus", code=2)
    config = _config(file, place, _settings(settings))
    readout, marks = asyncio.run(_try(config, profile))
    if as_json:
        typer.echo(json.dumps(profile_text.plain_try(readout, marks), ensure_ascii=False, indent=2))
    else:
        for line in profile_text.tried(readout, marks):
            typer.echo(line)
    wrong = [mark.text for mark, is_right in marks.items() if mark.is_proof and not is_right]
    if readout.faults or wrong:
        fail("\n".join(readout.faults or ["another model answers than this profile is for"]), code=1)


def _bus(place: Place) -> dict[str, Any]:
    bus = {"id": BUS, "baud": place.baud, "parity": place.parity, "stop_bits": place.stop_bits}
    if (place.serial is None) == (place.host is None):
        fail("say either a host, such as 10.0.0.9, or --serial /dev/ttyUSB0", code=2)
    if place.serial is not None:
        return {**bus, "serial": str(place.serial.absolute())}
    host, _, port = (place.host or "").partition(":")
    if port and not port.isdecimal():
        fail(f'"{port}" is no TCP port: {host}:{MODBUS_PORT} is usual', code=2)
    return {**bus, "host": host, "port": int(port or MODBUS_PORT), "framing": place.framing}


def _load(file: Path) -> DeviceProfile:
    try:
        return load_profile(file if file.suffix == ".yaml" else str(file))
    except ConfigError as error:
        fail(str(error), code=2)


def _settings(texts: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, number = text.partition("=")
        try:
            found[name] = str(Decimal(number)) if equals else ""
        except InvalidOperation:
            found[name] = ""
        if not found[name]:
            fail(f'"{text}" is no setting: say NAME=NUMBER, such as ct_ratio=40', code=2)
    return found


def _config(file: Path, place: Place, settings: Mapping[str, str]) -> GatewayConfig:
    """Return a gateway with this one device; what is wrong with it ends the command, in the words of gateway.yaml."""
    name = str(file.absolute()) if file.suffix == ".yaml" else str(file)
    device = {"id": DEVICE, "profile": name, "modbus": {"bus": BUS, "unit": place.unit}, "settings": dict(settings)}
    values = {
        "gateway": "try",
        "broker": {"host": "127.0.0.1", "port": 1883},
        "data_dir": ".",
        "buses": [_bus(place)],
        "devices": [device],
    }
    try:
        return check_values(values, GatewayConfig, name="command line")
    except ConfigError as error:
        said = (f"{each.key.rpartition('.')[2] or each.key}: {each.reason}" for each in error.problems)
        fail("\n".join(said), code=2)


async def _try(config: GatewayConfig, profile: ModbusProfile) -> tuple[Readout, dict[Signature, bool]]:
    readout = await read_device(config, DEVICE, clock=SystemClock())
    if not readout.is_answered:
        return readout, {}
    (device,) = config.devices
    link = ModbusLink(config.line_of(device))
    unit = 1 if device.modbus is None else device.modbus.unit
    try:
        registers = Registers(link, unit, wait_s=WAIT_S, most_s=WAIT_S)
        return readout, {mark: (await registers.marks([mark]))[mark] for mark in profile.signature}
    finally:
        link.close()
        await asyncio.sleep(0)
