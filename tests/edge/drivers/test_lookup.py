"""Names of hosts: a name server that does not answer holds up nothing but the device that it should tell of."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from edge.contract.buses import Line
from edge.contract.clock import SteppedClock
from edge.drivers.lookup import Lookup
from edge.drivers.modbus import ModbusLinks, ModbusPoll, ModbusUnit
from tests.edge.drivers.scripted_server import ScriptedServer, right
from tests.edge.drivers.test_modbus import ONE_BLOCK, START, reasons, values

DEVICES = 40  # more than asyncio has threads


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hosts that were asked for; none of them is answered before the test is over."""
    asked: list[str] = []
    over = threading.Event()

    def ask(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        over.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    yield asked
    over.set()


async def test_a_mute_name_server_holds_up_no_thread_that_others_need(questions: list[str]) -> None:
    """The outbox is written in asyncio's threads: they are free, however many names are asked for, each one once."""
    async with ModbusLinks() as links:
        polls = [
            ModbusPoll(
                ModbusUnit(
                    f"meter-{number}", link=links.link(Line(f"meter-{number}.test", 502, "tcp")), unit=1,
                    clock=SteppedClock(START), most_s=0.02,
                ),
                ONE_BLOCK,
            )
            for number in range(DEVICES)
        ]  # fmt: skip
        for snapshot in await asyncio.gather(*(poll.read() for poll in polls)):
            (said,) = reasons(snapshot)
            assert said.endswith("no name server says where that is within 0.02 s: check address, power and cable")
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "free") == "free"
    assert sorted(questions) == sorted(f"meter-{number}.test" for number in range(DEVICES))


async def test_a_name_is_asked_for_anew() -> None:
    """A device that has moved is found at its new address, the next time that it is connected to."""
    lookup = Lookup("localhost", 502)
    assert "127.0.0.1" in await lookup.addresses()
    assert not lookup.is_waiting
    assert "127.0.0.1" in await lookup.addresses()
    assert await Lookup("::1", 502).addresses() == ["::1"]


async def test_a_host_is_tried_at_all_its_addresses() -> None:
    """Where a name has an address at which nobody listens, as localhost often has for IPv6, the others are tried."""
    async with ScriptedServer(lambda r, _: [right(r, 7)]) as server, ModbusLinks() as links:
        link = links.link(Line("localhost", server.port, "tcp"))
        unit = ModbusUnit("meter-1", link=link, unit=1, clock=SteppedClock(START), most_s=5, tries=1)
        assert values(await ModbusPoll(unit, ONE_BLOCK).read()) == {"voltage_0": (7,), "voltage_1": (8,)}
