"""A serial port of this machine with simulated devices behind it: a pty whose bytes take the time of real ones.

A pty carries baud rate and stop bits, which the master sets by opening it, but no parity: who tests that says with
``parity`` what the master has set. The port is there for as long as the line is, however often the master reopens it.
"""

from __future__ import annotations

import asyncio
import os
import pty
import termios
import tty
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from edge.contract.buses import Parity
from simulators.deadlines import Deadlines
from simulators.device import SimulatedDevice
from simulators.faults import FaultPlan
from simulators.serial_wire import Collision, SerialSettings, SerialWire

RATES: Final = (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)
BAUDS: Final = {getattr(termios, f"B{baud}"): baud for baud in RATES}  # by what termios calls them
READ_CHARS: Final = 4096
CFLAG, OUTPUT_SPEED = 2, 5  # of termios.tcgetattr


class RtuLine:
    """A pty with devices by unit number behind it.

    ``async with RtuLine({3: device}, baud=9600) as line: line.path``. The settings are those of the devices but of
    ``others``, which are set otherwise. ``link`` is a path for a symbolic link to the port, which keeps its name when
    the port comes back under another. See :class:`SerialWire` for the rest.
    """

    def __init__(
        self,
        units: Mapping[int, SimulatedDevice],
        *,
        baud: int = 9600,
        parity: Parity = "none",
        stop_bits: int = 1,
        turnaround_s: float | None = None,
        others: Mapping[int, SerialSettings] | None = None,
        faults: FaultPlan | None = None,
        garbage: bool = False,
        master_parity: Callable[[], Parity] | None = None,
        link: Path | None = None,
        away_s: float = 0.5,
    ) -> None:
        """``away_s``: how long a port is gone that a fault has pulled.

        ``master_parity`` is asked at each request how the master has set its port; without it, as the line's.
        """
        self.units = units
        self.settings = SerialSettings(baud, parity, stop_bits)
        self.faults = faults or FaultPlan()
        self._turnaround_s, self._others, self._garbage = turnaround_s, others, garbage
        self._master_parity, self._link, self._away_s = master_parity, link, away_s
        self._stack = ExitStack()
        self._ours = self._theirs = -1

    async def __aenter__(self) -> Self:
        self._deadlines = deadlines = self._stack.enter_context(Deadlines())
        self.wire = SerialWire(
            self.units,
            self.settings,
            deadlines=deadlines,
            say=self._say,
            hang_up=self._go_away_for_a_while,
            turnaround_s=self._turnaround_s,
            others=self._others,
            faults=self.faults,
            garbage=self._garbage,
        )
        self.plug_in()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.hang_up()
        self._stack.close()

    @property
    def path(self) -> str:
        """The serial port to open."""
        return str(self._link or self._name)

    @property
    def requests(self) -> int:
        """Right frames so far that were for a device here."""
        return self.wire.requests

    @property
    def busy_s(self) -> float:
        """From the first character of each request to the last of its answer, summed up."""
        return self.wire.busy_s

    @property
    def collisions(self) -> list[Collision]:
        """When the master talked and should not have."""
        return self.wire.collisions

    def plug_in(self) -> None:
        """Make the port; harmless when it is there."""
        if self._ours >= 0:
            return
        self._ours, self._theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        tty.setraw(self._theirs)
        self._name = os.ttyname(self._theirs)
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self._name)
        asyncio.get_running_loop().add_reader(self._ours, self._hear)

    def hang_up(self) -> None:
        """Take the port away, as one on USB that is pulled; whoever has it open gets an error. Harmless when it is."""
        if self._ours < 0:
            return
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        os.close(self._theirs)
        self._ours = self._theirs = -1
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def _go_away_for_a_while(self) -> None:
        self.hang_up()
        self._deadlines.at(asyncio.get_running_loop().time() + self._away_s, self.plug_in)

    def _hear(self) -> None:
        with suppress(BlockingIOError):
            data, port = os.read(self._ours, READ_CHARS), self._port()
            if port is not None:
                self.wire.hear(data, port)

    def _port(self) -> SerialSettings | None:
        """How the master has set its port; None for a rate so odd that nobody hears it."""
        attributes = termios.tcgetattr(self._theirs)
        if attributes[OUTPUT_SPEED] not in BAUDS:
            return None
        parity = self.settings.parity if self._master_parity is None else self._master_parity()
        stop_bits = 2 if attributes[CFLAG] & termios.CSTOPB else 1
        return SerialSettings(BAUDS[attributes[OUTPUT_SPEED]], parity, stop_bits)

    def _say(self, data: bytes) -> None:
        with suppress(BlockingIOError):  # nobody reads and the buffer is full: lost, as in a real port
            if self._ours >= 0:
                os.write(self._ours, data)
