"""InfluxDB away: orders open as if nothing were wrong, and afterwards nothing is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.chaos.neighbourhood import alive, profiles, road_options
from tests.e2e.line import Line
from tests.e2e.waiting import until_async
from tests.servers import InfluxDB, Mosquitto


async def test_events_do_not_wait_for_the_store(
    tmp_path: Path, mosquitto: Mosquitto, start_influxdb: Callable[..., InfluxDB], seed: int
) -> None:
    """Floods that begin while the store is down have their orders before it is back, and then every reading arrives."""
    influx, devices = start_influxdb(), profiles(roads=2)
    async with Line(
        tmp_path, broker_port=mosquitto.port, influx=influx, profiles=devices, device_options=road_options(devices)
    ) as line:
        [gateway] = line.gateways
        async with alive(gateway, seed) as neighbourhood:
            await asyncio.to_thread(influx.kill)
            before = len(gateway.taken().rows)
            for count, road in enumerate(("road-1", "road-2"), 1):
                neighbourhood.begin_flood(road)

                async def are_ordered(count: int = count) -> bool:
                    return len(await line.orders()) == count

                await until_async(are_ordered, f"the order of {road}, while the store is down")
                await neighbourhood.end_flood(road)
            assert len(gateway.taken().rows) > before
            await asyncio.to_thread(influx.start)
        await line.settle()
        await line.prove()
        assert sorted(order["device"] for order in await line.orders()) == ["road-1", "road-2"]
