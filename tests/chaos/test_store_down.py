"""InfluxDB away for a minute: orders open as if nothing were wrong, and afterwards nothing is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.neighbourhood import alive, profiles, road_options
from tests.e2e.line import Line, until_async
from tests.servers import InfluxDB, Mosquitto

DOWN_S = 60.0
ORDER_WITHIN_S = 3.0


async def opened_after_s(line: Line, road: str) -> float:
    """Wait for the order of a road; return the seconds from the sample that settled it to the order."""
    found: list[dict[str, Any]] = []

    async def is_there() -> bool:
        found[:] = [order for order in await line.orders() if order["device"] == road]
        return bool(found)

    await until_async(is_there, f"an order for {road}")
    [event] = [event for event in await line.events() if event["device"] == road]
    [confirmed] = [each for each in await line.revisions(event["id"]) if each["state"] == "confirmed"]
    waited_ms: int = found[0]["opened_at"] - confirmed["updated_at"]
    return waited_ms / 1000


@pytest.mark.slow
async def test_events_do_not_wait_for_the_store(
    tmp_path: Path, mosquitto: Mosquitto, start_influxdb: Callable[..., InfluxDB], seed: int
) -> None:
    """Floods that begin while the store is down open orders within 3 s; every reading arrives once it is back."""
    influx, devices = start_influxdb(), profiles(roads=3)
    async with Line(
        tmp_path, broker_port=mosquitto.port, influx=influx, profiles=devices, device_options=road_options(devices)
    ) as line:
        async with alive(line, seed) as neighbourhood:
            await asyncio.to_thread(influx.kill)
            down_at = time.monotonic()
            for number, begins_s in ((1, 2.0), (2, 25.0), (3, 50.0)):
                await asyncio.sleep(down_at + begins_s - time.monotonic())
                road = f"road-{number}"
                neighbourhood.begin_flood(road)
                assert await opened_after_s(line, road) <= ORDER_WITHIN_S
                await neighbourhood.end_flood(road)
            await asyncio.sleep(max(down_at + DOWN_S - time.monotonic(), 0))
            await asyncio.to_thread(influx.start)
        await line.settle()
        await line.prove()
        assert sorted(order["device"] for order in await line.orders()) == ["road-1", "road-2", "road-3"]
