"""A neighbourhood that never stands still: meters turn, water stands on the roads, and each road floods when told."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from simulators.device import SimulatedDevice
from tests.e2e.line_gateway import LineGateway
from tests.e2e.waiting import until

ROAD = "moxa_e1242_depth"
CHANGE_S = 0.2
FLOOD_POLLS = 12  # a flood lasts until its sensor was read so often more: enough to be confirmed, whoever died before
AT_ONCE: dict[str, Any] = {"depth": {"quality": {"spike": False, "step": False, "rate": False}}}
"""What is said of water that comes and goes at once, as only what is no water does elsewhere."""
ROAD_OPTIONS: dict[str, Any] = {"rules": [{"class": "WATERLOG.ROAD.2", "clear_hold_s": 1}], "points": AT_ONCE}


def profiles(*, roads: int) -> dict[str, str]:
    """Two meters and so many roads: device -> profile."""
    meters = {"meter-1": "eastron_sdm630", "meter-2": "chint_dtsu666"}
    return meters | {f"road-{number}": ROAD for number in range(1, roads + 1)}


def road_options(devices: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What a line needs to watch the roads among these devices; a flood is over after a dry second."""
    return {device: ROAD_OPTIONS for device in devices if device.startswith("road-")}


class Neighbourhood:
    """Changes every device of a gateway all the time; made by :func:`alive`."""

    def __init__(self, devices: dict[str, SimulatedDevice], seed: int) -> None:
        self._devices = devices
        self._random = random.Random(seed)
        self._flooded: set[str] = set()

    def begin_flood(self, road: str) -> None:
        """Let the water on a road stand higher than 150 mm from now on."""
        self._flooded.add(road)
        self._change()

    async def end_flood(self, road: str) -> None:
        """Let it drain once the sensor has been read often enough."""
        device = self._devices[road]
        before = _reads(device)
        await until(lambda: _reads(device) >= before + FLOOD_POLLS, f"{FLOOD_POLLS} polls of {road}")
        self._flooded.discard(road)
        self._change()

    async def end_floods(self) -> list[str]:
        """Let every road drain once its sensor has been read often enough; return which were flooded."""
        flooded = sorted(self._flooded)
        await asyncio.gather(*(self.end_flood(road) for road in flooded))
        return flooded

    async def run(self) -> None:
        """Change everything, for ever."""
        while True:
            self._change()
            await asyncio.sleep(CHANGE_S)

    def _change(self) -> None:
        for name, device in self._devices.items():
            if name.startswith("road-"):
                lowest, highest = (160, 900) if name in self._flooded else (0, 90)
                device.set("depth", self._random.uniform(lowest, highest))
            else:
                device.set("voltage_l1", self._random.uniform(215, 245))
                device.set("active_power_total", self._random.uniform(0, 9000))
                device.set("energy_import_total", (device.get("energy_import_total") or 0) + 1000)


def _reads(device: SimulatedDevice) -> int:
    return sum(served.point == "depth" for served in device.served)


@asynccontextmanager
async def alive(gateway: LineGateway, seed: int) -> AsyncIterator[Neighbourhood]:
    """Let the devices of a gateway change during the block."""
    neighbourhood = Neighbourhood(gateway.devices, seed)
    changing = asyncio.create_task(neighbourhood.run())
    try:
        yield neighbourhood
    finally:
        changing.cancel()
