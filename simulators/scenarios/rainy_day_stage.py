"""Plays a rainy day: serves its devices, posts its picture, cuts and mends the uplink, and tells what happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from msgspec import Struct

from simulators.camera import post_trigger, rubbish_picture
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from simulators.scenarios.rainy_day import (
    CAMERA,
    ROADS,
    SEATS,
    SILENT_METER,
    SPARE,
    Act,
    RainyDay,
    Scene,
    Storms,
)
from simulators.scenarios.rainy_day_files import BROKER, CAMERA_LISTENER, UPLINK, Workspace
from simulators.tcp_proxy import TcpProxy
from simulators.web import WebError

TICK_S: Final = 0.5


class Told(Struct, frozen=True):
    """What happened ``second`` seconds after the scenario began; each second there is one of act ``water``."""

    second: float
    act: str
    text: str
    depths_mm: dict[str, float] = {}  # on the roads, without the sensors' noise


class Stage:
    """``async with Stage(workspace, day) as stage: await stage.play()``; ``hold`` as for :class:`Storms`."""

    def __init__(
        self, workspace: Workspace, day: RainyDay, *, tell: Callable[[Told], None], hold: bool = False
    ) -> None:
        self._storms = Storms(hold=hold)
        self._began = time.monotonic()
        self.day, self._workspace, self._tell = day, workspace, tell
        self._devices = {seat.device: SimulatedDevice(load_modbus_profile(seat.profile)) for seat in (*SEATS, SPARE)}
        self._uplink = TcpProxy(port=workspace.ports[UPLINK], target_port=workspace.ports[BROKER])
        self._open = AsyncExitStack()
        self._background: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Stage:
        self._show(0.0)
        units: dict[int, dict[int, SimulatedDevice]] = {}
        for seat in (*SEATS, SPARE):
            units.setdefault(self._workspace.bus_port(seat), {})[seat.unit] = self._devices[seat.device]
        for port, devices in units.items():
            await self._open.enter_async_context(ModbusServer(devices, port=port))
        await self._open.enter_async_context(self._uplink)
        self._tell(self._told(0.0, "ready", f"{len(SEATS)} devices and a camera are there, two gateways may come"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._background:
            task.cancel()
        await self._open.aclose()

    async def play(self) -> None:
        """Play for ever, storm after storm."""
        self._began = time.monotonic()
        done = 0.0
        while True:
            second = self._second()
            self._show(second)
            for scene in self._storms.at(second).scenes(done, second):
                await self._perform(scene, second)
            if int(second) > int(done):
                self._tell(self._told(second, "water", ""))
            done = second
            await asyncio.sleep(TICK_S)

    def free_gully(self) -> None:
        """Let a held flood drain from now on."""
        self._storms.free(self._second())

    def _second(self) -> float:
        return time.monotonic() - self._began

    def _show(self, second: float) -> None:
        for device, values in self.day.at(second, self._storms.at(second)).items():
            for point, value in values.items():
                self._devices[device].set(point, value)

    async def _perform(self, scene: Scene, second: float) -> None:
        self._tell(self._told(second, scene.act, scene.text))
        match scene.act:
            case Act.SILENT | Act.ANSWERING:
                self._devices[SILENT_METER].silent = scene.act is Act.SILENT
            case Act.CUT:
                await self._uplink.cut()
            case Act.MENDED:
                await self._uplink.mend()
            case Act.RUBBISH:
                self._in_background(self._post_picture())

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _post_picture(self) -> None:
        try:
            await post_trigger(
                self._workspace.ports[CAMERA_LISTENER],
                camera=CAMERA,
                password=self._workspace.password_file(CAMERA).read_text().strip(),
                class_code="CAM.GARBAGE",
                note="rubbish beside the bins",
                picture=rubbish_picture(),
            )
        except WebError as error:
            self._tell(Told(0.0, "failed", f"{CAMERA} could not post: {error}"))

    def _told(self, second: float, act: str, text: str) -> Told:
        storm = self._storms.at(second)
        depths = {road: round(self.day.depth_mm(road, second, storm), 1) for road in ROADS}
        return Told(round(second, 1), act, text, depths)
