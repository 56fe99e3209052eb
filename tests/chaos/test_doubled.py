"""Two where one is expected: cloud processes, agents on one outbox, gateways with one name."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from simulators.demo.proof import compare, read_journal
from tests.chaos.neighbourhood import alive, profiles, road_options
from tests.e2e.line import Line
from tests.e2e.waiting import WAIT_S, kill, terminate, until_async
from tests.servers import InfluxDB, Mosquitto


async def test_a_second_cloud_takes_over(tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, seed: int) -> None:
    """Two clouds share the messages; when one dies by -9, the other finishes its work and nothing is missing.

    The agent on the way is stopped while a road is flooded: the same event goes on after it, and has one order. A
    second agent on its outbox is refused and says whose it is; the first one does not notice.
    """
    devices = profiles(roads=1)
    async with Line(
        tmp_path,
        broker_port=mosquitto.port,
        influx=influxdb,
        profiles=devices,
        device_options=road_options(devices),
        cloud_options={"shared": True},
    ) as line:
        [gateway] = line.gateways
        second = await line.start_second_cloud()
        async with alive(gateway, seed) as neighbourhood:
            neighbourhood.begin_flood("road-1")

            async def is_ordered() -> bool:
                return bool(await line.orders())

            await until_async(is_ordered, "the order")
            await terminate(gateway.agent)
            await gateway.start()
            await neighbourhood.end_flood("road-1")
            await kill(second)
            await gateway.take_more(200)

            intruder = await gateway.run_with(
                gateway.folder / "gateway.yaml", gateway.folder / "second.jsonl", name="second"
            )
            intruder.stopping = True
            assert await asyncio.wait_for(intruder.process.wait(), WAIT_S) == 1
            assert f"process {gateway.agent.process.pid} has this outbox open" in intruder.log.read_text()
            await gateway.take_more()

            async def is_over() -> bool:
                return [event["state"] for event in await line.events()] == ["ended"]

            await until_async(is_over, "the end of the only event")
        await line.settle()
        await line.prove()
        assert [order["device"] for order in await line.orders()] == ["road-1"]


async def test_a_copied_card_is_noticed(tmp_path: Path, mosquitto: Mosquitto, seed: int) -> None:
    """Two agents with one identity and copied files: the cloud says so, and nothing of the first is lost."""
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=profiles(roads=0)) as line:
        [gateway] = line.gateways
        async with alive(gateway, seed):
            await terminate(gateway.agent)
            copy = gateway.folder / "copied-card"
            shutil.copytree(gateway.outbox.parent, copy)
            await gateway.start()
            await gateway.take_more(300)
            # Devices of other names, so that no two readings are of one device and one time.
            document = gateway.document()
            renamed = [{**device, "id": f"{device['id']}-copied"} for device in document["devices"]]
            config = gateway.write("twin", document | {"data_dir": str(copy), "devices": renamed})
            journal = gateway.folder / "twin.jsonl"
            twin = await gateway.run_with(config, journal, name="twin")

            async def is_noticed() -> bool:
                letters = await line.dead_letters(gateway)
                return any("is the gateway there twice" in letter["reason"] for letter in letters)

            await until_async(is_noticed, "a dead letter that names the twin")
            await kill(twin)
            await terminate(gateway.agent)  # so that it need not wait for its next attempt to connect
            await gateway.start()
            await gateway.take_more()
        await line.settle()
        comparison = compare(gateway.taken().rows, await line.stored())
        assert (comparison.missing, comparison.repeated) == ([], 0)
        assert set(comparison.foreign) <= set(read_journal(journal, gateway.name).rows)
        assert not any(epoch["missing"] or epoch["gaps"] for epoch in await line.accounts(gateway))
        assert gateway.waiting() == 0
