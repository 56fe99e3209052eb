"""`edge backtest`: what rules would have raised on a recorded series."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.cli.settings import JsonOption, fail, group
from edge.contract.config_file import ConfigError, nearest, read_document
from edge.contract.gateway_config import DeviceConfig, GatewayConfig, RulesFile
from edge.contract.points import Point
from edge.contract.program import example
from edge.contract.series_file import Sample, SeriesError, read_series

if TYPE_CHECKING:
    from edge.backtest import Found

PROGRESS_EVERY = 5000

app = group()


@app.command(
    name="backtest",
    epilog=example("edge", "backtest gateway.yaml --data river.csv --column stage_cm --unit cm --picture river.svg"),
)
def backtest(
    rules: Annotated[Path, typer.Argument(help="gateway.yaml, or a file with a profile and its rules.")],
    *,
    data: Annotated[Path, typer.Option(help="CSV file, plain or .gz, with a header row.")],
    column: Annotated[str, typer.Option(help="Column of the values.")] = "value",
    time_column: Annotated[str, typer.Option(help="Column of the times, ISO 8601.")] = "timestamp",
    unit: Annotated[str, typer.Option(help="Unit of the column; else the point's own.")] = "",
    device: Annotated[str, typer.Option(help="Device of gateway.yaml; needed where several have rules.")] = "",
    point: Annotated[str, typer.Option(help="Point that shows the values; needed where rules watch several.")] = "",
    picture: Annotated[Path | None, typer.Option(help="Write a picture (SVG) there.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what rules would have raised on a recorded series.

    The readings are judged and the events made exactly as on a gateway. Nothing is sent, and nothing is kept.
    """
    chosen = _device(rules, device)
    watched = _point(chosen, point)
    try:
        factor = watched.quantity.factor(_unit(watched, unit))
        samples = read_series(data, column, time_column=time_column)
    except SeriesError as error:
        fail(str(error), code=2)
    from edge.backtest import Backtest, in_quantity  # noqa: PLC0415 -- the agent has the same command line

    run = Backtest(chosen, watched)
    for at_ms, value in in_quantity(_told(samples), factor):
        run.feed(at_ms, value)
    _show(run.end(), chosen, data, picture=picture, as_json=as_json)


def _show(found: Found, device: DeviceConfig, data: Path, *, picture: Path | None, as_json: bool) -> None:
    from edge import backtest_picture  # noqa: PLC0415 -- as above
    from edge.cli import backtest_text  # noqa: PLC0415

    rules = [rule for rule in device.device_rules if rule.point == found.point.name]
    if picture is not None:
        drawn = backtest_picture.picture(found, rules, title=f"{data.name} · {device.id}")
        try:
            picture.write_text(drawn, encoding="utf-8")
        except OSError as error:
            fail(f"{picture}: {error.strerror}", code=1)
    if as_json:
        typer.echo(backtest_text.as_json(found))
        return
    for line in backtest_text.described(found, rules, data):
        typer.echo(line)
    if picture is not None:
        typer.echo(f"picture: {picture}")


def _device(path: Path, wanted: str) -> DeviceConfig:
    """Return the device whose rules are meant."""
    try:
        document = read_document(path)
        if "gateway" not in document.value:
            if wanted:
                fail(
                    f"{path}: --device {wanted}: the rules of one device, not a gateway.yaml: leave out --device",
                    code=2,
                )
            return document.validate(RulesFile)
        config = document.validate(GatewayConfig)
    except ConfigError as error:
        fail(str(error), code=2)
    devices = {one.id: one for one in config.devices if one.rules}
    if wanted and wanted not in devices:
        fail(f'{path}: no device "{wanted}" with rules{nearest(wanted, devices)}; {_listed(devices)}', code=2)
    if not wanted and len(devices) != 1:
        fail(f"{path}: say which device with --device; {_listed(devices)}", code=2)
    return devices[wanted] if wanted else next(iter(devices.values()))


def _point(device: DeviceConfig, wanted: str) -> Point:
    """Return the point that the recorded values are shown by."""
    watched = {rule.point for rule in device.device_rules}
    points = {one.name: one for one in device.device_profile.points if one.name in watched}
    if wanted and wanted not in points:
        fail(f'{device.id}: no rule watches "{wanted}"{nearest(wanted, points)}; {_listed(points)}', code=2)
    if not wanted and len(points) != 1:
        fail(f"{device.id}: say which point with --point; {_listed(points)}", code=2)
    return points[wanted] if wanted else next(iter(points.values()))


def _unit(point: Point, wanted: str) -> str:
    units = point.quantity.units
    if wanted and wanted not in units:
        fail(f'--unit "{wanted}": {point.name} can be given in {", ".join(units)}{nearest(wanted, units)}', code=2)
    return wanted or point.quantity.unit


def _listed(choices: dict[str, DeviceConfig] | dict[str, Point]) -> str:
    return f"there is {', '.join(choices)}" if choices else "nothing is watched: give it rules"


def _told(samples: list[Sample]) -> Iterator[Sample]:
    """Say on a terminal how far a long series has come."""
    is_told = sys.stderr.isatty() and len(samples) > PROGRESS_EVERY
    for number, sample in enumerate(samples):
        if is_told and number % PROGRESS_EVERY == 0:
            typer.echo(f"\r{number / len(samples):4.0%} of {len(samples):,} samples ", err=True, nl=False)
        yield sample
    if is_told:
        typer.echo("\r" + " " * 40 + "\r", err=True, nl=False)
