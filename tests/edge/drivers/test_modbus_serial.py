"""Serial lines, and converters that pass bytes on or give no transaction ids back: what only the wire can get wrong.

The ports are ptys without true timing; how long things take on a line is tested on paced ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import serial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.contract.buses import Line, Parity
from edge.contract.clock import SteppedClock
from edge.contract.messages import Test
from edge.drivers import Missing, Snapshot
from edge.drivers.modbus import ModbusLinks, ModbusPoll, ModbusUnit
from edge.drivers.modbus_frames import WrongAnswerError, crc, is_rtu_answer
from edge.drivers.modbus_link import UNHEARD_S
from edge.read_plan import Block
from tests.edge.drivers.scripted_server import (
    Script,
    ScriptedPort,
    ScriptedServer,
    frame,
    registers,
    rtu,
    rtu_right,
)
from tests.edge.drivers.test_modbus import ONE_BLOCK, START, TWO_BLOCKS, until

BAUD = 115_200
RIGHT: Mapping[str, object] = {"voltage_0": (7,), "voltage_1": (8,)}
PATIENCE_S = 60.0  # for tries on a machine that has other things to do


class Line115k:
    """Units on one line, read by the real driver."""

    def __init__(self, links: ModbusLinks, line: Line) -> None:
        self.link, self.clock = links.link(line), SteppedClock(START)

    def unit(
        self, number: int = 1, *, most_s: float = 0.2, tries: int = 1, blocks: list[Block] = ONE_BLOCK
    ) -> ModbusPoll:
        unit = ModbusUnit(f"meter-{number}", link=self.link, unit=number, clock=self.clock, most_s=most_s, tries=tries)
        return ModbusPoll(unit, blocks)


@contextlib.asynccontextmanager
async def port(script: Script) -> AsyncIterator[tuple[Line115k, ScriptedPort]]:
    async with ScriptedPort(script) as scripted, ModbusLinks() as links:
        yield Line115k(links, Line(scripted.path, 0, "rtu", BAUD)), scripted


@contextlib.asynccontextmanager
async def converter(script: Script) -> AsyncIterator[tuple[Line115k, ScriptedServer]]:
    async with ScriptedServer(script, request_size=8) as scripted, ModbusLinks() as links:
        yield Line115k(links, Line("127.0.0.1", scripted.port, "rtu", BAUD)), scripted


def said(snapshot: Snapshot) -> str:
    """The one reason why everything is missing."""
    answers = list(snapshot.answers.values())
    assert {type(answer) for answer in answers} == {Missing}
    (reason,) = {answer.reason for answer in answers if isinstance(answer, Missing)}
    return reason


# --- frames ----------------------------------------------------------------------------------------------------------

REQUEST = rtu(b"\7", bytes.fromhex("04 0034 0002"))
ANSWER = rtu(REQUEST, bytes.fromhex("04 04 4364 199a"))


def test_the_crc_is_that_of_the_specification() -> None:
    """The worked example of Modbus over Serial Line V1.02, appendix B: 02 07 gives 41 12."""
    assert crc(bytes.fromhex("0207")) == bytes.fromhex("4112")
    assert crc(bytes.fromhex("0103 0000 000a")) == bytes.fromhex("c5cd")  # as in many a manual


@pytest.mark.parametrize("answer", [ANSWER, rtu(REQUEST, b"\x84\2")], ids=["values", "exception"])
def test_an_rtu_answer_is_known_once_it_is_whole(answer: bytes) -> None:
    """Every true beginning says "not yet", the whole says "yes", one byte more is refused."""
    assert not any(is_rtu_answer(REQUEST, answer[:size]) for size in range(len(answer)))
    assert is_rtu_answer(REQUEST, answer)
    with pytest.raises(WrongAnswerError, match="bytes behind the answer: 1"):
        is_rtu_answer(REQUEST, answer + b"\0")


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 7)), min_size=1, max_size=3, unique=True))
def test_up_to_three_flipped_bits_never_pass(flips: list[tuple[int, int]]) -> None:
    """CRC-16 finds all errors of up to three bits in frames as short as these."""
    damaged = bytearray(ANSWER)
    for byte, bit in flips:
        damaged[byte] ^= 1 << bit
    with contextlib.suppress(WrongAnswerError):
        assert not is_rtu_answer(REQUEST, bytes(damaged))


# --- one exchange ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[Script, str]] = {
    "foreign unit": (lambda r, _: [rtu(r, rtu_right(r, 7)[1:-2], unit=2)], "wrong answer: unit 0x02 instead of 0x01"),
    "foreign function": (lambda r, _: [rtu(r, b"\3\4\0\1\0\2")], "wrong answer: function 3 instead of 4"),
    "byte count": (lambda r, _: [rtu(r, b"\4\2\0\1")], "wrong answer: byte count 0x02 instead of 0x04"),
    "CRC": (lambda r, _: [rtu_right(r)[:-1] + b"\0"], "wrong answer: damaged on the way (CRC)"),
    "merged frames": (lambda r, _: [rtu_right(r) + rtu_right(r)], "wrong answer: bytes behind the answer: 9"),
    "truncated frame": (lambda r, _: [rtu_right(r)[:-3]], "connected, but silent for 0.2 s"),
    "echo": (lambda r, _: [r, rtu_right(r)], "its own request comes back: the converter echoes, switch its echo off"),
    "noise": (lambda _, __: [b"\xff\0\xff"], "wrong answer: unit 0xff instead of 0x01"),
    "nothing": (lambda _, __: [], "connected, but silent for 0.2 s: check the unit number"),
    "hangs up": (lambda r, _: [rtu_right(r)[:4], None], "it closed the connection"),
}


@pytest.mark.parametrize("open_line", [port, converter], ids=["serial", "rtu over tcp"])
@pytest.mark.parametrize(("script", "reason"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_not_the_answer_is_no_answer(
    open_line: Callable[[Script], contextlib.AbstractAsyncContextManager[tuple[Line115k, object]]],
    script: Script,
    reason: str,
) -> None:
    """No byte of a wrong answer becomes a value; the points are missing and the reason says what came instead."""
    async with open_line(script) as (line, _):
        assert reason in said(await line.unit().read())


@given(answer=st.binary(max_size=20))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_random_answers_never_give_a_value(answer: bytes) -> None:
    """Random bytes are no value, also behind the unit, function and byte count of the right answer."""
    async with port(lambda r, _: [r[:2] + b"\4" + answer]) as (line, _):
        for words in (await line.unit(most_s=0.05).read()).answers.values():
            assert isinstance(words, Missing) or crc(b"\1\4\4" + answer[:4]) == answer[4:]


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 8, 10, 11, 99])
async def test_each_exception_is_said_in_words(code: int) -> None:
    """An exception is never a value: the device refused, or a converter spoke for one that was silent."""
    async with port(lambda r, _: [rtu(r, bytes([0x84, code]))]) as (line, _):
        (first, *_) = (await line.unit().read()).answers.values()
    assert isinstance(first, Missing)
    assert first.test == (Test.NO_ANSWER if code in (10, 11) else Test.REFUSED)
    assert re.search(rf"\(exception {code}\)", first.reason)


async def test_an_answer_in_pieces_is_put_together() -> None:
    """A serial port hands over what it has: an answer that comes byte by byte is the same answer."""
    async with port(lambda r, _: [part for byte in rtu_right(r, 7) for part in (bytes([byte]), 0.002)]) as (line, _):
        assert (await line.unit().read()).answers == RIGHT


# --- what comes late -------------------------------------------------------------------------------------------------


async def test_a_late_answer_is_never_taken_for_a_later_one() -> None:
    """The unit is not asked again before the longest that its answer may take has passed; then it is asked anew."""
    is_late = False

    def script(request: bytes, _: int) -> list[bytes | float | None]:
        nonlocal is_late
        if is_late:
            is_late = False
            return [0.35, rtu_right(request, 666)]
        return [rtu_right(request, 7)]

    async with port(script) as (line, scripted):
        unit = line.unit(most_s=0.5, tries=3)
        assert (await unit.read()).answers == RIGHT  # it is quick: from now on it is waited for 0.2 s
        is_late = True
        begun = asyncio.get_running_loop().time()
        assert (await unit.read()).answers == RIGHT
        assert asyncio.get_running_loop().time() - begun >= 0.5
        assert len(scripted.requests) == 3


async def test_the_line_is_free_while_a_late_answer_is_waited_out() -> None:
    """Another unit is read meanwhile; a late answer that falls into its answer spoils that, and is no value."""

    def unit_1_is_late(request: bytes, _: int) -> list[bytes | float | None]:
        return [0.35, rtu_right(request, 666)] if request[0] == 1 else [rtu_right(request, 7)]

    async with port(unit_1_is_late) as (line, scripted):
        late, other = line.unit(1, most_s=0.3), line.unit(2, most_s=0.3, tries=3)
        reading = asyncio.create_task(late.read())
        answers = [dict((await other.read()).answers) for _ in range(30)]
        assert "silent" in said(await reading)
        while not scripted.requests or scripted.requests[-1][0] != 2:
            await other.read()
    assert all(answer == RIGHT for answer in answers)


async def test_what_a_network_held_up_is_nobodys_answer() -> None:
    """Requests that all arrive at once, after a silence longer than any answer, are not answers to the one of now."""

    def held_up(request: bytes, _: int) -> list[bytes | float | None]:
        if len(scripted.requests) == 1:
            return []
        first = rtu_right(scripted.requests[0], 10)
        return [first, 0.05, rtu_right(request, 50)] if len(scripted.requests) == 2 else [rtu_right(request, 50)]

    async with converter(held_up) as (line, scripted):
        answers = (await line.unit(blocks=TWO_BLOCKS).read()).answers
    assert isinstance(answers["voltage_0"], Missing)
    assert answers["voltage_1"] == (50,)
    assert len(scripted.requests) == 3


@pytest.mark.parametrize("open_line", [port, converter], ids=["serial", "rtu over tcp"])
async def test_an_answer_that_comes_twice_is_used_once(
    open_line: Callable[[Script], contextlib.AbstractAsyncContextManager[tuple[Line115k, object]]],
) -> None:
    """Some radio links send everything twice: the second copy is not the answer to the next request."""
    async with asyncio.timeout(PATIENCE_S):
        while not await is_used_once(open_line):
            pass


async def is_used_once(
    open_line: Callable[[Script], contextlib.AbstractAsyncContextManager[tuple[Line115k, object]]],
) -> bool:
    """Whether three polls gave all values; a wrong one fails, for a missing one or a late copy it is tried again."""
    most_s, copies, asked_at = 0.5, list[bytes](), list[float]()

    def twice(request: bytes, _: int) -> list[bytes | float | None]:
        asked_at.append(asyncio.get_running_loop().time())
        if copies:  # comes into the next request, which is lost by that
            return [copies.pop()]
        copies.append(rtu_right(request, request[3]))
        return [copies[0]]

    async with open_line(twice) as (line, _):
        unit = line.unit(blocks=TWO_BLOCKS, most_s=most_s)
        answers = [dict((await unit.read()).answers) for _ in range(3)]
    # Between a request and the one after the next, an answer and its copy were heard.
    if any(after - before >= most_s for before, after in zip(asked_at, asked_at[2:], strict=False)):
        return False
    right = {"voltage_0": (10,), "voltage_1": (50,)}
    values = {(name, words) for one in answers for name, words in one.items() if not isinstance(words, Missing)}
    assert values <= set(right.items())
    return answers == [right] * 3


@pytest.mark.parametrize("open_line", [port, converter], ids=["serial", "rtu over tcp"])
@pytest.mark.parametrize("turns", range(6))
async def test_opening_that_is_given_up_leaves_nothing_half_open(
    open_line: Callable[[Script], contextlib.AbstractAsyncContextManager[tuple[Line115k, object]]], turns: int
) -> None:
    """Whoever stops waiting while the line is opened leaves it closed, neither locked nor taken for open."""
    async with open_line(lambda r, _: [rtu_right(r, 7)]) as (line, _):
        reading = asyncio.create_task(line.unit().read())
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.sleep(0)  # a port that was just being opened is closed in a later turn of the loop
        await asyncio.sleep(0)
        assert (await line.unit().read()).answers == RIGHT


async def test_a_network_that_is_gone_ends_the_connection_soon() -> None:
    """Linux would try for a quarter of an hour, ever more seldom: the socket is told when to give up."""
    opened: list[socket.socket] = []

    class Noted(socket.socket):
        def connect(self, address: object) -> None:
            opened.append(self)
            super().connect(address)  # type: ignore[arg-type]  # as it came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Noted)
        async with converter(lambda r, _: [rtu_right(r, 7)]) as (line, _):
            assert (await line.unit().read()).answers == RIGHT
            (its_socket,) = opened
            assert its_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == UNHEARD_S * 1000


async def test_after_opening_the_line_is_listened_to() -> None:
    """What somebody asked for before us, and the end of a frame, are heard and forgotten before the first request."""
    async with port(lambda r, _: [rtu_right(r, 7)]) as (line, scripted):
        stray = rtu_right(rtu(b"\1", bytes.fromhex("04 000a 0002")), 666)
        asyncio.get_running_loop().call_later(0.1, scripted.send, stray)
        assert (await line.unit(most_s=0.3).read()).answers == RIGHT
        assert len(scripted.requests) == 1


async def test_a_line_that_is_never_quiet_is_said_in_words() -> None:
    """A device that sends all the time is named as the trouble; nothing is asked into its talk."""
    async with asyncio.timeout(PATIENCE_S):
        reason, requests, longest_s = await babbled_at(pause_s=1)
        while "no connection within" in reason or longest_s >= 1:  # the machine had no time for one of the two
            reason, requests, longest_s = await babbled_at(pause_s=1)
    assert "the line is never quiet: something on it keeps sending" in reason
    assert not requests


async def babbled_at(*, pause_s: float) -> tuple[str, list[bytes], float]:
    """What is said of a line with a babbler, what was asked on it, and the longest that the babbler was quiet."""
    now, longest_s = asyncio.get_running_loop().time, 0.0
    async with ScriptedPort(lambda _, __: []) as scripted, ModbusLinks() as links:

        async def babble() -> None:
            nonlocal longest_s
            while True:
                scripted.send(b"\x55")
                sent_at = now()
                await asyncio.sleep(0.001)
                longest_s = max(longest_s, now() - sent_at)

        babbling = asyncio.create_task(babble())
        try:
            link, clock = links.link(Line(scripted.path, 0, "rtu", BAUD)), SteppedClock(START)
            unit = ModbusUnit("meter-1", link=link, unit=1, clock=clock, most_s=0.05, pause_s=pause_s, tries=1)
            reason = said(await ModbusPoll(unit, ONE_BLOCK).read())
        finally:
            babbling.cancel()
    return reason, scripted.requests, longest_s


@pytest.mark.parametrize("its_id", [0, 1])
async def test_a_converter_without_ids_is_read_and_distrusted(its_id: int) -> None:
    """Where the id never comes back it is not compared; late answers are kept away by time, as on a serial line."""
    late = {2}

    def script(request: bytes, connection: int) -> list[bytes | float | None]:
        assert connection == 1
        is_late = len(server.requests) in late
        answer = frame(request, registers(request, 666 if is_late else 7), tid=its_id)
        return [0.35, answer] if is_late else [answer]

    async with ScriptedServer(script) as server, ModbusLinks() as links:
        unit = Line115k(links, Line("127.0.0.1", server.port, "tcp_without_ids", BAUD)).unit(most_s=0.5, tries=3)
        for _ in range(3):
            assert (await unit.read()).answers == RIGHT
        assert len(server.requests) == 4


async def test_an_id_of_0_is_refused_where_ids_come_back() -> None:
    """With framing tcp a converter without ids is not believed, and the reason names the setting that it needs."""
    async with ScriptedServer(lambda r, _: [frame(r, registers(r), tid=0)]) as server, ModbusLinks() as links:
        reason = said(await Line115k(links, Line("127.0.0.1", server.port, "tcp")).unit().read())
    assert "transaction id 0x0000 instead of" in reason
    assert "make it a bus with framing: tcp_without_ids" in reason


# --- the port --------------------------------------------------------------------------------------------------------


async def test_a_port_that_vanishes_comes_back(tmp_path: Path) -> None:
    """A converter that is unplugged costs its polls; nothing else is needed than to plug it in again."""
    plug = tmp_path / "ttyUSB0"
    async with ScriptedPort(lambda r, _: [rtu_right(r, 7)]) as first, ModbusLinks() as links:
        plug.symlink_to(first.path)
        line = Line115k(links, Line(str(plug), 0, "rtu", BAUD))
        unit = line.unit(tries=3)
        assert (await unit.read()).answers == RIGHT
        plug.unlink()
        first.unplug()
        await until(lambda: line.link.fault is not None)
        assert "there is no such serial port: is the converter plugged in?" in said(await unit.read())
        async with ScriptedPort(lambda r, _: [rtu_right(r, 7)]) as second:
            plug.symlink_to(second.path)
            assert (await unit.read()).answers == RIGHT


async def test_a_link_to_a_port_that_is_gone(tmp_path: Path) -> None:
    """A name that points to a port that is not there is no matter of rights."""
    plug = tmp_path / "ttyUSB0"
    plug.symlink_to(tmp_path / "gone")
    async with ModbusLinks() as links:
        reason = said(await Line115k(links, Line(str(plug), 0, "rtu", BAUD)).unit().read())
    assert "there is no such serial port: is the converter plugged in?" in reason


async def test_a_port_that_another_program_uses(tmp_path: Path) -> None:
    """Only one may talk on a line: the second is told so."""
    async with port(lambda r, _: [rtu_right(r, 7)]) as (line, scripted):
        with serial.Serial(scripted.path, exclusive=True):
            assert "another program has it open: only one may talk on a serial line" in said(await line.unit().read())
        nothing = tmp_path / "ttyUSB0"
        nothing.write_bytes(b"")
        async with ModbusLinks() as links:
            unit = Line115k(links, Line(str(nothing), 0, "rtu", BAUD)).unit()
            assert "cannot be opened as a serial port" in said(await unit.read())


async def test_a_port_that_does_not_take_its_settings() -> None:
    """A driver may refuse a parity, as that of ptys does: that is said, and the port is free again, not left locked."""
    async with ScriptedPort(lambda r, _: [rtu_right(r, 7)]) as scripted, ModbusLinks() as links:
        unit = Line115k(links, Line(scripted.path, 0, "rtu", BAUD, "even")).unit()
        for _ in range(2):
            reason = said(await unit.read())
            assert "the port does not take these settings: baud 115200, parity even, 1 stop bits" in reason
        assert (await Line115k(links, Line(scripted.path, 0, "rtu", BAUD)).unit().read()).answers == RIGHT


@pytest.mark.parametrize(("parity", "letter"), [("none", "N"), ("even", "E"), ("odd", "O")])
async def test_settings_reach_the_serial_library(monkeypatch: pytest.MonkeyPatch, parity: Parity, letter: str) -> None:
    """Baud, parity and stop bits are those of the bus; a pty carries no parity, so it is seen where it is asked for."""
    asked: list[dict[str, object]] = []

    def open_port(url: str, **options: object) -> None:
        asked.append({"url": url, **options})
        raise serial.SerialException("seen")

    monkeypatch.setattr(serial, "serial_for_url", open_port)
    async with ModbusLinks() as links:
        await Line115k(links, Line("/dev/ttyUSB0", 0, "rtu", 19_200, parity, 2)).unit().read()
    assert {name: asked[0][name] for name in ("url", "baudrate", "bytesize", "parity", "stopbits", "exclusive")} == {
        "url": "/dev/ttyUSB0", "baudrate": 19_200, "bytesize": 8, "parity": letter, "stopbits": 2, "exclusive": True,
    }  # fmt: skip


async def test_two_blocks_share_no_time() -> None:
    """Each request has the time of its own answer."""
    async with port(lambda r, _: [rtu_right(r, 7)]) as (line, _):
        parts = (await line.unit(blocks=TWO_BLOCKS).read()).parts
    assert [(part.taken_at - START, list(part.answers)) for part in parts] == [(0, ["voltage_0"]), (1, ["voltage_1"])]


async def test_nothing_of_what_is_read_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What pymodbus says of an error holds the latest bytes of all lines: none of it is wanted."""
    caplog.set_level(0)
    async with port(lambda r, _: [rtu(r, b"\3\4\0\1\0\2"), 0.01, rtu_right(r, 7)]) as (line, _):
        await line.unit(most_s=0.05, tries=3).read()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("pymodbus")] == []
