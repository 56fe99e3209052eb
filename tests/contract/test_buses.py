"""Lines that devices share, and points that are read or sent otherwise than their device, as gateway.yaml says them."""

import re
from pathlib import Path

import pytest

from edge.contract.buses import BUS_TIMEOUT_S, Line
from edge.contract.config_file import ConfigError
from edge.contract.gateway_config import GatewayConfig, Reporting, load_gateway_config
from edge.drivers.latency import LEAST_S
from edge.drivers.silence import MOST_LEFT_OUT
from tests import layout

BUSES = """\
buses:
  - {id: line-1, serial: /dev/ttyUSB0, baud: 19200, parity: even}
  - {id: hall, host: 192.0.2.7, port: 4196, stop_bits: 2}
  - {id: shed, host: 192.0.2.8, framing: tcp, baud: 2400}
"""
METER = "  - {{id: {id}, profile: eastron_sdm120, modbus: {{{modbus}}}{more}}}\n"


def load(folder: Path, devices: str, buses: str = BUSES) -> GatewayConfig:
    path = folder / "gateway.yaml"
    path.write_text(f"gateway: g\nbroker: {{host: 127.0.0.1, port: 1883}}\ndata_dir: data\n{buses}devices:\n{devices}")
    return load_gateway_config(path)


def meter(modbus: str, name: str = "meter-1", more: str = "") -> str:
    return METER.format(id=name, modbus=modbus, more=more)


def refusal(folder: Path, devices: str, buses: str = BUSES) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, devices, buses)
    return [f"{problem.key}: {problem.reason}" for problem in caught.value.problems]


def test_lines_of_devices(tmp_path: Path) -> None:
    """A device on a bus has the bus's line, any other a line of its own; bits a character follow from the settings."""
    places = ["bus: line-1, unit: 1", "bus: hall, unit: 2", "bus: shed, unit: 3", "host: 192.0.2.9"]
    config = load(tmp_path, "".join(meter(place, f"meter-{index}") for index, place in enumerate(places)))
    assert [config.line_of(device) for device in config.devices] == [
        Line("/dev/ttyUSB0", 0, "rtu", 19200, "even", 1),
        Line("192.0.2.7", 4196, "rtu", 9600, "none", 2),
        Line("192.0.2.8", 502, "tcp", 2400, "none", 1),
        Line("192.0.2.9", 502, "tcp"),
    ]
    assert [bus.line.bits_per_char for bus in config.buses] == [11, 11, 10]
    assert [str(bus.line) for bus in config.buses] == ["/dev/ttyUSB0", "192.0.2.7:4196", "192.0.2.8:502"]


FAULTS = [
    ("bus: line-2", "devices.0.modbus.bus", '"line-2" is not one of buses (did you mean "line-1"?)'),
    ("unit: 3", "devices.0.modbus.host", "missing"),
    ("bus: hall, host: 192.0.2.7", "devices.0.modbus.host", "belongs to the bus, not to a device on it"),
    ("bus: hall, port: 4196", "devices.0.modbus.port", "belongs to the bus, not to a device on it"),
    *(
        (
            f"{place}, unit: {unit}",
            "devices.0.modbus.unit",
            "units go from 1 to 247; 255 is what some call themselves over TCP",
        )
        for place, unit in (("bus: hall", 248), ("bus: hall", 255), ("bus: shed", 254), ("host: 192.0.2.9", 248))
    ),
    ("bus: hall, unit: 0", "devices.0.modbus.unit", "on a serial line 0 speaks to all at once, and nobody answers"),
    *(
        (
            f'host: "{host}"',
            "devices.0.modbus.host",
            f'expected a host name or an address, such as mqtt.example.org or 192.0.2.7, found "{host}"',
        )
        for host in ("192.0.2.7:502", "192.0..7", "http://192.0.2.7", "192.0.2.7 ", "a" * 64, "[::1]", "")
    ),
    ("host: 192.0.2.8", "devices.0.modbus.host", "is the bus shed: say bus: shed instead"),
]


@pytest.mark.parametrize(("modbus", "key", "reason"), FAULTS)
def test_a_device_in_no_place(tmp_path: Path, modbus: str, key: str, reason: str) -> None:
    """A device is at exactly one place, and a bus is never reached around its name."""
    assert refusal(tmp_path, meter(modbus)) == [f"{key}: {reason}"]


