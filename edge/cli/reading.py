"""What stands in devices now: `edge read` once, `edge watch` again and again."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from edge.cli import point_text, watch_text
from edge.cli.settings import GATEWAY_YAML, ConfigOption, JsonOption, fail, group, load
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import GatewayConfig
from edge.contract.program import example
from edge.drivers import ConfigurationError
from edge.readout import DeviceReader, Readout, open_readers, read_devices
from edge.watch import Look, Watch

ALTERNATE, BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""What gives a terminal a second page without cursor, and takes it away."""

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
    settings = load(config)
    wanted = list(dict.fromkeys(devices or [device.id for device in settings.devices]))
    try:
        watched = asyncio.run(_watch(settings, wanted, every_s=every, count=count, as_json=as_json))
    except ConfigurationError as error:
        fail(f"{config}: {error}", code=2)
    if as_json:
        typer.echo(json.dumps(watch_text.plain_summary(watched.tallies), ensure_ascii=False))
    else:
        for line in watch_text.summary(watched.tallies):
            typer.echo(line)
    silent = [device for device, tally in watched.tallies.items() if tally.polls and not tally.answers]
    if silent:
        fail(f"no answer at all from {', '.join(silent)}", code=1)


async def _watch(
    config: GatewayConfig, devices: list[str], *, every_s: float | None, count: int | None, as_json: bool
) -> Watch:
    async with open_readers(config, devices, clock=SystemClock()) as readers:
        display: _Display = _Json() if as_json else _OnTerminal(readers) if sys.stdout.isatty() else _Appended()
        watched = Watch(readers, show=display.show, every_s=every_s, count=count)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, watched.stop)
        display.begin(watched)
        try:
            await watched.run()
        finally:
            display.end()
    return watched


class _Display:
    """Where polls are shown; this one appends nothing."""

    def begin(self, watched: Watch) -> None:
        """Before the first poll."""

    def show(self, look: Look) -> None:
        """Each poll."""

    def end(self) -> None:
        """After the last."""


class _Json(_Display):
    """One object a line."""

    def show(self, look: Look) -> None:
        typer.echo(json.dumps(watch_text.plain_look(look), ensure_ascii=False))


class _Appended(_Display):
    """A line for each change."""

    def show(self, look: Look) -> None:
        for line in watch_text.appended(look):
            typer.echo(line)


class _OnTerminal(_Display):
    """A page of its own, on which values stay in their place."""

    def __init__(self, readers: list[DeviceReader]) -> None:
        self._readers = readers

    def begin(self, watched: Watch) -> None:
        self._screen = watch_text.Screen(self._readers, watched.tallies)
        typer.echo(ALTERNATE, nl=False)
        self._draw()

    def show(self, look: Look) -> None:
        self._screen.note(look)
        self._draw()

    def end(self) -> None:
        typer.echo(BACK, nl=False)

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        lines = self._screen.lines(width=size.columns, height=size.lines - 1)
        typer.echo(watch_text.joined([*lines, "Ctrl-C ends it"]), nl=False, color=True)
