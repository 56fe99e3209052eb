"""`anlan edge read DEVICE`: one poll of one device, for the person who stands in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.contract.clock import SteppedClock
from edge.contract.gateway_config import GatewayConfig, load_gateway_config
from edge.contract.messages import Flag, Test
from edge.drivers import ConfigurationError
from edge.readout import PointReadout, Readout, read_device
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.servers import free_ports

START = 1_790_000_000_000
YAML = """
gateway: gw-1
broker: {{host: 127.0.0.1, port: 1883}}
data_dir: .
devices:
  - {{id: meter-1, profile: eastron_sdm630, modbus: {{host: 127.0.0.1, port: {port}, unit: 1, timeout_s: {timeout_s}}}}}
  - {{id: meter-2, profile: eastron_sdm630, modbus: {{host: 127.0.0.1, port: {port}, unit: 2, timeout_s: {timeout_s}}}}}
  - {{id: gateway, profile: anlan_gateway}}
"""


def config(folder: Path, port: int, timeout_s: float = 5.0) -> GatewayConfig:
    path = folder / "gateway.yaml"
    path.write_text(YAML.format(port=port, timeout_s=timeout_s), encoding="utf-8")
    return load_gateway_config(path)


async def read(made: GatewayConfig, device: str) -> Readout:
    return await read_device(made, device, clock=SteppedClock(START))


def point(readout: Readout, name: str) -> PointReadout:
    return next(each for each in readout.points if each.point.name == name)


@pytest.fixture
async def server() -> AsyncIterator[ModbusServer]:
    meter = SimulatedDevice(load_modbus_profile("eastron_sdm630"))
    meter.set("voltage_l1", 230.1)
    async with ModbusServer({1: meter}) as server:
        yield server


async def test_a_device_that_answers_is_shown_raw_and_decoded(server: ModbusServer, tmp_path: Path) -> None:
    """Each point has its words, its value and its flag, one time for each request, and no fault is named."""
    readout = await read(config(tmp_path, server.port), "meter-1")
    voltage = point(readout, "voltage_l1")
    assert (voltage.place, voltage.words) == ("input 0x0000", (0x4366, 0x199A))
    assert voltage.reading.value == pytest.approx(230.1, abs=1e-5)
    assert (voltage.reading.flag, voltage.reading.taken_at) == (Flag.PASS, START)
    current, energy = point(readout, "current_l1"), point(readout, "energy_import_total")
    assert {voltage.reading.taken_at, current.reading.taken_at, energy.reading.taken_at} == {START, START + 1}
    assert readout.faults == []


async def test_a_wrong_unit_is_said_in_words(server: ModbusServer, tmp_path: Path) -> None:
    """A converter that does not reach the unit: everything is missing, and one sentence says what to check."""
    readout = await read(config(tmp_path, server.port), "meter-2")
    assert {(each.words, each.reading.flag, each.reading.tests) for each in readout.points} == {
        (None, Flag.MISSING, Test.NO_ANSWER)
    }
    (said,) = readout.faults
    assert said == (
        f"meter-2: no answer from 127.0.0.1:{server.port} unit 2 after 3 tries: the converter answers gateway target "
        "device failed to respond (exception 11): check the unit number, and the wiring behind a converter"
    )


async def test_a_silent_device_is_said_in_words(server: ModbusServer, tmp_path: Path) -> None:
    """Connected but silent is told apart from not connected."""
    server.units[1].silent = True
    readout = await read(config(tmp_path, server.port, timeout_s=0.05), "meter-1")
    (said,) = readout.faults
    assert said == (
        f"meter-1: no answer from 127.0.0.1:{server.port} unit 1 after 2 tries: connected, but silent for 0.05 s: "
        "check the unit number, and the wiring behind a converter"
    )


async def test_a_wrong_profile_is_said_in_words(server: ModbusServer, tmp_path: Path) -> None:
    """A device that refuses the addresses is not called silent: each refused block is named."""
    server.units[1].refuses_with = 2
    readout = await read(config(tmp_path, server.port), "meter-1")
    assert {each.reading.tests for each in readout.points} == {Test.REFUSED}
    assert readout.faults[0].startswith(f"meter-1: 127.0.0.1:{server.port} unit 1 refused input 0x0000 to ")
    assert readout.faults[0].endswith(
        "illegal data address (exception 2): check that the profile is for this very model"
    )


async def test_a_port_where_nobody_listens_is_said_in_words(tmp_path: Path) -> None:
    """A refused connection is told apart from a silent device."""
    (port,) = free_ports(1)
    readout = await read(config(tmp_path, port), "meter-1")
    (said,) = readout.faults
    assert said == (
        f"meter-1: no answer from 127.0.0.1:{port} unit 1 after 3 tries: "
        "connection refused: is Modbus TCP switched on there, and is it this port?"
    )


async def test_the_gateway_itself_can_be_read(tmp_path: Path) -> None:
    """The gateway is a device too; what only the running agent knows is missing, not zero."""
    readout = await read(config(tmp_path, 502), "gateway")
    memory, waiting = point(readout, "memory_used"), point(readout, "outbox_waiting")
    assert (memory.place, memory.words, memory.reading.flag) == ("", None, Flag.PASS)
    assert (waiting.reading.value, waiting.reading.flag) == (None, Flag.MISSING)
    assert "outbox_waiting: only the running agent knows" in readout.faults


@pytest.mark.parametrize(
    ("name", "hint"), [("gatewy", '(did you mean "gateway"?)'), ("xyz", "(there is meter-1, meter-2, gateway)")]
)
async def test_an_unknown_device_is_named_with_the_nearest(tmp_path: Path, name: str, hint: str) -> None:
    """Whoever mistypes a device reads which there are."""
    with pytest.raises(ConfigurationError) as raised:
        await read(config(tmp_path, 502), name)
    assert str(raised.value) == f'gateway gw-1 has no device "{name}" {hint}'
