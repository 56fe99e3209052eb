"""A simulated serial line, opened as a serial port is: right bytes, in true time, and the master's faults noted."""

from __future__ import annotations

import asyncio
import os
import termios
import time
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.contract.buses import Parity
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.rtu_frames import crc16, rtu_frame, unframe
from simulators.rtu_line import RtuLine
from simulators.serial_wire import SerialSettings

EVERY_TYPE = str(Path(__file__).parent / "every_type.yaml")
ONE = bytes.fromhex("0300000001")  # holding register 0: the voltage in tenths
SIXTEEN = bytes.fromhex("0300000010")
VOLTS = bytes.fromhex("030208fd")
MOST_TRIES = 200  # until the machine has time for one that is exact
QUIET_S = 0.08  # longer than any answer here takes at 9600 baud


class Master:
    """The other end of the line: a serial port opened by hand, whose bytes are stamped as they come."""

    def __init__(self, path: str, settings: SerialSettings) -> None:
        self.settings = settings
        self.received = b""
        self.at_s: list[float] = []
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._file)
        attributes = termios.tcgetattr(self._file)
        attributes[4] = attributes[5] = getattr(termios, f"B{settings.baud}")
        attributes[2] |= termios.CSTOPB if settings.stop_bits == 2 else 0
        termios.tcsetattr(self._file, termios.TCSANOW, attributes)
        self._came = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._file, self._take)

    def _take(self) -> None:
        data = os.read(self._file, 4096)
        self.at_s += [time.monotonic()] * len(data)
        self.received += data
        self._came.set()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        os.close(self._file)

    def send(self, data: bytes) -> float:
        """Write, and say when."""
        self.received, self.at_s = b"", []
        before_s = time.monotonic()
        assert os.write(self._file, data) == len(data)
        return before_s

    async def take(self, count: int) -> bytes:
        """What came, once it is so much."""
        async with asyncio.timeout(5):
            while len(self.received) < count:
                self._came.clear()
                await self._came.wait()
        return self.received

    async def ask(self, unit: int, request: bytes, count: int) -> bytes:
        """Ask after a quiet time and take an answer of so many bytes."""
        await asyncio.sleep(self.settings.gap_s + 0.001)
        self.send(rtu_frame(unit, request))
        return await self.take(count)

    async def is_silent(self, unit: int, request: bytes) -> bool:
        """Whether a request stays without an answer."""
        await asyncio.sleep(self.settings.gap_s + 0.001)
        self.send(rtu_frame(unit, request))
        await asyncio.sleep(QUIET_S)
        return not self.received


@contextmanager
def opened(line: RtuLine, *, baud: int = 9600, stop_bits: int = 1) -> Iterator[Master]:
    master = Master(line.path, SerialSettings(baud, stop_bits=stop_bits))
    try:
        yield master
    finally:
        master.close()


@pytest.fixture
def device() -> SimulatedDevice:
    device = SimulatedDevice(load_modbus_profile(EVERY_TYPE))
    device.set("voltage_l1", 230.1)
    return device


@pytest.fixture
async def line(device: SimulatedDevice) -> AsyncIterator[RtuLine]:
    async with RtuLine({3: device}, baud=9600) as line:
        yield line


def test_the_checksum_is_that_of_the_specification() -> None:
    """The standard's own example (02 07 gives 41 12), and a known read request; a wrong one is no frame."""
    assert crc16(bytes.fromhex("0207")) == bytes.fromhex("4112")
    assert rtu_frame(1, bytes.fromhex("030000000a")) == bytes.fromhex("01030000000ac5cd")
    assert unframe(bytes.fromhex("01030000000ac5cd")) == (1, bytes.fromhex("030000000a"))
    assert unframe(bytes.fromhex("01030000000ac5cc")) is None
    assert unframe(b"") is None


async def test_a_request_is_answered(line: RtuLine) -> None:
    """The bytes of the answer, worked out by hand; refusals are answers too."""
    with opened(line) as master:
        assert await master.ask(3, ONE, 7) == rtu_frame(3, VOLTS)
        assert await master.ask(3, bytes.fromhex("0300140001"), 5) == rtu_frame(3, b"\x83\2")
    assert (line.requests, line.collisions) == (2, [])


async def test_what_is_no_request_for_anybody_is_met_with_silence(line: RtuLine) -> None:
    """A unit that is not there, the broadcast unit, and a wrong checksum get no byte."""
    with opened(line) as master:
        assert await master.is_silent(4, ONE)
        assert await master.is_silent(0, ONE)
        master.send(rtu_frame(3, ONE)[:-1] + b"\0")
        await asyncio.sleep(QUIET_S)
        assert master.received == b""
        assert await master.ask(3, ONE, 7) == rtu_frame(3, VOLTS)
    assert (line.requests, line.wire.unheard) == (1, 3)


async def test_a_silent_device_takes_only_the_time_of_its_requests(line: RtuLine, device: SimulatedDevice) -> None:
    """Nothing comes, and the wire was busy for eight characters."""
    device.silent = True
    with opened(line) as master:
        assert await master.is_silent(3, ONE)
    assert line.busy_s == pytest.approx(8 * 10 / 9600)


