"""A camera listener with its intakes over real HTTP, standing on what a test keeps instead of an outbox."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from edge.contract.camera_config import CameraConfig, CameraListenerConfig
from edge.contract.messages import BlobPiece, Event
from edge.drivers import Missing, NotStoredError
from edge.drivers.cameras.app import Patience
from edge.drivers.cameras.intake import CameraIntake, Keeper
from edge.drivers.cameras.listener import CameraListener
from edge.drivers.cameras.witness import UNWATCHED, Witness
from tests.edge.hand_clock import HandClock
from tests.servers import free_ports

START = 1_795_306_500_000  # 2026-11-22T00:15:00Z
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"
EVENT = {"class": "CAM.GARBAGE", "time": "2026-11-22T08:14:30.250+08:00", "note": "north gate"}
EVENT_MS = START - 29_750
RIGHT = ("cam-1", "correct horse")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused, but httpx would load the authorities for each client


def camera(name: str = "cam-1", **more: Any) -> CameraConfig:
    """A camera as gateway.yaml has it."""
    said: dict[str, Any] = {"purpose": "看垃圾投放点", "sign": "门侧公示牌", "classes": ("CAM.GARBAGE", "CAM.BIN")}
    if more.get("brand", "anlan") != "frigate":
        said["password_file"] = Path("nowhere")
    return CameraConfig.model_validate({"id": name, **said, **more})


class Outbox:
    """What is kept of what cameras say."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pictures: list[bytes | None] = []
        self.states: dict[str, str | None] = {}
        self.is_full = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.begun = asyncio.Event()
        self.kept = asyncio.Condition()

    async def store(self, event: Event, pieces: Sequence[BlobPiece], states: dict[str, str | None]) -> None:
        """Stand in for the recorder."""
        self.begun.set()
        await asyncio.sleep(0)
        await self.may_go_on.wait()
        if self.is_full:
            raise NotStoredError("outbox: disk full")
        self.events.append(event)
        self.pictures.append(b"".join(piece.data for piece in pieces) if pieces else None)
        self.states |= states
        async with self.kept:
            self.kept.notify_all()

    async def reached(self, count: int) -> list[Event]:
        """Wait until so many revisions are kept."""
        async with asyncio.timeout(20), self.kept:
            await self.kept.wait_for(lambda: len(self.events) >= count)
        return self.events

    def hand_over(self, event: Event, states: dict[str, str | None]) -> None:
        """Stand in for the recorder."""
        self.events.append(event)
        self.pictures.append(None)
        self.states |= states

    @property
    def keeper(self) -> Keeper:
        """How intakes keep something here."""
        return Keeper(self.store, self.hand_over, self.states.__setitem__, asyncio.Semaphore(1))


def intake_of(config: CameraConfig, outbox: Outbox, clock: HandClock) -> CameraIntake:
    """What takes in what one camera says."""
    return CameraIntake(config, gateway="gw", clock=clock, keeper=outbox.keeper)


def health(intake: CameraIntake) -> dict[str, Any]:
    """The health of a camera as plain values, None where it is missing."""
    answers = intake.health.answers()
    return {name: None if isinstance(answer, Missing) else answer for name, answer in answers.items()}


def refusals(intake: CameraIntake) -> dict[str, int]:
    """Reasons that were counted, and how often."""
    counts = {name: value for name, value in health(intake).items() if name.startswith("refused_") and value}
    return {name.removeprefix("refused_"): int(value) for name, value in counts.items()}


class Site:
    """A listener with cameras, and what it has handed on."""

    def __init__(
        self,
        folder: Path,
        cameras: Sequence[CameraConfig] = (),
        *,
        max_mb: float,
        patience: Patience,
        witness: Witness = UNWATCHED,
    ) -> None:
        """Without cameras: cam-1 and cam-2, which speak our own form."""
        names = [each.id for each in cameras] or ["cam-1", "cam-2"]
        configs = []
        for name, password in zip(names, ("correct horse", "battery staple"), strict=False):
            secret = folder / f"{name}.password"
            secret.write_text(f"{password}\n", encoding="utf-8")
            secret.chmod(0o600)
            found = [each for each in cameras if each.id == name]
            configs.append((found[0] if found else camera(name)).model_copy(update={"password_file": secret}))
        self.clock = HandClock(START)
        self.outbox = Outbox()
        self.config = CameraListenerConfig(host="127.0.0.1", port=free_ports(1)[0], max_mb=max_mb)
        self.intakes = {each.id: intake_of(each, self.outbox, self.clock) for each in configs}
        taking = [(each.camera, each) for each in self.intakes.values()]
        self.listener = CameraListener(self.config, taking, clock=self.clock, patience=patience, witness=witness)
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.config.port}", timeout=20, verify=NO_TLS)

    @property
    def kept(self) -> list[Event]:
        """The revisions that were kept."""
        return self.outbox.events

    async def post(self, path: str = "/v1/trigger", *, auth: Any = RIGHT, **request: Any) -> httpx.Response:
        """Post to the listener."""
        return await self.http.post(path, auth=auth, **request)

    async def post_event(
        self, changes: dict[str, object] | None = None, *, picture: bytes | None = JPEG
    ) -> httpx.Response:
        """Post as JSON, with some keys changed; None leaves a key out."""
        document: dict[str, object] = {**EVENT, "picture": base64.b64encode(picture).decode() if picture else None}
        document |= changes or {}
        return await self.post(json={key: value for key, value in document.items() if value is not None})


@contextlib.asynccontextmanager
async def listening(
    folder: Path, cameras: Sequence[CameraConfig] = (), *, max_mb: float = 1, patience: Patience | None = None
) -> AsyncIterator[Site]:
    """A site whose listener runs."""
    made = Site(folder, cameras, max_mb=max_mb, patience=patience or Patience())
    async with made.listener, made.http:
        yield made


async def begin_post(
    site: Site, *, length: int, body: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send the headers of a post of so many bytes, and a beginning of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.config.port)
    head = f"POST /v1/trigger HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n"
    credentials = base64.b64encode(b"cam-1:correct horse").decode()
    writer.write(f"{head}Authorization: Basic {credentials}\r\n\r\n".encode() + body)
    await writer.drain()
    return reader, writer


def multipart(*parts: tuple[str, bytes], boundary: str = "frontier") -> bytes:
    """A form."""
    body = b""
    for name, data in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()
