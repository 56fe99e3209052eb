"""`edge scan`: which devices are on a line or a network, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.settings import JsonOption, group
from edge.contract.program import example

SERIAL_UNITS, NETWORK_UNITS = "1-247", "1-5,255"

app = group()


@app.command(epilog=example("edge", "scan --serial /dev/ttyUSB0 --units 1-32"))
def scan(
    *,
    serial: Annotated[Path | None, typer.Option(metavar="PORT", help="A serial port, such as /dev/ttyUSB0.")] = None,
    tcp: Annotated[
        str | None,
        typer.Option(metavar="ADDRESSES", help="10.0.0.0/28, 10.0.0.7 or 10.0.0.7:4196; port 502 unless said."),
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(help=f"Unit numbers, such as 1-10,17.  [default: {SERIAL_UNITS}; on TCP {NETWORK_UNITS}]"),
    ] = None,
    baud: Annotated[list[int] | None, typer.Option(help="Only this baud rate; repeatable.")] = None,
    parity: Annotated[list[str] | None, typer.Option(help="Only this parity: none, even, odd; repeatable.")] = None,
    wait_ms: Annotated[
        int | None,
        typer.Option("--wait-ms", min=20, max=5000, help="How long a unit is waited for.  [default: 150; on TCP 500]"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find devices on a line or in a network.

    It only reads. It tries the usual settings and every unit number, says which profiles fit and what that rests on,
    what is wrong in plain words, and prints a piece of gateway.yaml. Ctrl-C ends it early and keeps what was found.
    Stop the gateway first (systemctl stop anlan-edge): only one may talk on a line.
    """
    from edge.cli.scanning import scan_and_show  # noqa: PLC0415 -- the agent never scans

    scan_and_show(
        serial,
        tcp,
        units=units or (SERIAL_UNITS if serial else NETWORK_UNITS),
        bauds=baud or [],
        parities=parity or [],
        wait_s=wait_ms / 1000 if wait_ms else None,
        as_json=as_json,
    )
