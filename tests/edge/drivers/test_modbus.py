"""The Modbus driver against real TCP servers, well-behaved and not: never a wrong value, and every reason in words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edge.contract.buses import Line
from edge.contract.clock import SteppedClock
from edge.contract.messages import Test
from edge.contract.profile import RegisterPoint
from edge.drivers import Missing, Snapshot
from edge.drivers.modbus import ModbusLinks, ModbusPoll, ModbusUnit
from edge.read_plan import Block
from tests.edge.drivers.scripted_server import Script, ScriptedServer, frame, registers, right

START = 1_790_000_000_000


def voltage(number: int, address: int, table: str = "input") -> RegisterPoint:
    return RegisterPoint.model_validate(
        {
            "name": f"voltage_{number}",
            "unit": "V",
            "span": (0.0, 500.0),
            "table": table,
            "address": address,
            "type": "uint16",
        }
    )


ONE_BLOCK = [Block("input", 10, 2, (voltage(0, 10), voltage(1, 11)))]
TWO_BLOCKS = [Block("input", 10, 1, (voltage(0, 10),)), Block("input", 50, 1, (voltage(1, 50),))]


class Bench:
    """One device, its link and its clock."""

    def __init__(
        self, links: ModbusLinks, port: int, blocks: list[Block], *, timeout_s: float = 5.0, tries: int = 1
    ) -> None:
        self.clock = SteppedClock(START)
        self.link = links.link(Line("127.0.0.1", port, "tcp"))
        self.device = self.other(blocks, unit=1, timeout_s=timeout_s, tries=tries)

    def other(self, blocks: list[Block], *, unit: int, timeout_s: float = 5.0, tries: int = 1) -> ModbusPoll:
        """Another unit behind the same address."""
        asked = ModbusUnit(f"meter-{unit}", link=self.link, unit=unit, clock=self.clock, most_s=timeout_s, tries=tries)
        return ModbusPoll(asked, blocks)


@contextlib.asynccontextmanager
async def bench(
    script: Script, blocks: list[Block] = ONE_BLOCK, *, timeout_s: float = 5.0, tries: int = 1
) -> AsyncIterator[tuple[Bench, ScriptedServer]]:
    async with ScriptedServer(script) as server, ModbusLinks() as links:
        yield Bench(links, server.port, blocks, timeout_s=timeout_s, tries=tries), server


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that happens on the other side of a socket and tells nobody."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


def reasons(snapshot: Snapshot) -> set[str]:
    """The reasons of a snapshot in which every point is missing without an answer."""
    missing = [answer for answer in snapshot.answers.values() if isinstance(answer, Missing)]
    assert len(missing) == len(snapshot.answers)
    assert {answer.test for answer in missing} == {Test.NO_ANSWER}
    return {answer.reason for answer in missing}


def values(snapshot: Snapshot) -> Mapping[str, object]:
    return dict(snapshot.answers)


# --- the good path, against pymodbus' own server -------------------------------------------------------------------


@contextlib.asynccontextmanager
async def pymodbus_server() -> AsyncIterator[int]:
    """Unit 1 with input registers 0..199 = 1000.., holding registers 2000.., coils and discrete inputs by turns."""
    bits, words = DataType.BITS, DataType.REGISTERS
    device = SimDevice(
        1,
        simdata=(
            [SimData(0, values=[True, False] * 20, datatype=bits)],
            [SimData(0, values=[False, True] * 20, datatype=bits)],
            [SimData(0, values=list(range(2000, 2200)), datatype=words)],
            [SimData(0, values=list(range(1000, 1200)), datatype=words)],
        ),
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ModbusTcpServer(device, address=("127.0.0.1", port))
    assert await server.listen()
    try:
        yield port
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped


async def test_all_four_tables_are_read_from_a_real_server() -> None:
    """Registers and bits come back as the words that stand at their addresses, at one time."""
    wet = {"unit": "1", "type": "bool"}
    points = [
        RegisterPoint.model_validate({"name": "wet_contact_1", "table": "coil", "address": 2, **wet}),
        RegisterPoint.model_validate({"name": "wet_contact_2", "table": "discrete", "address": 2, **wet}),
    ]
    blocks = [
        Block("input", 10, 2, (voltage(0, 10), voltage(1, 11))),
        Block("holding", 199, 1, (voltage(2, 199),)),
        Block("coil", 2, 1, (points[0],)),
        Block("discrete", 2, 1, (points[1],)),
    ]
    async with pymodbus_server() as port, ModbusLinks() as links:
        snapshot = await Bench(links, port, blocks).device.read()
    assert [part.taken_at - START for part in snapshot.parts] == [0, 1, 2, 3]  # the clock stands still
    assert values(snapshot) == {
        "voltage_0": (1010,), "voltage_1": (1011,), "voltage_2": (2199,), "wet_contact_1": (1,), "wet_contact_2": (0,),
    }  # fmt: skip


async def test_an_illegal_address_is_refused_and_the_other_blocks_are_read() -> None:
    """An exception makes the points of its block REFUSED, in words, and costs the others nothing."""
    blocks = [Block("input", 500, 1, (voltage(0, 500),)), Block("input", 10, 1, (voltage(1, 10),))]
    async with pymodbus_server() as port, ModbusLinks() as links:
        snapshot = await Bench(links, port, blocks, tries=3).device.read()
    refused = snapshot.answers["voltage_0"]
    place = f"127.0.0.1:{port} unit 1"
    assert refused == Missing(
        Test.REFUSED,
        f"meter-1: {place} refused input 0x01f4: illegal data address (exception 2): "
        "check that the profile is for this very model",
    )
    assert snapshot.answers["voltage_1"] == (1010,)


# --- servers that misbehave ------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Script, str]] = {
    "foreign transaction id": (lambda r, _: [frame(r, registers(r), tid=r[1] ^ 1)], "wrong answer: transaction id 0x"),
    "transaction id 0": (lambda r, _: [frame(r, registers(r), tid=0)], "wrong answer: transaction id 0x0000"),
    "foreign unit": (lambda r, _: [frame(r, registers(r), unit=2)], "wrong answer: unit 0x02 instead of 0x01"),
    "foreign function": (lambda r, _: [frame(r, b"\3\4\0\1\0\2")], "wrong answer: function 3 instead of 4"),
    "too few registers": (lambda r, _: [frame(r, b"\4\2\0\1")], "wrong answer: byte count 0x02 instead of 0x04"),
    "too many registers": (lambda r, _: [frame(r, b"\4\6\0\1\0\2\0\3")], "byte count 0x06 instead of 0x04"),
    "byte count that lies": (lambda r, _: [frame(r, b"\4\2\0\1\0\2")], "byte count 0x02 instead of 0x04"),
    "length that lies": (lambda r, _: [right(r)[:5] + b"\5" + right(r)[6:]], "length 0x0005 instead of 0x0007"),
    "two answers glued": (lambda r, _: [right(r) + right(r)], "wrong answer: bytes behind the answer: 13"),
    "garbage": (lambda _, __: [b"HTTP/1.1 400 Bad Request\r\n"], "wrong answer: transaction id 0x4854"),
    "more garbage than fits": (lambda _, __: [b"\0" * 5000], "wrong answer|silent"),  # pymodbus drops it in some sizes
    "half an answer": (lambda r, _: [right(r)[:10]], "connected, but silent for 0.1 s"),
    "nothing": (lambda _, __: [], "connected, but silent for 0.1 s"),
    "a closed connection": (lambda _, __: [None], "it closed the connection"),
    "half an answer, then closed": (lambda r, _: [right(r)[:10], None], "it closed the connection"),
    "a converter's exception": (lambda r, _: [frame(r, b"\x84\x0b")], "the converter answers gateway target device"),
}


@pytest.mark.parametrize(("script", "reason"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_not_the_answer_is_no_answer(script: Script, reason: str) -> None:
    """No byte of a wrong answer becomes a value; the points are missing and the reason says what came instead."""
    async with bench(script, timeout_s=0.1 if "silent" in reason else 5) as (it, server):
        (said,) = reasons(await it.device.read())
    assert said.startswith(f"meter-1: no answer from 127.0.0.1:{server.port} unit 1 after 1 try: ")
    assert any(part in said for part in reason.split("|"))


@given(answer=st.binary(max_size=40), keeps_id=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_random_answers_never_give_a_value(*, answer: bytes, keeps_id: bool) -> None:
    """Random bytes, also behind a right transaction id, are a value only when they are the right answer's bytes."""
    async with bench(lambda r, _: [r[:2] + answer if keeps_id else answer, None]) as (it, _):
        for words in (await it.device.read()).answers.values():
            assert isinstance(words, Missing) or (keeps_id and answer[:7] == b"\0\0\0\7\1\4\4" and len(answer) == 11)


