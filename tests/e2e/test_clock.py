"""The whole line where a gateway does not know the time, or is a day ahead: real processes, a clock set from here."""

from __future__ import annotations

import time
from pathlib import Path

from edge.contract.clock import AcceleratedClock
from tests.chaos.neighbourhood import ROAD_OPTIONS
from tests.e2e.line import Line
from tests.e2e.line_gateway import LineGateway
from tests.e2e.waiting import kill, terminate, until, until_async
from tests.servers import Mosquitto

ROAD = {"road-1": "moxa_e1242_depth"}
RULES = {"road-1": ROAD_OPTIONS}
DAY_MS, MINUTE_MS = 86_400_000, 60_000


def make_clock(path: Path, *, set_by_ms: int) -> AcceleratedClock:
    """Write the true time, set wrong by so much."""
    now_ms, now_ns = time.time_ns() // 1_000_000, time.monotonic_ns()
    clock = AcceleratedClock(origin_ms=now_ms, speed=1, started_ns=now_ns, set_by_ms=set_by_ms)
    clock.write(path)
    return clock


def set_right(clock: AcceleratedClock, path: Path) -> None:
    """Do what a time server does."""
    clock.set_by_ms = 0
    clock.write(path)


async def read_more(gateway: LineGateway, polls: int) -> None:
    """Wait until the road was read so often more."""
    served = gateway.devices["road-1"].served
    wanted = len(served) + 2 * polls
    await until(lambda: len(served) >= wanted, f"{polls} polls")


async def test_a_gateway_that_does_not_know_the_time_yet(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """What it reads then, over a kill, is stored with its dates once it knows; a flood has its true beginning."""
    path = tmp_path / "clock.json"
    clock = make_clock(path, set_by_ms=0)
    clock.set_by_ms = -clock.origin_ms
    clock.write(path)
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=ROAD, poll_s=0.2, device_options=RULES) as line:
        [gateway] = line.gateways
        await terminate(gateway.agent)
        before = set(line.taken())
        road = gateway.devices["road-1"]
        await gateway.begin("--clock", str(path))
        road.set("depth", 40)
        await read_more(gateway, 5)
        began_ms = time.time_ns() // 1_000_000
        road.set("depth", 300)
        await read_more(gateway, 10)
        await kill(gateway.agent)
        await gateway.begin("--clock", str(path))
        await read_more(gateway, 5)
        assert set(line.taken()) == before
        assert await line.events() == []
        road.set("depth", 20)
        set_right(clock, path)
        await until_async(lambda: _has_ended(line), "the end of the flood")
        await line.settle()
        await line.prove()
        [event] = await line.events()
        assert 0 <= event["began_at"] - began_ms < MINUTE_MS
        assert all(abs(row.taken_at - began_ms) < MINUTE_MS for row in set(line.taken()) - before)


async def test_a_clock_that_was_a_day_ahead(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """What it dated tomorrow is refused, set aside and counted; then all is taken, and the flood is told again."""
    path = tmp_path / "clock.json"
    clock = make_clock(path, set_by_ms=DAY_MS)
    async with Line(tmp_path, broker_port=mosquitto.port, profiles=ROAD, poll_s=0.2, device_options=RULES) as line:
        [gateway] = line.gateways
        await terminate(gateway.agent)
        road = gateway.devices["road-1"]
        await gateway.begin("--clock", str(path))
        began_ms = time.time_ns() // 1_000_000
        road.set("depth", 300)
        await until_async(lambda: _has_refused(line, gateway), "a refused batch and events")
        assert await line.events() == []
        set_right(clock, path)
        await until_async(lambda: _is_told(line), "the flood")
        road.set("depth", 20)
        await until_async(lambda: _has_ended(line), "the end of the flood")
        await terminate(gateway.agent)
        await until_async(lambda: _is_accounted_for(line, gateway), "an account without anything pending")
        counts, rows = gateway.taken()
        ahead = [row for row in rows if row.taken_at > began_ms + DAY_MS // 2]
        [account] = [account for account in await line.accounts(gateway) if account["refused"]]
        assert sorted(set(rows) - set(ahead)) == sorted(await line.stored())
        assert sum(one["taken"] for one in await line.accounts(gateway)) == counts.taken
        assert (account["refused"], account["missing"], account["given_up"]) == (len(ahead), 0, 0)
        [event] = await line.events()
        assert 0 <= event["began_at"] - began_ms < MINUTE_MS


async def _is_told(line: Line) -> bool:
    return len(await line.events()) == 1


async def _has_ended(line: Line) -> bool:
    return [event["state"] for event in await line.events()] == ["ended"]


async def _has_refused(line: Line, gateway: LineGateway) -> bool:
    reasons = [letter["reason"] for letter in await line.dead_letters(gateway)]
    return any("min in the future" in reason for reason in reasons) and any("event:" in reason for reason in reasons)


async def _is_accounted_for(line: Line, gateway: LineGateway) -> bool:
    accounts = await line.accounts(gateway)
    return all(account["pending"] == account["pending_messages"] == account["missing"] == 0 for account in accounts)
