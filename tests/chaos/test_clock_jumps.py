"""The clock of a gateway jumps, stands still and runs slowly: no reading is lost, and no two are given one time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.agent import open_agent
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import load_gateway_config
from tests.chaos.neighbourhood import alive, profiles
from tests.e2e.line import Line
from tests.e2e.waiting import terminate
from tests.servers import Mosquitto

SMEAR = 0.98  # a leap second spread over 50 s


class WrongClock(SystemClock):
    """The machine's clock, set to other times and other speeds by a test."""

    def __init__(self) -> None:
        self._offset_ms, self._speed, self._since_ms = 0.0, 1.0, super().now_ms()

    def now_ms(self) -> int:
        """Return milliseconds UTC, as this clock has them."""
        passed_ms = super().now_ms() - self._since_ms
        return round(self._since_ms + self._offset_ms + passed_ms * self._speed)

    def set(self, *, by_s: float = 0, speed: float = 1.0) -> None:
        """Show a time that is ``by_s`` from the true one, and run at a speed from there."""
        self._since_ms = super().now_ms()
        self._offset_ms, self._speed = by_s * 1000, speed


async def test_jumps_lose_nothing(tmp_path: Path, mosquitto: Mosquitto, seed: int) -> None:
    """Forwards by minutes, back to times that were shown before, back by an hour, a clock that stands, a leap smear."""
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=profiles(roads=0)) as line:
        [gateway] = line.gateways
        await terminate(gateway.agent)
        config, clock = load_gateway_config(gateway.folder / "gateway.yaml"), WrongClock()
        async with alive(gateway, seed), open_agent(config, clock=clock, journal=gateway.journal) as agent:
            running = asyncio.create_task(agent.run())
            await gateway.take_more(50)
            for by_s, speed in ((300, 1.0), (-2, 1.0), (-3, 1.0), (-3600, 1.0), (0, 0.0), (0, SMEAR), (1, 1.0)):
                clock.set(by_s=by_s, speed=speed)
                await gateway.take_more(50)
            agent.stop()
            await running
        await gateway.start()
        await line.settle()
        await line.prove()
