"""Profiles of one's own: `edge profile check` and `edge profile try`, on a live device."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from edge.cli import profile_text
from edge.cli.settings import JsonOption, fail, group
from edge.contract.buses import MODBUS_PORT
from edge.contract.clock import SystemClock
from edge.contract.config_file import ConfigError, check_values
from edge.contract.gateway_config import GatewayConfig
from edge.contract.profile import DeviceProfile, ModbusProfile, Signature, load_profile
from edge.contract.program import example
from edge.drivers.modbus_link import ModbusLink
from edge.readout import Readout, read_device
from edge.scan.identify import Registers

DEVICE, BUS = "device", "line"
WAIT_S = 1.0

app = group("Check a device profile, and try it on a live device.", name="profile")

FileArgument = Annotated[Path, typer.Argument(help="A profile's file, ending in .yaml, or the name of one of ours.")]


@app.command(epilog=example("edge", "profile check my_meter.yaml"))
def check(file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with a profile.

    With file and line; or else what it comes to: points, requests, and which golden cases are to be written.
    """
    profile = _load(file)
    if as_json:
        typer.echo(json.dumps(profile_text.plain_summary(profile), ensure_ascii=False, indent=2))
        return
    for line in profile_text.summary(profile):
        typer.echo(line)


@app.command(name="try", epilog=example("edge", "profile try my_meter.yaml 10.0.0.9 --unit 1"))
def try_out(
    file: FileArgument,
    host: Annotated[str | None, typer.Argument(help="10.0.0.9 or 10.0.0.9:502; or say --serial.")] = None,
    *,
    serial: Annotated[Path | None, typer.Option(metavar="PORT", help="A serial port, such as /dev/ttyUSB0.")] = None,
    baud: Annotated[int, typer.Option(help="Of the serial port.")] = 9600,
    parity: Annotated[str, typer.Option(help="Of the serial port: none, even, odd.")] = "none",
    stop_bits: Annotated[int, typer.Option("--stop-bits", help="Of the serial port: 1 or 2.")] = 1,
    framing: Annotated[str, typer.Option(help="At a host: tcp, tcp_without_ids, or rtu (bytes passed on).")] = "tcp",
    unit: Annotated[int, typer.Option(help="Modbus unit number.")] = 1,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="A number of the site, such as ct_ratio=40; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read a live device once with a profile.

    It only reads. It shows each value, whether the signature is that of the model, which values are outside what the
    device can measure, and, of numbers that make no sense, the order of registers in which they would.
    """
    profile = _load(file)
    if not isinstance(profile, ModbusProfile):
        fail(f"{file}: {profile.profile} is not read by Modbus", code=2)
    bus: dict[str, Any] = {"id": BUS, "baud": baud, "parity": parity, "stop_bits": stop_bits}
    if (serial is None) == (host is None):
        fail("say either a host, such as 10.0.0.9, or --serial /dev/ttyUSB0", code=2)
    if serial is not None:
        bus |= {"serial": str(serial.absolute())}
    else:
        bus |= _host(host or "", framing)
    config = _config(file, bus, unit=unit, settings=_settings(setting or []))
    readout, marks = asyncio.run(_try(config, profile))
    if as_json:
        typer.echo(json.dumps(profile_text.plain_try(readout, marks), ensure_ascii=False, indent=2))
    else:
        for line in profile_text.tried(readout, marks):
            typer.echo(line)
    wrong = [mark.text for mark, is_right in marks.items() if mark.is_proof and not is_right]
    if readout.faults or wrong:
        fail("\n".join(readout.faults or ["another model answers than this profile is for"]), code=1)


def _load(file: Path) -> DeviceProfile:
    try:
        return load_profile(file if file.suffix == ".yaml" else str(file))
    except ConfigError as error:
        fail(str(error), code=2)


def _host(text: str, framing: str) -> dict[str, Any]:
    host, _, port = text.partition(":")
    if port and not port.isdecimal():
        fail(f'"{port}" is no TCP port: {host}:{MODBUS_PORT} is usual', code=2)
    return {"host": host, "port": int(port or MODBUS_PORT), "framing": framing}


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


def _config(file: Path, bus: Mapping[str, Any], *, unit: int, settings: Mapping[str, str]) -> GatewayConfig:
    """Return a gateway with this one device; what is wrong with it ends the command, in the words of gateway.yaml."""
    name = str(file.absolute()) if file.suffix == ".yaml" else str(file)
    device = {"id": DEVICE, "profile": name, "modbus": {"bus": BUS, "unit": unit}, "settings": dict(settings)}
    values = {
        "gateway": "try",
        "broker": {"host": "127.0.0.1", "port": 1883},
        "data_dir": ".",
        "buses": [dict(bus)],
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
