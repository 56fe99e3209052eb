"""Every profile of the tree as a simulated device, read over TCP and RTU as `anlan-edge read` reads it."""

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from edge.contract.clock import SystemClock
from edge.contract.gateway_config import load_gateway_config
from edge.contract.profile import ModbusProfile, RegisterPoint, load_profile, profile_names
from edge.contract.readings import Flag, Value
from edge.readout import Readout, read_device
from simulators.device import SimulatedDevice
from simulators.modbus_server import ModbusServer
from simulators.plausible import Plausible
from simulators.rtu_line import RtuLine
from tests.golden import CASES, case_name, load_case

NOON_S = 43_200
GATEWAY = """\
gateway: bench
data_dir: {folder}
broker: {{host: 127.0.0.1, port: 1883}}
{bus}
devices:
  - id: device
    profile: {profile}
    modbus: {modbus}
    settings: {settings}
"""
BUS = "buses: [{{id: line, serial: {path}, baud: 115200, timeout_s: 0.1}}]"


def modbus_profiles() -> list[ModbusProfile]:
    return [profile for profile in map(load_profile, profile_names()) if isinstance(profile, ModbusProfile)]


async def read(
    served: SimulatedDevice, settings: Mapping[str, Decimal], folder: Path, *, is_serial: bool = False
) -> Readout:
    """Serve the device and read it once, with a gateway.yaml of its own."""
    async with RtuLine({1: served}, baud=115_200) as line, ModbusServer({1: served}) as server:
        bus = BUS.format(path=line.path) if is_serial else ""
        modbus = "{bus: line, unit: 1}" if is_serial else f"{{host: 127.0.0.1, port: {server.port}}}"
        numbers = json.dumps({name: str(number) for name, number in settings.items()}).replace('"', "")
        path = folder / "gateway.yaml"
        text = GATEWAY.format(folder=folder, profile=served.profile.profile, bus=bus, modbus=modbus, settings=numbers)
        path.write_text(text, encoding="utf-8")
        return await read_device(load_gateway_config(path), "device", clock=SystemClock())


@pytest.mark.parametrize("path", CASES, ids=case_name)
async def test_golden_values_come_back(path: Path, tmp_path: Path) -> None:
    """What a case expects is set by name and read to the last bit, through the requests that the gateway plans."""
    await check_golden(path, tmp_path, is_serial=False)


@pytest.mark.parametrize("path", {path.parent: path for path in CASES}.values(), ids=case_name)
async def test_golden_values_come_back_on_a_serial_line(path: Path, tmp_path: Path) -> None:
    """The same over RTU in true time, one case of each profile."""
    await check_golden(path, tmp_path, is_serial=True)


async def check_golden(path: Path, folder: Path, *, is_serial: bool) -> None:
    profile = load_profile(path.parent.name)
    assert isinstance(profile, ModbusProfile)
    case = load_case(path)
    served = SimulatedDevice(profile, settings=case.settings)
    for name, value in case.expect.items():
        served.set(name, value)
    readout = await read(served, case.settings, folder, is_serial=is_serial)
    assert readout.faults == []
    assert {one.point.name: repr(one.reading.value) for one in readout.points} == {
        name: repr(value) for name, value in case.expect.items()
    }


@pytest.mark.parametrize("profile", modbus_profiles(), ids=lambda profile: profile.profile)
async def test_plausible_values_are_good_readings(profile: ModbusProfile, tmp_path: Path) -> None:
    """A device that is simulated at a site with usual numbers gives good readings alone, near what it was given."""
    settings = {name: setting.usual for name, setting in profile.settings.items()}
    served = SimulatedDevice(profile, settings=settings)
    given: dict[str, Value] = Plausible(profile.installed(settings), "1").at(NOON_S)
    for name, value in given.items():
        served.set(name, value)
    readout = await read(served, settings, tmp_path)
    assert readout.faults == []
    for one in readout.points:
        point, reading = one.point, one.reading
        assert isinstance(point, RegisterPoint)
        if given[point.name] == 0 and 0 in point.missing:  # SunSpec: what a counter of 0 says
            assert reading.flag == Flag.MISSING, point.name
            continue
        step = float(abs(point.multiplier))
        assert reading.value == pytest.approx(given[point.name], abs=step, rel=1e-6), point.name
        assert reading.flag == Flag.PASS, point.name
