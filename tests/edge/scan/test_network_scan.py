"""`edge scan --tcp`: devices and converters at addresses of a network, each spoken to as it speaks."""

from __future__ import annotations

from pathlib import Path

from edge.contract.buses import Line
from edge.scan.findings import findings_of
from edge.scan.report import Report
from edge.scan.scanner import Scan
from edge.scan.sketch import sketch
from edge.scan.targets import network_lines
from simulators.modbus_server import ModbusServer
from simulators.rtu_over_tcp import RtuOverTcp
from tests.edge.drivers.scripted_server import ScriptedServer
from tests.edge.scan.test_serial_scan import check_sketch, device
from tests.servers import free_ports


async def scan(ports: list[int], units: list[int]) -> Report:
    scanning = Scan([Line("127.0.0.1", port, "tcp") for port in ports], units, wait_s=0.2)
    await scanning.run()
    return scanning.report


def found(report: Report) -> list[tuple[int, int, str, str]]:
    """Port, unit, how it is spoken to, the best profile."""
    return sorted(
        (each.line.port, each.unit, each.line.framing, each.fits[0].profile if each.fits else "")
        for each in report.found
    )


async def test_devices_are_found_among_addresses_where_nobody_is(tmp_path: Path) -> None:
    """Each that answers is identified; one behind a converter has its unit; the rest costs no word."""
    (nobody,) = free_ports(1)
    async with (
        ModbusServer({1: device("eastron_sdm630"), 3: device("abb_b23")}) as converter,
        ModbusServer({2: device("carlo_gavazzi_em112")}) as meter,
    ):
        report = await scan([nobody, converter.port, meter.port], [1, 2, 3])
    assert found(report) == sorted(
        [
            (converter.port, 1, "tcp", "eastron_sdm630"),
            (converter.port, 3, "tcp", "abb_b23"),
            (meter.port, 2, "tcp", "carlo_gavazzi_em112"),
        ]
    )
    assert findings_of(report) == []
    check_sketch(
        report, tmp_path, {"meter-1": "eastron_sdm630", "meter-1-3": "abb_b23", "meter-1-2": "carlo_gavazzi_em112"}
    )


async def test_one_device_for_all_units_is_one_device() -> None:
    """A device that does not look at the unit number is found once."""
    meter = device("abb_b23")
    async with ModbusServer(dict.fromkeys(range(1, 248), meter)) as server:
        report = await scan([server.port], [1, 2, 3])
    assert found(report) == [(server.port, 1, "tcp", "abb_b23")]
    assert findings_of(report) == [
        f"127.0.0.1:{server.port} answers to every unit number: it is one device, the first number does"
    ]


async def test_meters_of_one_model_behind_a_converter_are_several() -> None:
    """That they all are alike, and all that were asked for answer, does not make them one."""
    async with ModbusServer({unit: device("abb_b23") for unit in (1, 2, 3)}) as server:
        report = await scan([server.port], [1, 2, 3])
    assert [each.unit for each in report.found] == [1, 2, 3]


async def test_a_converter_that_gives_no_ids_back_is_spoken_to_so(tmp_path: Path) -> None:
    """It is found in the second way, and its bus says so."""
    async with ModbusServer({2: device("abb_b23")}, echoes_id=False) as server:
        report = await scan([server.port], [1, 2])
    assert found(report) == [(server.port, 2, "tcp_without_ids", "abb_b23")]
    assert any(said.endswith("its bus needs framing: tcp_without_ids") for said in findings_of(report))
    check_sketch(report, tmp_path, {"meter-1": "abb_b23"})


async def test_a_converter_that_passes_bytes_on_is_spoken_to_so(tmp_path: Path) -> None:
    """It is silent to Modbus TCP, and then asked as a line."""
    async with RtuOverTcp({2: device("abb_b23")}) as server:
        report = await scan([server.port], [1, 2])
    assert found(report) == [(server.port, 2, "rtu", "abb_b23")]
    check_sketch(report, tmp_path, {"meter-1": "abb_b23"})


async def test_a_converter_with_nobody_behind_it_is_told_from_nobody() -> None:
    """What to look at is behind the converter."""
    async with ModbusServer({9: device("abb_b23")}) as server:
        report = await scan([server.port], [1, 2])
    (said,) = findings_of(report)
    assert said.startswith(f"127.0.0.1:{server.port} is a converter, but none of the units asked for answers behind it")


async def test_something_else_than_modbus_is_said() -> None:
    """A port where another protocol answers is no device."""
    async with ScriptedServer(lambda _, __: [b"HTTP/1.1 400 Bad Request\r\n\r\n", None]) as server:
        report = await scan([server.port], [1])
    assert found(report) == []
    assert findings_of(report) == [
        "unit 1 answers, but not as Modbus should: is it this port, and is it Modbus at all?"
    ]


async def test_nobody_at_all_says_what_to_look_at() -> None:
    """One address where nobody listens says why, several what to look at; nothing is printed for gateway.yaml."""
    nobody = free_ports(2)
    one, several = await scan(nobody[:1], [1]), await scan(nobody, [1])
    assert sketch(one) == []
    (said,) = findings_of(one)
    assert said.startswith(f"127.0.0.1:{nobody[0]}: connection refused")
    (said,) = findings_of(several)
    assert said.startswith("nothing answered. Look at: do the devices have power and a link light")


async def test_a_range_of_addresses_is_asked_side_by_side() -> None:
    """Two meters among fourteen addresses of one port are found, each at its own."""
    (port,) = free_ports(1)
    async with (
        ModbusServer({1: device("abb_b23")}, host="127.0.0.3", port=port),
        ModbusServer({1: device("eastron_sdm630")}, host="127.0.0.9", port=port),
    ):
        scanning = Scan(network_lines(f"127.0.0.0/28:{port}"), [1, 2], wait_s=0.2)
        await scanning.run()
    assert [(each.line.host, each.unit, each.fits[0].profile) for each in scanning.report.found] == [
        ("127.0.0.3", 1, "abb_b23"),
        ("127.0.0.9", 1, "eastron_sdm630"),
    ]
    assert findings_of(scanning.report) == []
    assert len(scanning.report.asked) == 14
