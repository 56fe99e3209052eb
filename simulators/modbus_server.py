"""A Modbus TCP server for devices made from their profiles.

Our own server, not pymodbus': the agent reads with pymodbus, so a misunderstanding of the wire would show here instead
of cancelling out; and here a device can be silent. Written after Modbus Messaging on TCP/IP 1.0b (section 3.1).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from typing import Self

from edge.contract.listening import listen
from simulators.answers import NO_SUCH_UNIT, answer_of, exception
from simulators.device import SimulatedDevice

MBAP = struct.Struct(">HHHB")  # transaction, protocol (0), length of what follows, unit
BACKLOG = 100


class ModbusServer:
    """One TCP port on loopback with one or more devices behind it, told apart by unit.

    ``async with ModbusServer({1: device}) as server: server.port``. Port 0 takes a free one, which then stays the same
    through :meth:`go_offline` and :meth:`go_online`.
    """

    def __init__(self, units: Mapping[int, SimulatedDevice], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.units, self.host, self.port = dict(units), host, port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.go_online()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_offline()

    async def go_online(self) -> None:
        """Listen; raises ListenError."""
        if self._server is not None:
            return
        listening = listen(self.host, self.port, backlog=BACKLOG)
        self._server = await asyncio.start_server(self._accept, sock=listening)
        self.port = self._server.sockets[0].getsockname()[1]

    async def go_offline(self) -> None:
        """Refuse connections and drop those there are, as a device without power."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                transaction, protocol, length, unit = MBAP.unpack(await reader.readexactly(MBAP.size))
                request = await reader.readexactly(length - 1) if length > 1 else b""
                if protocol == 0 and (answer := self.answer(unit, request)) is not None:
                    writer.write(MBAP.pack(transaction, 0, len(answer) + 1, unit) + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the reader went away
        finally:
            writer.close()

    def answer(self, unit: int, request: bytes) -> bytes | None:
        """The PDU that answers a PDU; None when the device keeps silent."""
        device = self.units.get(unit)
        if device is None:
            return exception(request[0] if request else 0, NO_SUCH_UNIT)
        return answer_of(device, request)
