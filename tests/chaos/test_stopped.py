"""Agents that stop at a bad moment: in the middle of a flood, and while there is no broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from simulators.demo.processes import Program
from tests.chaos.neighbourhood import alive, profiles, road_options
from tests.e2e.line import Line, kill, terminate, until, until_async
from tests.servers import InfluxDB, Mosquitto


@pytest.mark.parametrize("stop", [terminate, kill])
async def test_an_open_event_goes_on_after_a_restart(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, seed: int, stop: Callable[[Program], Awaitable[None]]
) -> None:
    """The agent ends while a road is flooded: the next one goes on with the same event, which has one order."""
    devices = profiles(roads=1)
    async with Line(
        tmp_path, broker_port=mosquitto.port, influx=influxdb, profiles=devices, device_options=road_options(devices)
    ) as line:
        async with alive(line, seed) as neighbourhood:
            neighbourhood.begin_flood("road-1")

            async def is_ordered() -> bool:
                return bool(await line.orders())

            await until_async(is_ordered, "the order")
            [open_event] = await line.events()
            await stop(line.agent)
            await line.start_agent()
            await neighbourhood.end_flood("road-1")

            async def is_over() -> bool:
                return (await line.events())[0]["state"] == "ended"

            await until_async(is_over, "the end of the event")
        await line.settle()
        await line.prove()
        [event] = await line.events()
        assert event["id"] == open_event["id"]
        revisions = await line.revisions(event["id"])
        assert [each["revision"] for each in revisions] == list(range(1, len(revisions) + 1))
        assert [each["state"] for each in revisions if each["state"] != "updated"] == ["suspect", "confirmed", "ended"]
        assert len(await line.orders()) == 1


async def test_a_stop_during_an_outage_loses_nothing(
    tmp_path: Path, start_mosquitto: Callable[..., Mosquitto], influxdb: InfluxDB, seed: int
) -> None:
    """SIGTERM while the broker is away: what was read and what flooded waits on disk and goes out at the next start."""
    broker, devices = start_mosquitto(), profiles(roads=1)
    async with Line(
        tmp_path, broker_port=broker.port, influx=influxdb, profiles=devices, device_options=road_options(devices)
    ) as line:
        async with alive(line, seed) as neighbourhood:
            await asyncio.to_thread(broker.stop)
            before = line.taken()[0].taken
            await neighbourhood.flood("road-1", after_s=0)
            await until(lambda: line.taken()[0].taken > before + 100, "readings that have nowhere to go")
            await terminate(line.agent)
            await asyncio.to_thread(broker.start)
            await line.start_agent()
        await line.settle()
        await line.prove()
        assert [order["device"] for order in await line.orders()] == ["road-1"]