@pytest.mark.parametrize(("baud", "stop_bits"), [(9600, 1), (19200, 2), (115200, 1)])
async def test_an_answer_takes_the_time_of_its_bits(*, device: SimulatedDevice, baud: int, stop_bits: int) -> None:
    """Request, turnaround and answer: never before the wire would have brought it, and within 0.5 ms of it."""
    char_s = (9 + stop_bits) / baud
    count = 5 + 2 * 16
    late_s: list[float] = []
    async with RtuLine({3: device}, baud=baud, stop_bits=stop_bits, turnaround_s=0.004) as line:
        with opened(line, baud=baud, stop_bits=stop_bits) as master:
            while min(late_s, default=1.0) > 0.0005 and len(late_s) < MOST_TRIES:
                await asyncio.sleep(0.005)
                sent_s = master.send(rtu_frame(3, SIXTEEN))
                await master.take(count)
                for index in range(count):
                    early_s = sent_s + (8 + index + 1) * char_s + 0.004
                    assert master.at_s[index] >= early_s - 1e-6
                late_s.append(master.at_s[-1] - sent_s - ((8 + count) * char_s + 0.004))
    assert min(late_s) < 0.0005  # the others where the machine has time
    assert line.busy_s == pytest.approx(len(late_s) * ((8 + count) * char_s + 0.004))
    assert line.collisions == []


async def test_requests_one_after_another_do_not_drift(line: RtuLine) -> None:
    """Requests as close as is allowed take the time of their bits, each on its own."""
    took_s: list[float] = []
    least_s = line.settings.gap_s + 15 * line.settings.char_s + 0.005
    with opened(line) as master:
        await master.ask(3, ONE, 7)
        while len(took_s) < 20 or (min(took_s) > least_s + 0.001 and len(took_s) < MOST_TRIES):
            ready_s = master.at_s[-1] + line.settings.gap_s
            began_s = master.at_s[-1]
            while time.monotonic() < ready_s:  # noqa: ASYNC110 - the loop's timers are up to 1 ms late
                await asyncio.sleep(0)
            master.send(rtu_frame(3, ONE))
            await master.take(7)
            took_s.append(master.at_s[-1] - began_s)
    assert least_s - 1e-6 < min(took_s) < least_s + 0.001
    assert line.busy_s == pytest.approx((len(took_s) + 1) * (15 * line.settings.char_s + 0.005))
    assert line.collisions == []


async def test_talking_within_the_quiet_is_noted(device: SimulatedDevice) -> None:
    """A request right behind an answer is a fault of the master's, and only that one."""
    async with RtuLine({3: device}, baud=300) as line:  # where the quiet is longer than a busy machine's pauses
        with opened(line, baud=300) as master:
            await master.ask(3, ONE, 7)
            master.send(rtu_frame(3, ONE))
            await master.take(7)
    assert [collision.over for collision in line.collisions] == ["quiet"]


async def test_talking_over_an_answer_is_noted_and_spoils_it(device: SimulatedDevice) -> None:
    """The rest of the answer is noise, and the request that was said over it is not heard."""
    async with RtuLine({3: device}, baud=1200) as line:
        with opened(line, baud=1200) as master:
            master.send(rtu_frame(3, SIXTEEN))
            await master.take(16)
            os.write(master._file, rtu_frame(3, ONE))
            assert unframe(await master.take(37)) is None
            await asyncio.sleep(QUIET_S)
            assert len(master.received) == 37
    assert (line.requests, [collision.over for collision in line.collisions]) == (1, ["answer"])


async def test_two_requests_at_once_are_no_frame(line: RtuLine) -> None:
    """Without a gap between them nobody can tell them apart."""
    with opened(line) as master:
        master.send(2 * rtu_frame(3, ONE))
        await asyncio.sleep(QUIET_S)
        assert master.received == b""
    assert line.wire.unheard == 1


async def test_another_baud_rate_is_not_understood(line: RtuLine) -> None:
    """Devices hear nothing at another rate; after the port is opened again at theirs they answer."""
    with opened(line, baud=19200) as master:
        assert await master.is_silent(3, ONE)
    with opened(line, stop_bits=2) as master:
        assert await master.ask(3, ONE, 7) == rtu_frame(3, VOLTS)


async def test_devices_of_one_line_may_be_set_otherwise(device: SimulatedDevice) -> None:
    """A unit at another baud rate answers there alone; what is not understood can be answered with noise."""
    async with RtuLine({3: device, 4: device}, others={4: SerialSettings(19200)}, garbage=True) as line:
        with opened(line) as master:
            assert await master.ask(3, ONE, 7) == rtu_frame(3, VOLTS)
            assert unframe(await master.ask(4, ONE, 1)) is None
        with opened(line, baud=19200) as master:
            await asyncio.sleep(QUIET_S)
            assert await master.ask(4, ONE, 7) == rtu_frame(4, VOLTS)


async def test_another_parity_is_not_understood(device: SimulatedDevice) -> None:
    """What the master says of its parity counts, because the pty cannot carry it."""
    parity: list[Parity] = ["none"]
    async with RtuLine({3: device}, parity="even", master_parity=lambda: parity[0]) as line:
        with opened(line) as master:
            assert await master.is_silent(3, ONE)
            parity[0] = "even"
            assert await master.ask(3, ONE, 7) == rtu_frame(3, VOLTS)
    assert line.busy_s == pytest.approx(8 * 10 / 9600 + 15 * 11 / 9600 + 0.005)


async def test_a_port_that_is_pulled_comes_back_under_its_link(device: SimulatedDevice, tmp_path: Path) -> None:
    """Who has it open gets an error; opened again by the same path it answers."""
    async with RtuLine({3: device}, link=tmp_path / "port") as line:
        file = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
        line.hang_up()
        with pytest.raises(OSError, match="Input/output error"):
            os.write(file, b"x")
        assert not (tmp_path / "port").exists()
        line.plug_in()
        with opened(line) as master:
            assert await master.ask(3, ONE, 7) == rtu_frame(3, VOLTS)
        os.close(file)
    assert not (tmp_path / "port").is_symlink()
