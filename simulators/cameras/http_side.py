"""A small HTTP/1.1 server for simulated cameras: one answer a connection, HTTP Digest, answers without end.

Real cameras are no web servers either: a server of the shelf would mend the very faults that are wanted here.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import suppress
from hashlib import md5
from typing import ClassVar, Final, NamedTuple, Self, TypedDict, Unpack

from edge.contract.listening import listen
from simulators.cameras.faults import CameraFault

REALM: Final = "simulated"
MOST_BODY: Final = 1024 * 1024
FIELD: Final = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


class Request(NamedTuple):
    """What was asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    """What is answered: bytes, or pieces until they end."""

    status: str
    content_type: str
    body: bytes | AsyncIterator[bytes]
    headers: str = ""


class Options(TypedDict, total=False):
    """How a camera is set up; port 0 is a free one."""

    username: str
    password: str
    port: int
    tls: ssl.SSLContext


class SimulatedCamera(ABC):
    """``async with`` it: it listens on 127.0.0.1, ``port`` says where. ``faults`` may change while it runs."""

    asks_for_digest: ClassVar[bool] = True

    def __init__(self, **options: Unpack[Options]) -> None:
        self.username, self.password = options.get("username", "anlan"), options.get("password", "simulated")
        self._tls = options.get("tls")
        self.faults: set[CameraFault] = set()
        self.connections = 0  # requests that were let in
        self.refusals = 0
        self._wanted_port = options.get("port", 0)
        self._nonce = secrets.token_hex(16)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Raises ListenError."""
        listening = listen("127.0.0.1", self._wanted_port, backlog=16)
        self._server = await asyncio.start_server(self._serve, sock=listening, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @abstractmethod
    async def answer(self, request: Request) -> Answer:
        """Answer what was asked by whoever may."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._exchange(await _read(reader), writer)
        writer.close()

    async def _exchange(self, request: Request, writer: asyncio.StreamWriter) -> None:
        answer = await self._judge(request)
        is_whole = isinstance(answer.body, bytes)
        length = f"Content-Length: {len(answer.body)}\r\n" if isinstance(answer.body, bytes) else ""
        writer.write(
            f"HTTP/1.1 {answer.status}\r\nContent-Type: {answer.content_type}\r\n{length}{answer.headers}"
            "Connection: close\r\n\r\n".encode()
        )
        if is_whole:
            writer.write(answer.body)  # type: ignore[arg-type]
            await writer.drain()
            return
        async for piece in answer.body:  # type: ignore[union-attr]
            writer.write(piece)
            await writer.drain()

    async def _judge(self, request: Request) -> Answer:
        is_locked = CameraFault.LOCKED in self.faults
        if is_locked or (self.asks_for_digest and not self._is_signed(request)):
            if "authorization" in request.headers:
                self.refusals += 1
            challenge = f'WWW-Authenticate: Digest realm="{REALM}", qop="auth", nonce="{self._nonce}"\r\n'
            return Answer("401 Unauthorized", "text/html", b"<html>401</html>", challenge)
        self.connections += 1
        return await self.answer(request)

    def _is_signed(self, request: Request) -> bool:
        """Whether the Digest (RFC 7616, MD5, qop=auth) is that of our user and password."""
        scheme, _, said = request.headers.get("authorization", "").partition(" ")
        fields = {name: quoted or plain for name, quoted, plain in FIELD.findall(said)}
        if scheme.lower() != "digest" or fields.get("nonce") != self._nonce:
            return False
        if fields.get("username") != self.username or fields.get("uri") != request.target:
            return False
        first = _md5(f"{self.username}:{REALM}:{self.password}")
        second = _md5(f"{request.method}:{request.target}")
        middle = f"{self._nonce}:{fields.get('nc')}:{fields.get('cnonce')}:{fields.get('qop')}"
        return fields.get("response") == _md5(f"{first}:{middle}:{second}")


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, *_ = [*first.split(" "), "", ""]
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = min(int(headers.get("content-length", "0")), MOST_BODY)
    return Request(method, target, headers, await reader.readexactly(length))


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
