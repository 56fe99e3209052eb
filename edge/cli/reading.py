"""What stands in devices now: `edge read`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from edge.cli.settings import GATEWAY_YAML, ConfigOption, fail, group, load
from edge.contract.clock import SystemClock
from edge.contract.messages import Flag, Test
from edge.contract.program import example
from edge.drivers import ConfigurationError
from edge.readout import PointReadout, read_device

app = group()


@app.command(epilog=example("edge", "read meter-1 --config gateway.yaml"))
def read(
    device: Annotated[str, typer.Argument(help="Id of a device in gateway.yaml.")],
    config: ConfigOption = GATEWAY_YAML,
) -> None:
    """Read one device once and show each point.

    Where it is, raw registers, value, unit, flag.
    """
    settings = load(config)
    try:
        readout = asyncio.run(read_device(settings, device, clock=SystemClock()))
    except ConfigurationError as error:
        fail(f"{config}: {error}", code=2)
    for line in _table([_row(point) for point in readout.points]):
        typer.echo(line)
    if readout.faults:
        fail("\n".join(readout.faults), code=1)


def _row(readout: PointReadout) -> tuple[str, ...]:
    point, reading = readout.point, readout.reading
    raw = " ".join(f"{word:04X}" for word in readout.words or ())
    value = "" if reading.value is None else f"{reading.value:,}" if point.counter else f"{reading.value:g}"
    flag = f"{reading.flag} {Flag(reading.flag).name.lower()}"
    if reading.tests:
        flag += f" ({str(Test(reading.tests).name).lower()})"
    return point.name, readout.place, raw, value, point.quantity.unit, flag


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    rows = [("point", "place", "raw", "value", "unit", "flag"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for *words, value, unit, flag in rows:
        left = "  ".join(f"{word:{width}}" for word, width in zip(words, widths[:3], strict=True))
        yield f"{left}  {value:>{widths[3]}}  {unit:{widths[4]}}  {flag}"
