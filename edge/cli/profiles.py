"""Profiles of one's own: `edge profile check` and `edge profile try`, on a live device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.settings import JsonOption, group
from edge.contract.program import example

app = group("Check a device profile, and try it on a live device.", name="profile")

FileArgument = Annotated[Path, typer.Argument(help="A profile's file, ending in .yaml, or the name of one of ours.")]


@app.command(epilog=example("edge", "profile check my_meter.yaml"))
def check(file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Say everything that is wrong with a profile.

    With file and line; or else what it comes to: points, requests, and which golden cases are to be written.
    """
    from edge.cli.trying import check_and_show  # noqa: PLC0415 -- the agent never does

    check_and_show(file, as_json=as_json)


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
    from edge.cli.trying import Place, try_and_show  # noqa: PLC0415 -- as above

    place = Place(host=host, serial=serial, baud=baud, parity=parity, stop_bits=stop_bits, framing=framing, unit=unit)
    try_and_show(file, place, settings=setting or [], as_json=as_json)
