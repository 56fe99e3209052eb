"""A TCP server on one port that can go away and come back there."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Self

from edge.contract.listening import listen

BACKLOG = 100


class LoopbackServer(ABC):
    """``async with server: server.port``.

    Port 0 takes a free one, which then stays the same through :meth:`go_offline` and :meth:`go_online`.
    """

    def __init__(self, *, host: str, port: int) -> None:
        self.host, self.port = host, port
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
        self.drop()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def drop(self) -> None:
        """Close the connections there are."""
        for connection in self._connections:
            connection.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve_until_gone(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve_until_gone(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the reader went away
        finally:
            writer.close()

    @abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which is closed afterwards."""
