"""The bad network that other tests use does what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.proxy import Proxy


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()

    serving: list[asyncio.Task[None]] = []

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.create_task(echo(reader, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    async with asyncio.timeout(5):
        await asyncio.gather(*serving)


async def drop(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def ask(port: int, data: bytes = b"hello") -> bytes:
    """Send, and return what comes back until all is there or the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await reader.readexactly(len(data))
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""
    finally:
        await drop(writer)


async def test_bytes_pass_both_ways(echo_port: int) -> None:
    """What goes in comes out, whole and in order, also with a delay."""
    async with Proxy(echo_port) as proxy:
        data = bytes(range(256)) * 400
        assert await ask(proxy.port, data) == data
        proxy.delay_s = 0.02
        assert await ask(proxy.port) == b"hello"
        assert proxy.accepted == 2


async def test_what_is_swallowed_never_comes(echo_port: int) -> None:
    """An open connection falls silent for good, a new one too; once it passes on, the next works."""
    async with Proxy(echo_port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"1")
        assert await reader.read(1) == b"1"
        proxy.swallow()
        writer.write(b"2")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(proxy.port), 0.05)
        proxy.pass_on()
        assert await ask(proxy.port) == b"hello"
        writer.write(b"3")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        await drop(writer)


async def test_what_is_halted_goes_on(echo_port: int) -> None:
    """Nothing is lost by a halt: it comes when it is over."""
    async with Proxy(echo_port) as proxy:
        proxy.halt()
        asking = asyncio.create_task(ask(proxy.port))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asking), 0.05)
        proxy.pass_on()
        assert await asking == b"hello"


async def test_a_cut_ends_connections(echo_port: int) -> None:
    """Who waits for an answer notices a cut at once."""
    async with Proxy(echo_port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"1")
        assert await reader.read(1) == b"1"
        proxy.cut()
        assert await reader.read(1) == b""
        await drop(writer)