async def test_an_answer_in_pieces_is_put_together() -> None:
    """TCP may cut anywhere: an answer that comes byte by byte is the same answer."""
    async with bench(lambda r, _: [part for b in right(r, 7) for part in (bytes([b]), 0.001)]) as (it, _):
        assert values(await it.device.read()) == {"voltage_0": (7,), "voltage_1": (8,)}


async def test_a_late_answer_is_never_taken_for_a_later_one() -> None:
    """After a timeout the connection is given up, so what still comes on it cannot reach the next request."""

    def late_then_right(request: bytes, connection: int) -> list[bytes | float | None]:
        return [0.6, right(request, 666), 0.1, right(request, 667)] if connection == 1 else [right(request, 1)]

    async with bench(late_then_right, tries=3, timeout_s=0.5) as (it, server):
        assert values(await it.device.read()) == {"voltage_0": (1,), "voltage_1": (2,)}
        assert server.connections == 2
        assert int.from_bytes(server.requests[1][:2], "big") != int.from_bytes(server.requests[0][:2], "big")


async def test_a_late_answer_on_the_new_connection_is_refused_by_its_id() -> None:
    """Ids go on over a reconnect: a converter that sends the old answer down the new connection is not believed."""

    def answers_the_one_before(request: bytes, connection: int) -> list[bytes | float | None]:
        return [] if connection == 1 else [right(server.requests[-2], 666)]

    async with bench(answers_the_one_before, tries=3, timeout_s=0.5) as (it, server):
        (said,) = reasons(await it.device.read())
    assert "after 3 tries: wrong answer: transaction id" in said


