"""What `edge scan` does. The agent has the same command line and never scans: this is loaded when it is needed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from pathlib import Path

import typer

from edge.cli import scan_text
from edge.cli.settings import fail
from edge.contract.buses import Framing, Line
from edge.scan.report import Found, Report, Step
from edge.scan.scanner import NETWORK_WAIT_S, Scan
from edge.scan.targets import TargetError, network_lines, place_of, probe_s, serial_lines, units_in

SERIAL_WAIT_S = 0.15


def scan_and_show(
    serial: Path | None,
    tcp: str | None,
    *,
    units: str,
    bauds: list[int],
    parities: list[str],
    wait_s: float | None,
    as_json: bool,
) -> None:
    """Scan and say what there is; ends with 1 where nothing was found, with 2 where nothing could be understood."""
    try:
        lines = _lines(serial, tcp, bauds, parities)
        numbers = units_in(units, is_serial=serial is not None)
    except TargetError as error:
        fail(str(error), code=2)
    usual_s = SERIAL_WAIT_S if serial else NETWORK_WAIT_S
    report = asyncio.run(_scan(lines, numbers, wait_s=wait_s or usual_s, is_quiet=as_json))
    if as_json:
        typer.echo(json.dumps(scan_text.as_plain(report), ensure_ascii=False, indent=2))
    else:
        for line in scan_text.result(report):
            typer.echo(line)
    if not report.found:
        fail(f"no device found at {place_of(lines)}{'' if report.is_whole else ' so far'}", code=1)


def _lines(serial: Path | None, tcp: str | None, bauds: list[int], parities: list[str]) -> list[Line]:
    if (serial is None) == (tcp is None):
        raise TargetError("say either --serial /dev/ttyUSB0 or --tcp 10.0.0.0/28")
    if serial is not None:
        return serial_lines(str(serial.absolute()), bauds, parities)
    if bauds or parities:
        raise TargetError("--baud and --parity are for --serial: behind a converter they are set in the converter")
    framing: Framing = "tcp"
    return network_lines(tcp or "", framing)


async def _scan(lines: list[Line], units: list[int], *, wait_s: float, is_quiet: bool) -> Report:
    """Scan until the end or Ctrl-C."""
    display = _Progress(is_quiet=is_quiet)
    display.begin(lines, units, wait_s)
    scanning = Scan(lines, units, wait_s=wait_s, show=display.show)
    task = asyncio.create_task(scanning.run())

    def stop() -> None:
        scanning.stop()
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        display.say("stopped: this is what was found until then")
    finally:
        display.end()
    return scanning.report


class _Progress:
    """One line of standard error that changes in place; where no terminal is, a line for each setting."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_terminal, self._is_quiet = sys.stderr.isatty(), is_quiet
        self._line: Line | None = None

    def begin(self, lines: list[Line], units: list[int], wait_s: float) -> None:
        """Say how long it will take."""
        noun = "setting" if lines[0].is_serial else "address"
        plural = {"setting": "settings", "address": "addresses"}[noun]
        asked = f"{len(lines)} {noun if len(lines) == 1 else plural}"
        side_by_side = 1 if lines[0].is_serial else min(len(lines), 32)
        minutes = sum(probe_s(line, wait_s) for line in lines) * len(units) / side_by_side / 60
        at_most = f"{round(minutes)} min" if minutes >= 1.5 else f"{max(1, round(minutes * 60))} s"
        least = "about" if lines[0].is_serial else "at most"
        numbers = "1 unit number" if len(units) == 1 else f"{len(units)} unit numbers"
        self.say(f"{place_of(lines)}: {asked}, {numbers} each, {least} {at_most}; Ctrl-C ends it early")

    def show(self, step: Step | Found) -> None:
        """Tell where the scan is; a device is told on a line that stays."""
        if isinstance(step, Found):
            self._show_found(step)
        elif self._is_terminal:
            width = shutil.get_terminal_size().columns
            typer.echo(f"\r{scan_text.progress(step)[: width - 1]}\x1b[K", nl=False, err=True, color=True)
        elif step.line != self._line and step.line.is_serial and not self._is_quiet:
            self._line = step.line
            self.say(scan_text.progress(step))

    def _show_found(self, found: Found) -> None:
        if self._is_quiet:
            self.say(scan_text.found_line(found))
            return
        self.end()
        for line in scan_text.found_lines(found):
            typer.echo(line)

    def say(self, text: str) -> None:
        """A line that stays."""
        typer.echo(f"{chr(13)}{text}\x1b[K" if self._is_terminal else text, err=True, color=self._is_terminal)

    def end(self) -> None:
        """Clear the line that changes."""
        if self._is_terminal:
            typer.echo("\r\x1b[K", nl=False, err=True, color=True)
