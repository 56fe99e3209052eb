"""The clock of a gateway jumps, stands still and runs slowly: no reading is lost, and no two are given one time."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from edge.contract.clock import AcceleratedClock
from tests.chaos.neighbourhood import alive, profiles
from tests.e2e.line import Line
from tests.e2e.line_gateway import LineGateway
from tests.e2e.waiting import terminate
from tests.servers import Mosquitto

JUMPS_S = (300, -2, -3, -3600, 0)  # from the true time
LITTLE_S = 0.05
STANDS_MS, SMEARED_MS = -50, -1  # by which the clock is set after each little while


async def turn_back(clock: AcceleratedClock, path: Path, by_ms: int) -> None:
    """Set a clock a little, again and again."""
    while True:
        await asyncio.sleep(LITTLE_S)
        clock.set_by_ms += by_ms
        clock.write(path)


async def start_on(gateway: LineGateway, clock: Path) -> None:
    """Start the agent of a gateway on a clock of its own."""
    await terminate(gateway.agent)
    await gateway.start("--clock", str(clock))


async def test_jumps_lose_nothing(tmp_path: Path, mosquitto: Mosquitto, seed: int) -> None:
    """Forwards by minutes, back to times that were shown before, back by an hour, a clock that stands, a leap smear."""
    path, clock = (
        tmp_path / "clock.json",
        AcceleratedClock(origin_ms=time.time_ns() // 1_000_000, speed=1, started_ns=time.monotonic_ns()),
    )
    clock.write(path)
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=profiles(roads=0)) as line:
        [gateway] = line.gateways
        async with alive(gateway, seed):
            await start_on(gateway, path)
            await gateway.take_more(200)
            for by_s in JUMPS_S:
                clock.set_by_ms = by_s * 1000
                clock.write(path)
                await gateway.take_more(200)
            for by_ms in (STANDS_MS, SMEARED_MS):
                turning = asyncio.create_task(turn_back(clock, path, by_ms))
                await gateway.take_more(200)
                turning.cancel()
        await terminate(gateway.agent)
        await gateway.start()  # by the machine's clock, which the cloud goes by
        await line.settle()
        await line.prove()
