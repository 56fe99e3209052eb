"""Networks that are cut, slow or half open, on every way of the line at once: nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.havoc import all_alive
from tests.chaos.neighbourhood import profiles
from tests.e2e.line import Line
from tests.e2e.waiting import kill, until
from tests.proxy import Proxy
from tests.servers import InfluxDB, Mosquitto

FAULT_S, CLEAR_S = (2.0, 6.0), (0.5, 2.0)
SLOW_S = 0.8  # by which every piece comes late
KEEPALIVE_S = 5  # the least: a hanging connection is given up after 1.5 times this
NOBODY = 9  # a port where no one listens


async def half_open(proxy: Proxy, seconds: float) -> None:
    """What is sent is lost and nobody is told; such a connection never carries again."""
    proxy.swallow()
    await asyncio.sleep(seconds)


async def half_open_until_noticed(proxy: Proxy, seconds: float) -> None:
    """Half open until whoever sent has given up that connection by itself, and another that hangs from the start."""
    accepted = proxy.accepted
    await half_open(proxy, seconds)
    await until(lambda: proxy.accepted > accepted, "a new connection in place of the half-open one")


async def cut(proxy: Proxy, seconds: float) -> None:
    """Every connection is reset, and new ones too."""
    port, proxy.target_port = proxy.target_port, NOBODY
    proxy.cut()
    await asyncio.sleep(seconds)
    proxy.target_port = port


async def slow(proxy: Proxy, seconds: float) -> None:
    """Everything comes late."""
    proxy.delay_s = SLOW_S
    await asyncio.sleep(seconds)
    proxy.delay_s = 0.0


async def held(proxy: Proxy, seconds: float) -> None:
    """Nothing arrives for a while, and then all of it."""
    proxy.halt()
    await asyncio.sleep(seconds)


Fault = Callable[[Proxy, float], Awaitable[None]]


async def disturb(proxy: Proxy, faults: Iterable[Fault], chance: random.Random) -> None:
    """Let a network have one fault after the other."""
    for fault in faults:
        await asyncio.sleep(chance.uniform(*CLEAR_S))
        await fault(proxy, chance.uniform(*FAULT_S))
        proxy.pass_on()


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
        in_any_order = [chance.sample([half_open_until_noticed, cut, slow, held], 4) for _ in range(2)]
        await asyncio.gather(
            disturb(of_agents, in_any_order[0], chance),
            disturb(of_cloud, in_any_order[1], chance),
            # The cloud waits half a minute for an answer of its store: the others have their faults meanwhile.
            disturb(of_store, [half_open, *chance.sample([cut, slow, held], 3)], chance),
        )
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
                await gateway.take_more(300)
            accepted = proxy.accepted
            proxy.swallow()
            await asyncio.to_thread(broker.start)
            await until(lambda: proxy.accepted > accepted, "an attempt to connect that hangs")
            await gateway.take_more(20)
            proxy.pass_on()
            await line.settle()
            await line.prove()
            epochs = await line.accounts(gateway)
            assert sum(epoch["stored"] > 0 for epoch in epochs) >= 3, epochs
