"""An intake that only listens, and cameras as gateway.yaml names them, for tests of what pulls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypedDict, Unpack

from edge.contract.camera_config import AskConfig, CameraConfig
from edge.drivers import NotStoredError
from edge.drivers.cameras import Refused, Sighting
from edge.drivers.cameras.pulling import Rhythm
from simulators.cameras.http_side import SimulatedCamera

PROMPT_S = 20.0
LOOK_S = 0.05
QUICK = Rhythm(shortest_s=0.05, longest_s=0.2)
Pull = Callable[..., Coroutine[Any, Any, None]]


class Login(TypedDict, total=False):
    """What may be other than right."""

    password: str
    silence_s: float


class Ear:
    """Keeps what it is told, and can be waited for."""

    def __init__(self) -> None:
        self.sightings: list[Sighting] = []
        self.refusals: list[Refused] = []
        self.losses: list[str] = []
        self.doubts: list[str] = []
        self.heard = 0
        self.times_full = 0  # so often the next sightings cannot be stored
        self._news = asyncio.Event()

    async def take(self, sighting: Sighting) -> str | None:
        if sighting.state != "heartbeat":
            if self.times_full:
                self.times_full -= 1
                raise NotStoredError("disk full")
            self.sightings.append(sighting)
        self._news.set()
        return None

    def refuse(self, refused: Refused) -> None:
        self.refusals.append(refused)
        self._news.set()

    def hear(self) -> None:
        self.heard += 1
        self._news.set()

    def lose(self, reason: str) -> None:
        self.losses.append(reason)
        self._news.set()

    def doubt(self, address: str) -> None:
        self.doubts.append(address)
        self._news.set()

    async def until(self, is_so: Callable[[Ear], object]) -> None:
        """Wait until something is so, of this ear or of the camera; it fails after a while."""
        async with asyncio.timeout(PROMPT_S):
            while not is_so(self):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), LOOK_S)
                self._news.clear()

    def seen(self) -> list[tuple[str, str]]:
        """Kind and state of every sighting."""
        return [(sighting.kind, sighting.state) for sighting in self.sightings]


def camera_of(url: str, folder: Path, *, password: str, silence_s: float = 60) -> CameraConfig:
    """A camera that is pulled from there."""
    secret = folder / "camera.login"
    secret.write_text(f"{password}\n", encoding="utf-8")
    pull = AskConfig(url=url, username="anlan", password_file=secret).model_copy(update={"timeout_s": silence_s})
    return CameraConfig(
        id="gate",
        purpose="garbage at the gate",
        sign="at the gate since 2026",
        brand="hikvision",
        classes=("CAM.GARBAGE",),
        pull=pull,
    )


@asynccontextmanager
async def pulling(pull: Pull, config: CameraConfig) -> AsyncIterator[Ear]:
    """Pull, and end that at the end."""
    ear = Ear()
    task = asyncio.create_task(pull(config, ear, rhythm=QUICK))
    try:
        yield ear
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def hearing(camera: SimulatedCamera, pull: Pull, folder: Path, **config: Unpack[Login]) -> AsyncIterator[Ear]:
    """Let the camera run, and pull from it."""
    async with camera:
        login = {"password": camera.password, **config}
        async with pulling(pull, camera_of(camera.url, folder, **login)) as ear:  # type: ignore[arg-type]
            yield ear
