"""The network between a phone and the cloud, which can be bad in each of the ways that lose or double things."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

CHUNK = 65_536
NOTHING = b"nothing begins so"


class Network:
    """A TCP proxy at `url`; connections are dropped while it is `cut`.

    `lose_answers_to` drops a connection as soon as the server answers a request that begins so: it has acted, but
    nobody hears of it. `break_off` drops one after the first part of a request that begins so. `delay_s` holds up
    every answer. `struck` is set when something was dropped, lost or broken off.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.is_cut = False
        self.lose_answers_to = self.break_off = NOTHING
        self.delay_s = 0.0
        self.struck = asyncio.Event()

    @property
    def url(self) -> str:
        """Where the phone finds the cloud."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """Drop every connection, and new ones at once."""
        self.is_cut = True
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def mend(self) -> None:
        """Be a good network again."""
        self.is_cut = False
        self.lose_answers_to = self.break_off = NOTHING
        self.delay_s = 0.0

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(_Connection(self).pass_on(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)


class _Connection:
    """One connection through the network; `asked` is how its latest request began."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._asked = b""

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy both ways until one side ends, or the network is bad."""
        try:
            if self._network.is_cut:
                self._network.struck.set()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._network.target_port)
            copies = [asyncio.ensure_future(one) for one in (self._up(reader, back), self._down(there, writer))]
            try:
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for copy in copies:
                    copy.cancel()
                await asyncio.gather(*copies, return_exceptions=True)
                back.close()
        finally:
            writer.close()

    async def _up(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(CHUNK):
                if chunk.startswith((b"GET ", b"POST ")):
                    self._asked = chunk
                if self._asked.startswith(self._network.break_off):
                    target.write(chunk[: len(chunk) // 2])
                    await target.drain()
                    self._network.struck.set()
                    return
                target.write(chunk)
                await target.drain()

    async def _down(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(CHUNK):
                if self._asked.startswith(self._network.lose_answers_to):
                    self._network.struck.set()
                    return
                await asyncio.sleep(self._network.delay_s)
                target.write(chunk)
                await target.drain()
