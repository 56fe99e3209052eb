"""A gateway.yaml with cameras of several brands, and what is shown of them, for tests of `edge cameras`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from edge.camera_outcomes import Became
from edge.camera_watch import CameraWatch, PictureFolder, Seen
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import load_gateway_config
from edge.timeline import Timeline
from tests.edge.drivers.cameras.stand import NO_TLS
from tests.servers import free_ports

PASSWORDS = {"gate": "correct horse", "box": "battery staple", "bins": "four words"}
ALERT = "<EventNotificationAlert><eventType>{kind}</eventType><eventState>{state}</eventState></EventNotificationAlert>"
MASK = [[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]]
GATE = {
    "id": "gate",
    "brand": "hikvision",
    "classes": ["CAM.FIRELANE", "CAM.BIN"],
    "map": {"fielddetection": "CAM.FIRELANE", "PIR": "ignored"},
    "channel": "1",
    "mask": MASK,
}
BOX = {"id": "box", "classes": ["CAM.GARBAGE", "CAM.BIN"]}


def write(folder: Path, *cameras: dict[str, Any], port: int = 0, **more: Any) -> Path:
    """A gateway.yaml; cameras with a password of ours post."""
    made = []
    for camera in cameras or (GATE, BOX):
        says = {"purpose": "看垃圾投放点", "sign": "门侧公示牌", **camera}
        if camera["id"] in PASSWORDS and "pull" not in camera and camera.get("brand") != "frigate":
            says["password_file"] = secret(folder, camera["id"], PASSWORDS[camera["id"]])
        made.append(says)
    config = {
        "gateway": "gw-1",
        "broker": {"host": "127.0.0.1", "port": 1},
        "data_dir": "data",
        "camera_listener": {"host": "127.0.0.1", "port": port or free_ports(1)[0]},
        "cameras": made,
        **more,
    }
    path = folder / "gateway.yaml"
    path.write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    return path


def secret(folder: Path, name: str, password: str) -> str:
    """A file with a password, by its name beside gateway.yaml."""
    path = folder / f"{name}.password"
    path.write_text(f"{password}\n", encoding="utf-8")
    path.chmod(0o600)
    return path.name


class Poster:
    """Posts as the cameras of a gateway.yaml do."""

    def __init__(self, config: Path) -> None:
        port = json.loads(config.read_text(encoding="utf-8"))["camera_listener"]["port"]
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, verify=NO_TLS)

    async def post(self, camera: str, path: str, *, password: str = "", **request: Any) -> int:
        """Post somewhere, signed in as a camera; the status."""
        auth: Any = (camera, password or PASSWORDS[camera]) if camera else None
        return (await self.http.post(path, **{"auth": auth, **request})).status_code

    async def alert(self, kind: str, state: str = "active", **parts: bytes) -> int:
        """Post as the Hikvision camera gate, with parts beside the alert."""
        files = {"alert": (None, ALERT.format(kind=kind, state=state).encode(), "application/xml")}
        files |= {name: (f"{name}.jpg", data, "image/jpeg") for name, data in parts.items()}  # type: ignore[misc]
        return await self.post("gate", "/v1/cameras/gate/hikvision", files=files)

    async def trigger(self, class_code: str, camera: str = "box", **more: Any) -> int:
        """Post our own form."""
        return await self.post(camera, "/v1/trigger", json={"class": class_code, **more})


class Scene:
    """A watch at work, and what it has shown."""

    def __init__(self, config: Path, *chosen: str, pictures: Path | None = None) -> None:
        settings = load_gateway_config(config)
        self.seen: list[Seen] = []
        self._news = asyncio.Event()
        self.watch = CameraWatch(
            settings,
            chosen or [camera.id for camera in settings.cameras],
            clock=Timeline(SystemClock()),
            show=self._show,
            pictures=PictureFolder(pictures) if pictures else None,
        )
        self.poster = Poster(config)

    def _show(self, seen: Seen) -> None:
        self.seen.append(seen)
        self._news.set()

    async def until(self, is_so: Callable[[Seen], object]) -> Seen:
        """Wait until something of this kind was shown, and return the first of it."""
        async with asyncio.timeout(20):
            while not (found := [seen for seen in self.seen if is_so(seen)]):
                self._news.clear()
                await self._news.wait()
        return found[0]

    def became(self) -> list[tuple[str, Became]]:
        """Kind and outcome of all that was shown."""
        return [(seen.kind, seen.became) for seen in self.seen]


@asynccontextmanager
async def watching(config: Path, *chosen: str, pictures: Path | None = None) -> AsyncIterator[Scene]:
    """Watch cameras until the end of the block."""
    scene, begun = Scene(config, *chosen, pictures=pictures), asyncio.Event()
    running = asyncio.create_task(scene.watch.run(seconds=None, begin=begun.set))
    async with scene.poster.http:
        async with asyncio.timeout(20):
            await begun.wait()
        yield scene
    scene.watch.stop()
    await running