async def test_bytes_between_two_requests_end_the_connection() -> None:
    """An answer that comes twice, the second time a little later, is used once and then distrusted."""
    async with bench(lambda r, _: [right(r, 5), 0.02, right(r, 6)]) as (it, server):
        assert values(await it.device.read()) == {"voltage_0": (5,), "voltage_1": (6,)}
        await until(lambda: it.link.fault is not None)
        assert values(await it.device.read()) == {"voltage_0": (5,), "voltage_1": (6,)}
        assert server.connections == 2


async def test_a_connection_closed_while_idle_costs_no_try() -> None:
    """A device that hangs up after each answer is read all the same, each time over a new connection."""
    async with bench(lambda r, _: [right(r), None]) as (it, server):
        for count in (1, 2, 3):
            assert not isinstance((await it.device.read()).answers["voltage_0"], Missing)
            await until(lambda: it.link.fault is not None)
            assert server.connections == count


async def test_a_refused_connection_is_said_in_words() -> None:
    """A port where nobody listens is named together with the reason and the number of tries."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else gets it
        port = taken.getsockname()[1]
        async with ModbusLinks() as links:
            (said,) = reasons(await Bench(links, port, ONE_BLOCK, tries=3).device.read())
    assert said == (
        f"meter-1: no answer from 127.0.0.1:{port} unit 1 after 3 tries: "
        "connection refused: is Modbus TCP switched on there, and is it this port?"
    )


async def test_an_unknown_host_is_said_in_words() -> None:
    """A name that does not resolve is a reason like any other."""
    async with ModbusLinks() as links:
        link = links.link(Line("no-such-host.invalid", 502, "tcp"))
        unit = ModbusUnit("meter-1", link=link, unit=1, clock=SteppedClock(START), most_s=5, tries=1)
        (said,) = reasons(await ModbusPoll(unit, ONE_BLOCK).read())
    assert said.startswith("meter-1: no answer from no-such-host.invalid:502 unit 1 after 1 try: ")


@pytest.mark.parametrize("host", ["10.0.0..7", "a" * 64 + ".local"])
async def test_what_is_no_host_name_is_said_in_words(host: str) -> None:
    """A typing error in one address is one device's reason, and no end of the gateway."""
    async with ModbusLinks() as links:
        unit = ModbusUnit(
            "meter-1", link=links.link(Line(host, 502, "tcp")), unit=1, clock=SteppedClock(START), most_s=5, tries=1
        )
        (said,) = reasons(await ModbusPoll(unit, ONE_BLOCK).read())
    assert said.endswith("that is no host name: check it")


# --- several blocks, several devices ---------------------------------------------------------------------------------


