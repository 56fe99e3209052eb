"""kill -9 of everything that a line is made of, at moments that a seed chooses, while values change and roads flood."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from msgspec import Struct

from simulators.demo.processes import wait_for_port
from tests.chaos.neighbourhood import Neighbourhood, alive
from tests.e2e.line import Line
from tests.e2e.line_gateway import LineGateway
from tests.e2e.waiting import kill, until_async
from tests.servers import InfluxDB, Mosquitto

THE_ROAD = "road-1"
SHORT_S = 1.0  # the longest rest after a kill that is no outage
LAST_S = 3.0  # agents and cloud are killed a last time within this time after the broker's return


class Havoc(Struct, frozen=True, kw_only=True):
    """How often each part is killed within ``span_s``; one time of each it stays away for ``outage_s``."""

    span_s: float
    outage_s: float
    agent: int
    cloud: int
    broker: int
    store: int = 0


class Blow(NamedTuple):
    """Killed so long after the last start, back after a rest."""

    after_s: float
    rest_s: float


class Victim(NamedTuple):
    """What can be killed, and started again."""

    kill: Callable[[], Awaitable[None]]
    start: Callable[[], Awaitable[None]]
    blows: Sequence[Blow]

    async def suffer(self) -> None:
        """Take the blows. A program may be killed before it has finished starting."""
        for blow in self.blows:
            await asyncio.sleep(blow.after_s)
            await self.kill()
            await asyncio.sleep(blow.rest_s)
            await self.start()


def plan_blows(chance: random.Random, count: int, *, span_s: float, outage_s: float) -> list[Blow]:
    """Return blows at random moments of a span; the last one comes near its end."""
    if count == 0:
        return []
    rests = [outage_s, *(chance.uniform(0, SHORT_S) for _ in range(count - 1))]
    chance.shuffle(rests)
    left_s = max(span_s - sum(rests), 0.0)
    moments = sorted(chance.uniform(0, left_s) for _ in range(count - 1))
    edges = [0.0, *moments, left_s]
    return [Blow(after - before, rest) for before, after, rest in zip(edges, edges[1:], rests, strict=False)]


async def wreak(line: Line, broker: Mosquitto, havoc: Havoc, chance: random.Random) -> int:
    """Kill, with no regard for what the others do, and return how often; everything runs again afterwards.

    The road of each gateway floods meanwhile, and drains after it.
    """
    victims = [_broker(broker, havoc, chance), _cloud(line, havoc, chance)]
    victims += [_agent(gateway, havoc, chance) for gateway in line.gateways]
    if line.influx is not None:
        victims.append(_store(line.influx, havoc, chance))
    async with all_alive(line, chance) as streets:
        async with asyncio.TaskGroup() as group:
            for victim in victims:
                group.create_task(victim.suffer())
            for street in streets:
                asyncio.get_running_loop().call_later(chance.uniform(0, havoc.span_s), street.begin_flood, THE_ROAD)
        await wait_for_port(line.api_port, line.cloud)
        await asyncio.gather(*(street.end_floods() for street in streets))
    return sum(len(victim.blows) for victim in victims)


@asynccontextmanager
async def all_alive(line: Line, chance: random.Random) -> AsyncIterator[list[Neighbourhood]]:
    """Let the devices of all gateways change during the block."""
    async with AsyncExitStack() as stack:
        seeds = [chance.randrange(1_000_000) for _ in line.gateways]
        pairs = zip(line.gateways, seeds, strict=True)
        yield [await stack.enter_async_context(alive(gateway, seed)) for gateway, seed in pairs]


async def prove_floods(line: Line) -> None:
    """Check that the flood of each gateway has ended and has exactly one order, and that nothing else has."""
    expected = sorted((gateway.name, THE_ROAD) for gateway in line.gateways)

    async def are_over() -> bool:
        ended = {(event["gateway"], event["device"]) for event in await line.events() if event["state"] == "ended"}
        return ended == set(expected)

    await until_async(are_over, "the end of every flood: the last may have drained a moment ago")
    events = [event for event in await line.events() if event["alert"] is not None]
    assert sorted((event["gateway"], event["device"], event["state"]) for event in events) == [
        (*flood, "ended") for flood in expected
    ]
    assert sorted((order["gateway"], order["device"]) for order in await line.orders()) == expected


def _broker(broker: Mosquitto, havoc: Havoc, chance: random.Random) -> Victim:
    """Its disk is wiped while it is away for long, and sometimes else."""
    blows = plan_blows(chance, havoc.broker, span_s=havoc.span_s, outage_s=havoc.outage_s)
    wiped = iter([blow.rest_s == havoc.outage_s or chance.random() < 0.3 for blow in blows])

    def die() -> None:
        broker.kill()
        if next(wiped):
            broker.wipe()

    return Victim(lambda: asyncio.to_thread(die), lambda: asyncio.to_thread(broker.start), blows)


def _store(influx: InfluxDB, havoc: Havoc, chance: random.Random) -> Victim:
    blows = plan_blows(chance, havoc.store, span_s=havoc.span_s, outage_s=havoc.outage_s)
    return Victim(lambda: asyncio.to_thread(influx.kill), lambda: asyncio.to_thread(influx.start), blows)


def _cloud(line: Line, havoc: Havoc, chance: random.Random) -> Victim:
    blows = plan_blows(chance, havoc.cloud, span_s=havoc.span_s + LAST_S, outage_s=havoc.outage_s)
    return Victim(lambda: kill(line.cloud), line.begin_cloud, blows)


def _agent(gateway: LineGateway, havoc: Havoc, chance: random.Random) -> Victim:
    blows = plan_blows(chance, havoc.agent, span_s=havoc.span_s + LAST_S, outage_s=havoc.outage_s)
    return Victim(lambda: kill(gateway.agent), gateway.begin, blows)
