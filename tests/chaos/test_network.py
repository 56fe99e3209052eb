"""Networks that are cut, slow or half open, on every way of the line at once: nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.havoc import all_alive
from tests.chaos.neighbourhood import profiles
from tests.chaos.proxy import Network, Proxy
from tests.e2e.line import Line
from tests.e2e.waiting import kill, until
from tests.servers import InfluxDB, Mosquitto

FAULTS = (Network.HALF_OPEN, Network.CUT, Network.SLOW, Network.HELD)
FAULT_S, CLEAR_S = (2.0, 6.0), (0.5, 2.0)
KEEPALIVE_S = 5  # the least: a hanging connection is given up after 1.5 times this


async def disturb(proxy: Proxy, chance: random.Random) -> None:
    """Let a network have every fault, in any order, each until it has lost or held up something."""
    for fault in chance.sample(FAULTS, len(FAULTS)):
        await asyncio.sleep(chance.uniform(*CLEAR_S))
        proxy.set(fault)
        await asyncio.sleep(chance.uniform(*FAULT_S))
        if fault is Network.HALF_OPEN:
            await until(lambda: proxy.lost_bytes > 0, "something lost in a half-open connection")
        proxy.set(Network.CARRIES)


def through(proxy: Proxy) -> dict[str, Any]:
    """The section `broker` of who reaches it through a proxy."""
    return {"broker": {"host": "127.0.0.1", "port": proxy.port, "keepalive_s": KEEPALIVE_S}}


@pytest.mark.slow
async def test_bad_networks_lose_nothing(tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB, seed: int) -> None:
    """The ways from agents to broker, from cloud to broker and from cloud to store, each on its own, all at once."""
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        of_agents, of_cloud, of_store = [
            await stack.enter_async_context(Proxy(port)) for port in (mosquitto.port, mosquitto.port, influxdb.port)
        ]
        line = Line(
            tmp_path,
            broker_port=mosquitto.port,
            influx=influxdb,
            profiles=profiles(roads=0),
            gateways=2,
            agent_options=through(of_agents),
            cloud_options=through(of_cloud),
            series_options={"url": f"http://127.0.0.1:{of_store.port}"},
        )
        await stack.enter_async_context(line)
        await stack.enter_async_context(all_alive(line, chance))
        await asyncio.gather(*(disturb(proxy, chance) for proxy in (of_agents, of_cloud, of_store)))
        await line.settle()
        await line.prove()


async def test_a_gateway_boots_without_its_uplink(
    tmp_path: Path, start_mosquitto: Callable[..., Mosquitto], seed: int
) -> None:
    """The broker is away when the agent boots, and dies with it twice; then the way there hangs without closing.

    So the backlog lies in many commits of three epochs.
    """
    broker = start_mosquitto()
    async with Proxy(broker.port) as proxy:
        line = Line(tmp_path, broker_port=broker.port, profiles=profiles(roads=0), agent_options=through(proxy))
        async with line, all_alive(line, random.Random(seed)):
            [gateway] = line.gateways
            await asyncio.to_thread(broker.kill)
            broker.wipe()
            for _ in range(3):
                await kill(gateway.agent)
                await gateway.start()
                await gateway.take_more(100)
            proxy.set(Network.HALF_OPEN)
            await asyncio.to_thread(broker.start)
            await until(lambda: proxy.lost_bytes > 0, "an attempt to connect that hangs")
            await gateway.take_more(20)
            proxy.set(Network.CARRIES)
            await line.settle()
            await line.prove()
            epochs = await line.accounts(gateway)
            assert sum(epoch["stored"] > 0 for epoch in epochs) >= 3, epochs
