"""How busy lines are: worked out by hand, told before anything is connected, with what would fit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from edge.bus_load import Bus, Station, buses_of, check_loads, load_of, percent, requests_of, seconds, station_of
from edge.contract.buses import Line
from edge.contract.config_file import ConfigError
from edge.contract.gateway_config import GatewayConfig, load_gateway_config
from edge.contract.profile import ModbusProfile, Reads, RegisterPoint, Source

SOURCE = Source(document="none, made here", origin="none, made here", checked="made for this test")
SLOW = Line("/dev/ttyUSB0", 0, "rtu", 9600)
NETWORK = Line("10.0.0.9", 502, "tcp")
POINTS = tuple(
    RegisterPoint(name=f"voltage_{n}", unit="V", span=(0, 1000), table="input", address=2 * n, type="float32")
    for n in range(20)
)
ENERGY = RegisterPoint(
    name="energy_import", unit="kWh", counter=True, table="input", address=0x100, type="float32"
)  # fmt: skip
METER_S = 0.10552 + 0.02635  # 40 registers: 96.5 characters and 5 ms; 2 registers: 20.5 characters and 5 ms


def meter(**reads: int) -> ModbusProfile:
    """A meter with 40 registers in a row, and two far away."""
    return ModbusProfile(
        profile="made", maker="none", model="none", kind="electricity_meter", protocol="modbus", source=SOURCE,
        reads=Reads.model_validate(reads), points=(*POINTS, ENERGY),
    )  # fmt: skip


def line_with(count: int, poll_s: float, line: Line = SLOW, energy_s: float | None = None) -> Bus:
    """A line with so many of these meters."""
    polls = {poll_s: (*POINTS, ENERGY)} if energy_s is None else {poll_s: POINTS, energy_s: (ENERGY,)}
    stations = tuple(Station(f"meter-{number}", number, meter(), polls) for number in range(1, count + 1))
    return Bus("line-1", line, stations)


def test_load_is_what_requests_take_of_their_intervals() -> None:
    """16 meters of two requests each, every 10 s: 2.11 s of it, a load of 21 %."""
    load = load_of(line_with(16, 10))
    assert len(load.requests) == 32
    assert load.needs_s == pytest.approx(16 * METER_S, rel=1e-4)
    assert load.load == pytest.approx(1.6 * METER_S, rel=1e-4)
    assert load.cycle_s == 10
    assert load.fault is None
    assert load.warning is None


def test_longer_intervals_count_less() -> None:
    """Energy once a minute takes a sixth of what it takes every 10 s; the cycle is the shortest interval."""
    load = load_of(line_with(16, 10, energy_s=60))
    assert load.load == pytest.approx(16 * (0.10552 / 10 + 0.02635 / 60), rel=1e-4)
    assert load.cycle_s == 10


def test_room_is_what_fits_below_80_percent() -> None:
    """One of these meters takes 1.319 % every 10 s: beside 16 of them there is room for 44 more, of 60 for none."""
    assert load_of(line_with(16, 10)).room == 44
    assert load_of(line_with(60, 10)).room == 0
    assert load_of(line_with(61, 10)).room == 0
    assert load_of(line_with(1, 3600)).room == 246  # there are 247 addresses
    assert load_of(line_with(1, 10, NETWORK)).room is None


@pytest.mark.parametrize(
    ("bus", "fault"),
    [
        (
            line_with(16, 2),
            (
                "line-1: needs 2.11 s of a 2 s cycle: it fits with poll_s: 2.5 for all of it, "
                "or with 19200 baud (56 % busy), or without meter-1"
            ),
        ),
        (
            line_with(16, 1),
            (
                "line-1: needs 2.11 s of a 1 s cycle: it fits with poll_s: 2.5 for all of it, "
                "or with 38400 baud (67 % busy), or without 9 of its 16 devices"
            ),
        ),
        (line_with(9, 1, energy_s=10), None),
        (
            line_with(10, 1, energy_s=10),
            (
                "line-1: needs 1.08 s of a 1 s cycle: it fits with every poll_s 1.1 times as long, "
                "or with 19200 baud (56 % busy), or without meter-1"
            ),
        ),
        (
            line_with(1, 0.1),
            "line-1: needs 132 ms of a 100 ms cycle: it fits with poll_s: 0.2, or with 19200 baud (70 % busy)",
        ),
        (line_with(120, 10, Line("/dev/a", 0, "rtu", 115_200)), None),
        (
            line_with(200, 2, Line("/dev/a", 0, "rtu", 115_200)),
            (
                "line-1: needs 4.61 s of a 2 s cycle: it fits with poll_s: 5 for all of it, "
                "or without 114 of its 200 devices"
            ),
        ),
    ],
)
def test_what_cannot_fit_says_what_would(bus: Bus, fault: str | None) -> None:
    """The fault says what is needed of which cycle, and a longer interval, a faster line and fewer devices that fit."""
    assert load_of(bus).fault == fault


def test_what_is_said_to_fit_fits() -> None:
    """With the interval, the baud rate or the fewer devices of the fault there is none any more."""
    bus = line_with(16, 1)
    assert load_of(line_with(16, 2.5)).fault is None
    assert load_of(replace(bus, line=SLOW._replace(baud=38_400))).fault is None
    assert load_of(replace(bus, line=SLOW._replace(baud=19_200))).fault is not None
    assert load_of(line_with(7, 1)).fault is None
    assert load_of(line_with(8, 1)).fault is not None


def test_the_heaviest_devices_are_those_to_leave_out() -> None:
    """Of a meter that is read ten times as often as the others, it is the one that is named."""
    others = line_with(3, 1)
    often = Station("greedy", 9, meter(), {0.1: (*POINTS, ENERGY)})
    fault = load_of(replace(others, stations=(*others.stations, often))).fault
    assert fault is not None
    assert fault.endswith(", or without greedy")


def test_a_line_just_over_its_time_does_not_read_as_if_it_fitted() -> None:
    """Numbers that round to the same are not said to be the same."""
    cycle_s = load_of(line_with(16, 10)).needs_s - 0.0001
    fault = load_of(line_with(16, cycle_s)).fault
    assert fault is not None
    assert "needs a little over 2.11 s of a 2.11 s cycle: " in fault


def test_a_full_line_warns() -> None:
    """From 80 % on there is a warning, and no fault."""
    load = load_of(line_with(16, 2.5))
    assert load.warning == "line-1: 84 % busy: one device that does not answer may delay all others on it"
    assert load_of(line_with(16, 2.7)).warning is None


def test_an_assumed_network_is_no_fault() -> None:
    """What a network takes is only assumed, so it gives a warning; pauses are sure, so they give a fault."""
    quick = load_of(line_with(1, 0.008, NETWORK))
    assert quick.load == pytest.approx(10 / 8)
    assert quick.fault is None
    assert quick.warning == "line-1: 125 % busy, if its network is as fast as is usual"
    lazy = Station("lazy", 1, meter(pause_ms=600), {1.0: (*POINTS, ENERGY)})
    assert load_of(Bus("lazy", NETWORK, (lazy,))).fault == (
        "lazy: needs 1.20 s of a 1 s cycle: it fits with poll_s: 1.5"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0, "0 ms"),
        (0.0052, "5.20 ms"),
        (0.10552, "106 ms"),
        (0.9996, "1 s"),
        (13.42, "13.4 s"),
        (60, "60 s"),
        (120, "2 min"),
        (5400, "90 min"),
        (86_400, "24 h"),
    ],
)
def test_durations_have_the_unit_that_suits_them(time_s: float, text: str) -> None:
    """Three digits, and nothing after the point of a whole number."""
    assert seconds(time_s) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.001, "under 1 %"), (0.219, "21 %"), (0.999, "99 %"), (1, "100 %"), (1.001, "101 %")],
)
def test_percent_never_says_that_it_fits_when_it_does_not(share: float, text: str) -> None:
    """Below 1 rounded down, above 1 rounded up."""
    assert percent(share) == text


# --- of a gateway.yaml


GATEWAY = """\
gateway: gw-1
broker: {host: 127.0.0.1, port: 1883}
data_dir: data
buses:
  - {id: line-1, serial: /dev/ttyUSB0, baud: 1200}
  - {id: hall, host: 10.0.0.7, port: 4196, parity: even}
  - {id: spare, serial: /dev/ttyUSB1}
