"""A network between a client and a server on loopback that can be cut, slowed down, and hang without closing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import Enum, auto
from typing import Self

CHUNK = 65_536
DELAY_S = 0.8  # of each piece while the network is slow


class Network(Enum):
    """What becomes of connections and of what is sent through them."""

    CARRIES = auto()
    CUT = auto()  # connections are reset, new ones too
    SLOW = auto()  # each piece arrives late
    HELD = auto()  # nothing arrives until it carries again
    HALF_OPEN = auto()  # what is sent is lost and nobody is told; such a connection never carries again


class _Ways:
    """One client's connection: two pumps and whether it is half open."""

    def __init__(self) -> None:
        self.is_lost = False
        self.writers: list[asyncio.StreamWriter] = []

    def reset(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """``async with Proxy(broker.port) as proxy``: clients use ``proxy.port``; ``proxy.set(Network.CUT)``."""

    port: int

    def __init__(self, server_port: int) -> None:
        self.lost_bytes = 0  # in half-open connections
        self._server_port = server_port
        self._network = Network.CARRIES
        self._ways: set[_Ways] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_moving = asyncio.Event()
        self._is_moving.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for ways in self._ways:
            ways.reset()

    def set(self, network: Network) -> None:
        """Let the network be so from now on."""
        self._network = network
        if network is Network.HELD:
            self._is_moving.clear()
        else:
            self._is_moving.set()
        for ways in list(self._ways):
            if network is Network.CUT:
                ways.reset()
            ways.is_lost |= network is Network.HALF_OPEN

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ways = _Ways()
        ways.writers.append(client_out)
        self._ways.add(ways)
        try:
            with suppress(OSError):
                await self._carry(ways, client_in, client_out)
        finally:
            ways.reset()
            self._ways.discard(ways)
            self._tasks.discard(task)

    async def _carry(self, ways: _Ways, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        if self._network is Network.CUT:
            return
        ways.is_lost = self._network is Network.HALF_OPEN
        await self._is_moving.wait()
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._server_port)
        ways.writers.append(server_out)
        await asyncio.gather(self._pump(ways, client_in, server_out), self._pump(ways, server_in, client_out))

    async def _pump(self, ways: _Ways, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK):
            if self._network is Network.SLOW:
                await asyncio.sleep(DELAY_S)
            await self._is_moving.wait()
            if ways.is_lost:
                self.lost_bytes += len(data)
            else:
                target.write(data)
                await target.drain()
        if not ways.is_lost:
            target.close()