@pytest.mark.parametrize("unit", [0, 247, 255])
def test_a_device_of_its_own_may_be_nobody_or_itself(tmp_path: Path, unit: int) -> None:
    """Over Modbus TCP devices without a line behind them take 0 or 255, and some nothing else."""
    (device,) = load(tmp_path, meter(f"host: 192.0.2.9, unit: {unit}")).devices
    assert device.modbus is not None
    assert device.modbus.unit == unit


BUS_FAULTS = [
    ("{id: a, baud: 9600}", "say either serial (a port of this machine) or host (a converter on the network)"),
    ("{id: a, serial: /dev/x, host: b}", "say either serial (a port of this machine) or host (a converter on the"),
    ("{id: a, serial: /dev/x, framing: tcp}", "a serial port carries rtu; tcp is for converters that speak Modbus TCP"),
    ('{id: a, host: "192.0.2.7:502"}', "expected a host name or an address, such as mqtt.example.org"),
    ("{id: a, serial: COM3}", 'expected the path of a serial port, such as /dev/ttyUSB0, found "COM3"'),
    ("{id: a, serial: /dev/x, port: 502}", "a serial port has no TCP port"),
    ("{id: a, serial: /dev/x, baud: 9601}", "9601"),
    ("{id: a, serial: /dev/x}\n  - {id: b, serial: /dev/x}", "is at the same /dev/x as buses.0: a line is one bus"),
    ("{id: a, serial: /dev/x}\n  - {id: a, serial: /dev/y}", '"a" is already the id of buses.0'),
]


@pytest.mark.parametrize(("bus", "reason"), BUS_FAULTS)
def test_a_bus_that_is_none(tmp_path: Path, bus: str, reason: str) -> None:
    """A bus ends in one place, which is no other bus's, and is set as serial lines can be."""
    said = refusal(tmp_path, meter("host: 192.0.2.9"), f"buses:\n  - {bus}\n")
    assert any(reason in line for line in said), said


def test_points_of_their_own(tmp_path: Path) -> None:
    """A point is read and sent as its device is, but for what it says itself."""
    more = (
        ", poll_s: 5, heartbeat_s: 60, points: {energy_import: {poll_s: 300}, "
        "voltage: {deadband: 2}, current: {deadband_percent: 5, heartbeat_s: 10}}"
    )
    (device,) = load(tmp_path, meter("bus: hall", more=more)).devices
    said = {point.name: device.reporting(point) for point in device.device_profile.points}
    assert said["energy_import"] == Reporting(300, 300, 0, 0)
    assert said["voltage"] == Reporting(5, 60, 2, 0)
    assert said["current"] == Reporting(5, 10, 0.02, 5)
    assert {poll_s: len(points) for poll_s, points in device.polls.items()} == {5: len(said) - 1, 300: 1}


POINT_FAULTS = [
    ("voltag: {deadband: 1}", 'points.voltag: eastron_sdm120 has no such point (did you mean "voltage"?)'),
    ("voltage: {heartbeat_s: 2}", "points.voltage.heartbeat_s: 2 s is shorter than poll_s 10 s"),
    ("energy_import: {deadband_percent: 1}", "points.energy_import.deadband_percent: a counter has no percentage"),
]


@pytest.mark.parametrize(("points", "reason"), POINT_FAULTS)
def test_points_that_cannot_be_so(tmp_path: Path, points: str, reason: str) -> None:
    """What a point cannot be is told at its key."""
    (said,) = refusal(tmp_path, meter("bus: hall", more=f", points: {{{points}}}"))
    assert said.startswith(f"devices.0.{reason}")


def test_the_page_about_reading(tmp_path: Path) -> None:
    """Its example is a right one, and its numbers are the program's."""
    page = (layout.ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.+?)```", page, re.DOTALL)
    buses, _, devices = example.partition("devices:\n")
    config = load(tmp_path, devices, buses)
    assert [str(config.line_of(device)) for device in config.devices] == ["/dev/ttyUSB0", "10.0.0.9:502"]
    assert f"`timeout_s` of the bus ({BUS_TIMEOUT_S:g} s)" in page
    assert f"at least {LEAST_S:g} s" in page
    assert f"0, 1, 3, 7 … {MOST_LEFT_OUT} polls" in page
