"""Connections on which nothing comes are let go, those that are being answered are not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from cloud.api.patience import ImpatientProtocol
from edge.contract.listening import listen
from tests.servers import free_ports

REQUEST = b"GET /%s HTTP/1.1\r\nHost: here\r\n\r\n"


class Quick(ImpatientProtocol):
    """Does not let a test wait."""

    look_every_s = 0.2


async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer at once or, for /slow, after five looks at the connection."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    if scope["path"] == "/slow":
        await asyncio.sleep(5 * Quick.look_every_s)
    await send({"type": "http.response.body", "body": b"ok"})


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to pytest."""
        yield


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The port of a server that is impatient."""
    [port] = free_ports(1)
    server = _Server(uvicorn.Config(answer, http=Quick, lifespan="off", log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve(sockets=[listen("127.0.0.1", port, backlog=10)]))
    yield port
    server.should_exit = True
    await serving


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: he", REQUEST % b"" + b"GET / HT"])
async def test_who_sends_no_headers_is_hung_up(port: int, sent: bytes) -> None:
    """Nothing at all, half of a request, or half of a second one: the connection ends by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
    writer.close()


async def test_who_is_being_answered_is_not(port: int) -> None:
    """An answer may take longer than it takes to ask, and a next request may follow it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in (b"slow", b""):
        writer.write(REQUEST % path)
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(2) == b"ok"
    writer.close()
