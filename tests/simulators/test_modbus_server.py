"""A simulated device, read over real TCP, by the gateway's own driver and by bare bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.contract.buses import Line
from edge.contract.clock import SystemClock
from edge.contract.listening import ListenError
from edge.contract.messages import Test
from edge.contract.profile import ModbusProfile
from edge.contract.readings import Value
from edge.drivers import Missing
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from simulators.serial_wire import SerialSettings
from tests.simulators.reading import read_points

VALUES: dict[str, Value] = {
    "voltage_l1": 230.1,
    "temperature": -3.5,
    "water_level_pond": -120.0,
    "energy_import_total": 12_345_670,
    "active_power_total": -4321.0,
    "energy_export_total": 2**53 + 1,
    "reactive_import": 2**40 + 7,
    "frequency": 49.984375,
    "current_l1": 0.1,
    "door_contact": 1.0,
    "tilt_contact": 0.0,
    "depth": 153.0,
    "wet_contact": 1.0,
    "mains_lost": 1.0,
}


@pytest.fixture
def profile() -> ModbusProfile:
    return load_modbus_profile(str(Path(__file__).parent / "every_type.yaml"))


@pytest.fixture
def device(profile: ModbusProfile) -> SimulatedDevice:
    device = SimulatedDevice(profile, keep_served=True)
    for name, value in VALUES.items():
        device.set(name, value)
    return device


@pytest.fixture
async def server(device: SimulatedDevice, profile: ModbusProfile) -> AsyncIterator[ModbusServer]:
    async with ModbusServer({1: device, 2: SimulatedDevice(profile)}) as server:
        yield server


async def read_all(server: ModbusServer, profile: ModbusProfile, *, unit: int = 1) -> dict[str, Value | Missing]:
    return await read_points(Line("127.0.0.1", server.port, "tcp"), profile, unit=unit)


async def ask(server: ModbusServer, request: bytes, *, unit: int = 1) -> bytes:
    """Send one request by hand and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"\x12\x34\x00\x00" + (len(request) + 1).to_bytes(2, "big") + bytes([unit]) + request)
    head = await reader.readexactly(6)
    answer = head + await reader.readexactly(int.from_bytes(head[4:], "big"))
    writer.close()
    await writer.wait_closed()
    return answer


async def test_every_value_comes_back(server: ModbusServer, profile: ModbusProfile) -> None:
    """What is set by name is read back exactly, through every register type, word order and table."""
    assert await read_all(server, profile) == VALUES


async def test_units_are_told_apart(server: ModbusServer, profile: ModbusProfile) -> None:
    """Two devices behind one port keep their own values."""
    assert set((await read_all(server, profile, unit=2)).values()) == {0}


async def test_no_value_is_the_sentinel(server: ModbusServer, device: SimulatedDevice, profile: ModbusProfile) -> None:
    """A point set to "no value" is served as the profile's pattern for it, and reads back as None."""
    device.set("temperature", None)
    assert (await read_all(server, profile))["temperature"] is None


async def test_served_says_what_was_given_away(
    server: ModbusServer, device: SimulatedDevice, profile: ModbusProfile
) -> None:
    """The log holds each point once per read, with the value as the registers had it and the time of the read."""
    before = SystemClock().now_ms()
    await read_all(server, profile)
    assert {served.point: served.value for served in device.served} == VALUES
    assert len(device.served) == len(VALUES)
    assert all(before <= served.at_ms <= SystemClock().now_ms() for served in device.served)


async def test_bytes_on_the_wire(server: ModbusServer) -> None:
    """The bytes are those of the specification, worked out by hand: 230.1 V in tenths is 2301 = 0x08FD."""
    assert await ask(server, bytes.fromhex("0300000001")) == bytes.fromhex("1234000000050103 02 08fd")
    assert await ask(server, bytes.fromhex("0200090001")) == bytes.fromhex("1234000000040102 01 01")
    assert await ask(server, bytes.fromhex("0300030001")) == bytes.fromhex("1234000000050103 02 0000")  # a gap


@pytest.mark.parametrize(
    ("request_hex", "code"),
    [
        ("0300140001", 2),  # no point there
        ("03003a0005", 2),  # across the range that may not be read
        ("030000003d", 3),  # 61 registers where the device gives 60
        ("0300000000", 3),
        ("03000000", 3),
        ("0600000001", 1),  # nothing can be written
    ],
)
async def test_what_cannot_be_answered_is_refused(server: ModbusServer, request_hex: str, code: int) -> None:
    """A request that the device cannot serve gets the exception that the specification names, at once."""
    request = bytes.fromhex(request_hex)
    assert await ask(server, request) == bytes.fromhex("123400000003") + bytes([1, request[0] | 0x80, code])


async def test_an_unknown_unit_is_refused(server: ModbusServer) -> None:
    """A unit that is not there is answered as a converter does: target did not respond (11)."""
    assert (await ask(server, bytes.fromhex("0300000001"), unit=9))[-2:] == bytes([0x83, 0x0B])


async def test_a_refusing_device_is_refused(
    server: ModbusServer, device: SimulatedDevice, profile: ModbusProfile
) -> None:
    """A device told to refuse does so for every point, and the driver says so."""
    device.refuses_with = 4
    answers = (await read_all(server, profile)).values()
    assert {answer.test for answer in answers if isinstance(answer, Missing)} == {Test.REFUSED}
    assert len(answers) == len(VALUES)


async def test_a_silent_device_is_missing(
    server: ModbusServer, device: SimulatedDevice, profile: ModbusProfile
) -> None:
    """A silent device keeps its connection and answers nothing; when it speaks again its values are right."""
    device.silent = True
    answers = (await read_all(server, profile)).values()
    assert {answer.test for answer in answers if isinstance(answer, Missing)} == {Test.NO_ANSWER}
    device.silent = False
    assert await read_all(server, profile) == VALUES


async def test_offline_refuses_and_comes_back_on_its_port(server: ModbusServer, profile: ModbusProfile) -> None:
    """A device without power refuses connections; afterwards it is at the same port."""
    port = server.port
    await server.go_offline()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await server.go_online()
    assert server.port == port
    assert await read_all(server, profile) == VALUES


async def test_a_port_in_use_is_said_clearly(server: ModbusServer, device: SimulatedDevice) -> None:
    """A port that another program has is named, with what to do."""
    with pytest.raises(ListenError, match=rf"127.0.0.1:{server.port}: .*choose another"):
        await ModbusServer({1: device}, port=server.port).go_online()


async def test_a_converter_gives_up_for_a_silent_unit(device: SimulatedDevice, profile: ModbusProfile) -> None:
    """It answers for the unit after its time, during which its line is of no use to anybody."""
    device.silent = True
    neighbour = SimulatedDevice(profile)
    loop = asyncio.get_running_loop()
    units = {1: device, 2: neighbour}
    async with ModbusServer(units, line=SerialSettings(115_200), gives_up_s=0.2) as server:
        begun_s = loop.time()
        silent = asyncio.create_task(ask(server, bytes.fromhex("0300000001")))
        await asyncio.sleep(0.05)
        assert (await ask(server, bytes.fromhex("0300000001"), unit=2))[-2:] == b"\0\0"
        assert loop.time() - begun_s >= 0.2
        assert (await silent)[-2:] == bytes([0x83, 0x0B])
        assert (await ask(server, bytes.fromhex("0300000001"), unit=9))[-2:] == bytes([0x83, 0x0B])
