"""Two where one is expected: cloud processes, agents on one outbox, gateways with one name."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from tests.chaos.neighbourhood import alive, profiles, road_options
from tests.e2e.line import Line, kill, terminate, until, until_async
from tests.servers import InfluxDB, Mosquitto


async def test_a_second_cloud_takes_over(tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, seed: int) -> None:
    """Two clouds share the messages; when one dies by -9, the other finishes its work and nothing is missing."""
    devices = profiles(roads=1)
    async with Line(
        tmp_path,
        broker_port=mosquitto.port,
        influx=influxdb,
        profiles=devices,
        device_options=road_options(devices),
        cloud_options={"shared": True},
    ) as line:
        second = await line.start_second_cloud()
        async with alive(line, seed) as neighbourhood:
            neighbourhood.begin_flood("road-1")
            await neighbourhood.end_flood("road-1")
            await kill(second)
            before = line.taken()[0].taken
            await until(lambda: line.taken()[0].taken > before + 50, "readings after the second cloud has died")
        await line.settle()
        await line.prove()
        assert [order["device"] for order in await line.orders()] == ["road-1"]


async def test_an_outbox_has_one_agent(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A second agent on the same outbox is refused and says whose it is; the first one does not notice."""
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=profiles(roads=0)) as line:
        config, journal = str(line.folder / "gateway.yaml"), str(line.folder / "second.jsonl")
        second = await line.programs.start("second", ["edge", "run", "--config", config, "--journal", journal])
        second.stopping = True
        assert await asyncio.wait_for(second.process.wait(), 30) == 1
        assert f"process {line.agent.process.pid} has this outbox open" in second.log.read_text()
        before = line.taken()[0].taken
        await until(lambda: line.taken()[0].taken > before, "the first agent's next readings")


async def test_a_copied_card_is_noticed(tmp_path: Path, mosquitto: Mosquitto, seed: int) -> None:
    """A gateway whose files were copied says one name with two contents: the cloud refuses the second and says so."""
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=profiles(roads=0)) as line, alive(line, seed):
        await until(lambda: line.taken()[0].taken > 0, "the first readings: before, it may not know how to end yet")
        await terminate(line.agent)
        copy = line.folder / "copied-card"
        shutil.copytree(line.outbox.parent, copy)
        await line.start_agent()
        before = line.taken()[0].taken
        await until(lambda: line.taken()[0].taken > before + 30, "readings of the first")
        await terminate(line.agent)
        twin = line.write("twin", line.gateway_document() | {"data_dir": str(copy)})
        await line.programs.start("twin", ["edge", "run", "--config", str(twin)])

        async def is_noticed() -> bool:
            return any("is the gateway there twice" in letter["reason"] for letter in await line.dead_letters())

        await until_async(is_noticed, "a dead letter that names the twin")


async def test_an_open_event_goes_on_after_a_restart(tmp_path: Path, mosquitto: Mosquitto, seed: int) -> None:
    """The agent is stopped while a road is flooded: the same event goes on after it, and has one order."""
    devices = profiles(roads=1)
    async with Line(
        tmp_path, broker_port=mosquitto.port, profiles=devices, device_options=road_options(devices)
    ) as line:
        async with alive(line, seed) as neighbourhood:
            neighbourhood.begin_flood("road-1")

            async def is_ordered() -> bool:
                return bool(await line.orders())

            await until_async(is_ordered, "the order")
            await terminate(line.agent)
            await line.start_agent()
            await neighbourhood.end_flood("road-1")

            async def is_over() -> bool:
                return [event["state"] for event in await line.events()] == ["ended"]

            await until_async(is_over, "the end of the only event")
        assert len(await line.orders()) == 1
