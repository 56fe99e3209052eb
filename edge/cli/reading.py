"""What stands in devices now: `edge read` once, `edge watch` again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated

import typer

from edge.cli import point_text
from edge.cli.settings import GATEWAY_YAML, ConfigOption, JsonOption, fail, group, load
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import GatewayConfig
from edge.contract.program import example
from edge.drivers import ConfigurationError
from edge.readout import Readout, read_devices

app = group()


@app.command(epilog=example("edge", "read meter-1 --config gateway.yaml"))
def read(
    devices: Annotated[
        list[str] | None, typer.Argument(help="Ids of devices in gateway.yaml.", metavar="DEVICE...")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every device of gateway.yaml.")] = False,
    config: ConfigOption = GATEWAY_YAML,
    as_json: JsonOption = False,
) -> None:
    """Read devices once and show each point.

    Where it is, raw registers, value, unit, flag.
    """
    settings = load(config)
    known = [device.id for device in settings.devices]
    if bool(devices) == everything:
        fail(f"say which device ({', '.join(known)}), or --all", code=2)
    wanted = list(dict.fromkeys(devices or known))
    try:
        readouts = asyncio.run(_read(settings, wanted, show=_ignore if as_json else _show(len(wanted) > 1)))
    except ConfigurationError as error:
        fail(f"{config}: {error}", code=2)
    if as_json:
        typer.echo(json.dumps({"devices": list(map(point_text.as_plain, readouts))}, ensure_ascii=False, indent=2))
    faults = [fault for readout in readouts for fault in readout.faults]
    if faults:
        fail("\n".join(faults), code=1)


async def _read(config: GatewayConfig, devices: list[str], *, show: Callable[[Readout], None]) -> list[Readout]:
    readouts = []
    async for readout in read_devices(config, devices, clock=SystemClock()):
        show(readout)
        readouts.append(readout)
    return readouts


def _ignore(_: Readout) -> None:
    pass


def _show(is_one_of_several: bool) -> Callable[[Readout], None]:  # noqa: FBT001 -- the only thing to say
    def show(readout: Readout) -> None:
        if is_one_of_several:
            typer.echo(f"{readout.device.id}: {readout.device.device_profile.profile}")
        for line in point_text.table_of(readout.points):
            typer.echo(line)
        if is_one_of_several:
            typer.echo()

    return show


@app.command(epilog=example("edge", "watch meter-1 --config gateway.yaml"))
def watch(
    devices: Annotated[
        list[str] | None, typer.Argument(help="Ids of devices; without any, every device.", metavar="DEVICE...")
    ] = None,
    *,
    config: ConfigOption = GATEWAY_YAML,
    every: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds between two readings, instead of gateway.yaml's.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many readings of each device.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read devices again and again, and mark what changes.

    Until Ctrl-C, which shows how many answers came, how many did not and why. On a terminal the values stay in their
    place; otherwise, and with --json, each reading is a line.
    """
    from edge.cli.watching import watch_and_show  # noqa: PLC0415 -- the agent never does

    settings = load(config)
    wanted = list(dict.fromkeys(devices or [device.id for device in settings.devices]))
    try:
        watch_and_show(settings, wanted, every_s=every, count=count, as_json=as_json)
    except ConfigurationError as error:
        fail(f"{config}: {error}", code=2)
