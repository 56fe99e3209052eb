"""What `edge watch` does. The agent has the same command line and never does: this is loaded when it is needed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys

import typer

from edge.cli import watch_text
from edge.cli.settings import fail
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import GatewayConfig
from edge.readout import DeviceReader, open_readers
from edge.watch import Look, Watch

ALTERNATE, BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""What gives a terminal a second page without cursor, and takes it away."""


def watch_and_show(
    config: GatewayConfig, devices: list[str], *, every_s: float | None, count: int | None, as_json: bool
) -> None:
    """Watch until the end, and sum up; ends with 1 when a device never answered. Raises ConfigurationError."""
    watched = asyncio.run(_watch(config, devices, every_s=every_s, count=count, as_json=as_json))
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
