"""A device that follows a script: for each request it sends what the test says, when it says so; over TCP or a pty."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import Callable
from typing import Self

from edge.drivers.modbus_frames import crc

Sends = list[bytes | float | None]
"""In order: bytes are sent at once, a number is a pause in seconds, None closes the connection."""

Script = Callable[[bytes, int], Sends]
"""(request, number of this connection from 1) -> what to send."""


class ScriptedServer:
    """``async with ScriptedServer(script) as server: server.port``; ``requests`` holds all that came, in order."""

    def __init__(self, script: Script, *, request_size: int = 12) -> None:
        self.script, self.request_size = script, request_size
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                request = await reader.readexactly(self.request_size)
                self.requests.append(request)
                for step in self.script(request, number):
                    if step is None:
                        return
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    else:
                        await asyncio.sleep(step)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the reader went away, as it should after a wrong answer
        finally:
            self._tasks.discard(task)
            writer.close()


class ScriptedPort:
    """``async with ScriptedPort(script) as port: port.path``: the same on a serial line, a pty without true timing."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = b""

    async def __aenter__(self) -> Self:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)
        asyncio.get_running_loop().add_reader(self._ours, self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.unplug()

    def unplug(self) -> None:
        """Let the port vanish."""
        if self._ours >= 0:
            asyncio.get_running_loop().remove_reader(self._ours)
            os.close(self._ours)
            os.close(self._theirs)
            self._ours = -1

    def send(self, data: bytes) -> None:
        """Say something that nobody asked for."""
        os.write(self._ours, data)

    def _hear(self) -> None:
        self._heard += os.read(self._ours, 1024)
        while len(self._heard) >= 8:
            request, self._heard = self._heard[:8], self._heard[8:]
            self.requests.append(request)
            task = asyncio.create_task(self._answer(request, len(self.requests)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: bytes, number: int) -> None:
        for step in self.script(request, number):
            if step is None:
                self.unplug()
            elif isinstance(step, bytes):
                self.send(step)
            else:
                await asyncio.sleep(step)


def frame(request: bytes, pdu: bytes, *, tid: int | None = None, unit: int | None = None) -> bytes:
    """A well-formed frame around a PDU, with the transaction id and unit of the request unless said otherwise."""
    header = request[0:2] if tid is None else tid.to_bytes(2, "big")
    return header + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([request[6] if unit is None else unit]) + pdu


def registers(request: bytes, first: int = 0) -> bytes:
    """The PDU that answers a request for registers: first, first + 1, ..."""
    count = int.from_bytes(request[10:12], "big")
    words = b"".join((first + index).to_bytes(2, "big") for index in range(count))
    return bytes([request[7], 2 * count]) + words


def right(request: bytes, first: int = 0) -> bytes:
    """The one right answer."""
    return frame(request, registers(request, first))


def rtu(request: bytes, pdu: bytes, *, unit: int | None = None) -> bytes:
    """A well-formed RTU frame around a PDU, with the unit of the request unless said otherwise."""
    body = bytes([request[0] if unit is None else unit]) + pdu
    return body + crc(body)


def rtu_right(request: bytes, first: int = 0) -> bytes:
    """The one right answer to an RTU request for registers: first, first + 1, ..."""
    count = int.from_bytes(request[4:6], "big")
    words = b"".join((first + index).to_bytes(2, "big") for index in range(count))
    return rtu(request, bytes([request[1], 2 * count]) + words)