async def test_a_silent_first_block_ends_the_poll() -> None:
    """A device that hangs up is asked its tries for one block and once for another; then for one block a probe."""
    async with bench(lambda _, __: [None], [*TWO_BLOCKS, *ONE_BLOCK], tries=3) as (it, server):
        for asked in (4, 5, 5, 6):
            (reason,) = reasons(await it.device.read())
            assert reason.endswith("it closed the connection")
            assert len(server.requests) == asked


async def test_a_silent_later_block_is_missing_alone() -> None:
    """What was answered is kept when another block is not."""

    def only_the_first(request: bytes, _: int) -> list[bytes | float | None]:
        return [right(request)] if request[8:10] == b"\0\n" else [None]

    async with bench(only_the_first, TWO_BLOCKS, tries=2) as (it, _):
        snapshot = await it.device.read()
    assert snapshot.answers["voltage_0"] == (0,)
    assert isinstance(snapshot.answers["voltage_1"], Missing)


async def test_snapshots_never_share_a_time() -> None:
    """Two polls within a millisecond are a millisecond apart, also when the clock stands still."""
    async with bench(lambda r, _: [right(r)]) as (it, _):
        assert [(await it.device.read()).parts[0].taken_at - START for _ in range(3)] == [0, 1, 2]


async def test_a_dead_unit_does_not_starve_the_others() -> None:
    """Behind one converter, a dead unit is asked ever less while its neighbour is read at every poll."""

    def unit_2_is_dead(request: bytes, _: int) -> list[bytes | float | None]:
        return [] if request[6] == 2 else [right(request)]

    async with bench(unit_2_is_dead, tries=3) as (it, server):
        dead = it.other(ONE_BLOCK, unit=2, tries=3, timeout_s=0.05)
        for _ in range(12):
            asked, answered = await asyncio.gather(dead.read(), it.device.read())
            reasons(asked)
            assert values(answered) == {"voltage_0": (0,), "voltage_1": (1,)}
            await it.clock.advance_to(it.clock.now_ms() + 1000)
    # Two tries at first, then one request after 0, 1, 3, and 7 polls left out.
    assert sum(request[6] == 2 for request in server.requests) == 2 + 3


async def test_a_device_that_comes_back_is_read_again_at_each_poll() -> None:
    """One answered probe ends the silence."""
    is_dead = True
    async with bench(lambda r, _: [None] if is_dead else [right(r)]) as (it, server):
        reasons(await it.device.read())
        reasons(await it.device.read())
        is_dead = False
        reasons(await it.device.read())  # left out
        for _ in range(3):
            assert values(await it.device.read()) == {"voltage_0": (0,), "voltage_1": (1,)}
    assert len(server.requests) == 5


async def test_a_block_that_is_never_answered_is_set_aside_alone() -> None:
    """It costs ever fewer timeouts, also when it is the first one; all the others are read at every poll."""

    def but_the_first(request: bytes, _: int) -> list[bytes | float | None]:
        return [] if request[8:10] == b"\0\n" else [right(request)]

    async with bench(but_the_first, TWO_BLOCKS, timeout_s=0.05) as (it, server):
        for _ in range(12):
            answers = (await it.device.read()).answers
            assert isinstance(answers["voltage_0"], Missing)
            assert answers["voltage_1"] == (0,)
    assert sum(request[8:10] == b"\0\n" for request in server.requests) == 4
    assert sum(request[8:10] == b"\0\x32" for request in server.requests) == 12


async def test_units_of_one_address_share_one_connection() -> None:
    """Many units read at once send one request at a time over one connection."""
    async with bench(lambda r, _: [right(r)]) as (it, server):
        devices = [it.other(ONE_BLOCK, unit=unit) for unit in range(1, 21)]
        snapshots = await asyncio.gather(*(device.read() for device in devices))
    assert all(values(s) == {"voltage_0": (0,), "voltage_1": (1,)} for s in snapshots)
    assert server.connections == 1


async def test_a_cancelled_read_gives_up_its_connection() -> None:
    """Whoever stops waiting leaves no answer behind for the next request."""
    async with bench(lambda r, c: [] if c == 1 else [right(r)]) as (it, server):
        reading = asyncio.create_task(it.device.read())
        await until(lambda: bool(server.requests))
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert values(await it.device.read()) == {"voltage_0": (0,), "voltage_1": (1,)}
        assert server.connections == 2