devices:
  - {id: gateway, profile: anlan_gateway}
  - {id: meter-1, profile: eastron_sdm120, modbus: {bus: line-1, unit: 3}, poll_s: 1}
  - {id: meter-2, profile: eastron_sdm120, modbus: {host: 10.0.0.9, unit: 1}}
  - {id: meter-3, profile: eastron_sdm120, modbus: {bus: line-1, unit: 4}, points: {frequency: {poll_s: 60}}}
  - {id: meter-4, profile: eastron_sdm120, modbus: {host: 10.0.0.10, unit: 1}}
  - {id: meter-5, profile: eastron_sdm120, modbus: {host: 10.0.0.10, unit: 2}}
  - {id: meter-6, profile: eastron_sdm120, modbus: {bus: hall, unit: 1}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(GATEWAY, encoding="utf-8")
    return tmp_path / "gateway.yaml"


@pytest.fixture
def config(path: Path) -> GatewayConfig:
    return load_gateway_config(path)


def test_devices_are_found_on_their_lines(config: GatewayConfig) -> None:
    """Shared lines first, then a device's own by its name; two devices at one address share its connection."""
    found = {bus.name: [station.device for station in bus.stations] for bus in buses_of(config)}
    assert found == {
        "line-1": ["meter-1", "meter-3"],
        "hall": ["meter-6"],
        "meter-2": ["meter-2"],
        "10.0.0.10:502": ["meter-4", "meter-5"],
    }


def test_points_with_an_interval_of_their_own_are_asked_for_apart(config: GatewayConfig) -> None:
    """Such points have requests of their own, with their interval."""
    (line, *_) = buses_of(config)
    requests = requests_of(line.stations[1], line.line)
    assert {(request.poll_s, request.block.names) for request in requests if "frequency" in request.block.names} == {
        (60, ("frequency",))
    }
    assert {request.poll_s for request in requests} == {10, 60}


def test_the_gateway_itself_is_on_no_line(config: GatewayConfig) -> None:
    """A device that is not read by Modbus takes no time of a line."""
    assert not any(station.device == "gateway" for bus in buses_of(config) for station in bus.stations)


def test_a_line_that_cannot_carry_it_is_an_error_of_the_file(config: GatewayConfig, path: Path) -> None:
    """The error says file, line and key of the bus, with the same words."""
    with pytest.raises(ConfigError) as caught:
        check_loads(config, path)
    (text,) = str(caught.value).splitlines()
    assert re.match(rf"{re.escape(str(path))}:5: buses\.0: line-1: needs 1\.\d+ s of a 1 s cycle: it fits with ", text)


def test_what_fits_is_no_error(path: Path) -> None:
    """With an interval that the line can carry, nothing is refused."""
    path.write_text(GATEWAY.replace("unit: 3}, poll_s: 1}", "unit: 3}}"), encoding="utf-8")
    check_loads(load_gateway_config(path), path)


def test_each_line_knows_its_place_in_the_file(config: GatewayConfig) -> None:
    """A shared line is in buses, a device's own network where the first device on it is."""
    assert [bus.key for bus in buses_of(config)] == [("buses", 0), ("buses", 1), ("devices", 2), ("devices", 4)]


def test_a_station_is_a_configured_device(config: GatewayConfig) -> None:
    """Its unit, profile and intervals are those of the file."""
    device = config.devices[3]
    profile = device.device_profile
    assert isinstance(profile, ModbusProfile)
    assert device.modbus is not None
    station = station_of(device, profile, device.modbus)
    assert (station.device, station.unit, list(station.polls)) == ("meter-3", 4, [10, 60])
