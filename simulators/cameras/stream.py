"""An answer without end, of parts: what Hikvision and Dahua cameras share."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import ClassVar, Final, NamedTuple, Unpack

from simulators.cameras.faults import CameraFault
from simulators.cameras.http_side import Answer, Options, Request, SimulatedCamera

STORM: Final = 20
HUGE: Final = 50 * 1024 * 1024
MOUTHFUL: Final = 64 * 1024


class Said(NamedTuple):
    """One part."""

    content_type: str
    body: bytes


class StreamingCamera(SimulatedCamera):
    """Whoever asks for ``path`` hears a heartbeat and all that is seen from then on."""

    path: ClassVar[str]
    multipart: ClassVar[str]
    boundary: ClassVar[str]
    heartbeat_s: float = 5.0

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self._listeners: set[asyncio.Queue[Said]] = set()
        self.is_heard = asyncio.Event()

    @abstractmethod
    def heartbeat(self) -> Said:
        """What it says when it sees nothing."""

    def say(self, *said: Said) -> None:
        """Say something to everyone who listens."""
        for _ in range(STORM if CameraFault.STORM in self.faults else 1):
            for listener in self._listeners:
                for each in said:
                    listener.put_nowait(each)

    async def answer(self, request: Request) -> Answer:
        """Answer its one path."""
        if request.target.partition("?")[0] != self.path:
            return Answer("404 Not Found", "text/html", b"<html>404</html>")
        said = "another" if CameraFault.WRONG_BOUNDARY in self.faults else self.boundary
        return Answer("200 OK", f"{self.multipart}; boundary={said}", self._parts())

    async def _parts(self) -> AsyncIterator[bytes]:
        heard: asyncio.Queue[Said] = asyncio.Queue()
        self._listeners.add(heard)
        self.is_heard.set()
        try:
            if CameraFault.SILENT not in self.faults:
                yield self._part(self.heartbeat())
            while True:
                try:
                    async with asyncio.timeout(self._wait_s()):
                        said = await heard.get()
                except TimeoutError:
                    said = None
                async for piece in self._pieces(said):
                    yield piece
                if said is not None and CameraFault.HANGING_UP in self.faults:
                    return
        finally:
            self._listeners.discard(heard)

    def _wait_s(self) -> float:
        return 0.02 if CameraFault.TRICKLING in self.faults else self.heartbeat_s

    async def _pieces(self, said: Said | None) -> AsyncIterator[bytes]:
        if CameraFault.TRICKLING in self.faults:
            yield b"\r\n"
        elif CameraFault.HUGE in self.faults:
            yield f"--{self.boundary}\r\nContent-Type: text/plain\r\nContent-Length: {HUGE}\r\n\r\n".encode()
            for _ in range(HUGE // MOUTHFUL):
                yield b"x" * MOUTHFUL
        elif CameraFault.SILENT not in self.faults:
            yield self._part(said or self.heartbeat())

    def _part(self, said: Said) -> bytes:
        length = len(said.body) // 2 if CameraFault.WRONG_LENGTH in self.faults else len(said.body)
        counted = "" if CameraFault.NO_LENGTH in self.faults else f"Content-Length:{length}\r\n"
        head = f"--{self.boundary}\r\nContent-Type: {said.content_type}\r\n{counted}\r\n"
        return head.encode() + said.body + b"\r\n\r\n"
