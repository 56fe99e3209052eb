"""Broker away, agent and cloud killed, at moments that a seed chooses, while values change and roads flood."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from tests.chaos.neighbourhood import alive, profiles, road_options
from tests.e2e.line import Line, kill, until_async
from tests.servers import InfluxDB, Mosquitto

OUTAGE_S = 30.0
AFTER_S = 10.0  # once the broker is back, each process is killed again within this time
ROADS = 4


async def stop_broker(broker: Mosquitto, *, after_s: float, kindly: bool) -> None:
    """Take the broker away for 30 s."""
    await asyncio.sleep(after_s)
    await asyncio.to_thread(broker.stop if kindly else broker.kill)
    await asyncio.sleep(OUTAGE_S)
    await asyncio.to_thread(broker.start)


async def kill_at(
    moments: Sequence[float],
    killed: Callable[[], Awaitable[None]],
    start: Callable[[], Awaitable[None]],
    *,
    rest_s: float,
) -> None:
    """Kill at each of these moments, seconds from now, and start again after a rest."""
    began = asyncio.get_running_loop().time()
    for moment in moments:
        await asyncio.sleep(began + moment - asyncio.get_running_loop().time())
        await killed()
        await asyncio.sleep(rest_s)
        await start()


@pytest.mark.slow
async def test_nothing_is_lost_and_nothing_invented(
    tmp_path: Path, start_mosquitto: Callable[..., Mosquitto], influxdb: InfluxDB, seed: int
) -> None:
    """Whatever dies when, the store has exactly what was taken, and each flood has exactly one order."""
    chance, broker, devices = random.Random(seed), start_mosquitto(), profiles(roads=ROADS)
    roads = [device for device in devices if device.startswith("road-")]
    stopped_at = chance.uniform(1, 5)
    back_at = stopped_at + OUTAGE_S

    def kills() -> list[float]:
        return [chance.uniform(0, back_at - 5), chance.uniform(back_at, back_at + AFTER_S)]

    async with Line(
        tmp_path, broker_port=broker.port, influx=influxdb, profiles=devices, device_options=road_options(devices)
    ) as line:
        async with alive(line, seed) as neighbourhood, asyncio.TaskGroup() as chaos:
            kindly = chance.random() < 0.5
            chaos.create_task(stop_broker(broker, after_s=stopped_at, kindly=kindly))
            agent, cloud = kills(), kills()
            chaos.create_task(kill_at(agent, lambda: kill(line.agent), line.start_agent, rest_s=chance.uniform(0, 2)))
            chaos.create_task(kill_at(cloud, lambda: kill(line.cloud), line.start_cloud, rest_s=chance.uniform(0, 2)))
            for road in roads:
                chaos.create_task(neighbourhood.flood(road, after_s=chance.uniform(0, back_at)))

        async def are_over() -> bool:
            ended = {event["device"] for event in await line.events() if event["state"] == "ended"}
            return ended == set(roads)

        await until_async(are_over, "the end of every flood: the last may have drained a moment ago")
        await line.settle()
        await line.prove()
        events = [event for event in await line.events() if event["alert"] is not None]
        assert sorted((event["device"], event["state"]) for event in events) == [(road, "ended") for road in roads]
        assert sorted(order["device"] for order in await line.orders()) == roads
