"""Two where one is expected: cloud processes, agents on one outbox, gateways with one name."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from cloud.ledger import TWO_CONTENTS
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
    """Two agents work from one copied card: the cloud refuses the second content of a name, and says so."""
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=profiles(roads=0)) as line, alive(line, seed):
        await terminate(line.agent)
        copy = line.folder / "copied-card"
        shutil.copytree(line.outbox.parent, copy)
        twin = line.write("twin", line.gateway_document() | {"data_dir": str(copy)})
        await line.start_agent()
        await line.programs.start("twin", ["edge", "run", "--config", str(twin)])

        async def is_noticed() -> bool:
            return any(letter["reason"] == TWO_CONTENTS for letter in await line.dead_letters())

        await until_async(is_noticed, "a dead letter that names the twin")
        assert TWO_CONTENTS in line.cloud.log.read_text()
