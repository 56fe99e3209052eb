"""A bad network for tests: a TCP proxy on loopback that passes on, delays, throttles, halts, swallows or cuts.

    async with Proxy(broker_port) as proxy:      # clients connect to proxy.port
        proxy.swallow()                          # half-open: connections stay, and what is sent vanishes
        proxy.pass_on()                          # for new connections: what lost bytes can never go on
        proxy.halt()                             # nothing is read, so sends go into buffers, until pass_on()
        proxy.cut()                              # every connection ends at once

``delay_s`` and ``bytes_per_s`` (of each connection, each way) may be changed while connections are open.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Self

PIECE = 4096
BUFFER = 16 * 1024  # of a socket, so that a thin link does not hide a megabyte


class Proxy:
    """Stands before a server on 127.0.0.1; used as an async context manager, on one event loop."""

    def __init__(self, target_port: int, *, delay_s: float = 0.0, bytes_per_s: float | None = None) -> None:
        """Take the server's port; :attr:`target_port` may change between connections."""
        self.target_port = target_port
        self.delay_s = delay_s
        self.bytes_per_s = bytes_per_s
        self.port = 0
        self.accepted = 0
        """Connections so far, those that were swallowed among them."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_swallowing = False
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Listen."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listener, limit=PIECE)
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def pass_on(self) -> None:
        """Let new connections through, and those that were halted go on."""
        self._is_swallowing = False
        self._flowing.set()

    def swallow(self) -> None:
        """Take every byte of every connection, in both directions, and of new ones, and say nothing."""
        self._is_swallowing = True
        for link in self._links:
            link.is_dead = True
        self._flowing.set()

    def halt(self) -> None:
        """Read nothing more, in both directions, until :meth:`pass_on`."""
        self._flowing.clear()

    def cut(self) -> None:
        """End every connection."""
        for link in list(self._links):
            link.cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link([writer], is_dead=self._is_swallowing)
        self._links.add(link)
        try:
            if self._is_swallowing:
                while await reader.read(PIECE):
                    pass
            else:
                await self._join(link, reader, writer)
        finally:
            self._links.discard(link)
            link.cut()
            await asyncio.gather(*(end.wait_closed() for end in link.ends), return_exceptions=True)

    async def _join(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on in both directions until either side has gone, or we have cut it."""
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port, limit=PIECE)
            link.ends.append(far_writer)
            pumps = [
                asyncio.create_task(self._pump(link, reader, far_writer)),
                asyncio.create_task(self._pump(link, far_reader, writer)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=256)
        reading = asyncio.create_task(self._read(reader, pieces))
        try:
            while True:
                due_at, data = await pieces.get()
                await asyncio.sleep(due_at - asyncio.get_running_loop().time())
                await self._flowing.wait()
                if not data:
                    return
                if not link.is_dead:
                    writer.write(data)
                    await writer.drain()
        finally:
            reading.cancel()

    async def _read(self, reader: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Take pieces at the link's speed, each with the time when it is to come out; an empty one is the end."""
        data = b"to begin with"
        while data:
            await self._flowing.wait()
            try:
                data = await reader.read(PIECE)
            except OSError:
                data = b""
            if self.bytes_per_s is not None:
                await asyncio.sleep(len(data) / self.bytes_per_s)
            await pieces.put((asyncio.get_running_loop().time() + self.delay_s, data))


class _Link:
    """One connection through the proxy."""

    def __init__(self, ends: list[asyncio.StreamWriter], *, is_dead: bool) -> None:
        self.ends = ends
        self.is_dead = is_dead  # bytes were lost: nothing more passes

    def cut(self) -> None:
        """Drop both halves; again is harmless."""
        for end in self.ends:
            end.transport.abort()
