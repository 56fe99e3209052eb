"""A serial converter that passes bytes on as they are: RTU over TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from simulators.deadlines import Deadlines
from simulators.device import SimulatedDevice
from simulators.faults import FaultPlan
from simulators.loopback_server import LoopbackServer
from simulators.serial_wire import Collision, SerialSettings, SerialWire

READ_CHARS = 4096


class RtuOverTcp(LoopbackServer):
    """One TCP port on loopback: what comes goes on a serial line, what the line says goes to all that are connected.

    ``async with RtuOverTcp({3: device}, SerialSettings(19200)) as server: server.port``. See :class:`SerialWire`.
    """

    def __init__(
        self,
        units: Mapping[int, SimulatedDevice],
        settings: SerialSettings | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        turnaround_s: float | None = None,
        others: Mapping[int, SerialSettings] | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        super().__init__(host=host, port=port)
        self.units, self.settings, self.faults = units, settings or SerialSettings(), faults or FaultPlan()
        self._turnaround_s, self._others = turnaround_s, others
        self._writers: set[asyncio.StreamWriter] = set()
        self._stack = ExitStack()

    async def __aenter__(self) -> Self:
        self.wire = SerialWire(
            self.units,
            self.settings,
            deadlines=self._stack.enter_context(Deadlines()),
            say=self._say,
            hang_up=self.drop,
            turnaround_s=self._turnaround_s,
            others=self._others,
            faults=self.faults,
        )
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        self._stack.close()

    @property
    def requests(self) -> int:
        """Right frames so far that were for a device here."""
        return self.wire.requests

    @property
    def collisions(self) -> list[Collision]:
        """When the master talked and should not have."""
        return self.wire.collisions

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes."""
        self._writers.add(writer)
        try:
            while data := await reader.read(READ_CHARS):
                self.wire.hear(data, self.settings)
        finally:
            self._writers.discard(writer)

    def _say(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)
