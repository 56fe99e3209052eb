"""`edge scan --serial`: what is on a simulated line is found, and what is wrong with it is said in plain words.

A pty carries no parity. So where parity matters, a stand-in for what the serial library opens ports with keeps the
parity that it is asked for and opens the pty without; the simulated devices answer noise where it is not theirs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import serial

from edge.contract.buses import Line, Parity
from edge.contract.gateway_config import load_gateway_config
from edge.scan.findings import findings_of
from edge.scan.report import Found, Report, Step
from edge.scan.scanner import Scan
from edge.scan.sketch import sketch
from edge.scan.targets import serial_lines
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.faults import Fault, FaultKind
from simulators.plausible import Plausible
from simulators.rtu_line import RtuLine
from simulators.serial_wire import SerialSettings
from tests.edge.drivers.scripted_server import Script, ScriptedPort, Sends, rtu, rtu_right

WAIT_S = 0.15
PARITIES: Mapping[str, Parity] = {"N": "none", "E": "even", "O": "odd"}


def device(name: str) -> SimulatedDevice:
    """A device of this profile that shows what one in use could show."""
    profile = load_modbus_profile(name)
    made = SimulatedDevice(profile, settings={key: setting.usual for key, setting in profile.settings.items()})
    for point, value in Plausible(profile, name).at(40_000).items():
        made.set(point, value)
    return made


@pytest.fixture
def port_parity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Parity]]:
    """What parity the serial library was last asked for."""
    asked: list[Parity] = ["none"]
    open_port = serial.serial_for_url

    def open_without_parity(url: str, *, parity: str, **options: object) -> object:
        asked.append(PARITIES[parity])
        return open_port(url, parity="N", **options)

    monkeypatch.setattr(serial, "serial_for_url", open_without_parity)
    yield lambda: asked[-1]
    assert len(asked) > 1


async def scan(lines: list[Line], units: list[int], *, wait_s: float = WAIT_S) -> Report:
    scanning = Scan(lines, units, wait_s=wait_s)
    await scanning.run()
    return scanning.report


def found(report: Report) -> dict[int, tuple[int | None, str, str, str]]:
    """By unit: baud rate, parity, the best profile and how sure it is."""
    return {
        each.unit: (each.line.baud, each.line.parity, each.fits[0].profile, each.fits[0].confidence)
        for each in report.found
    }


@pytest.mark.slow
async def test_five_mixed_devices_are_found_with_their_profiles(
    port_parity: Callable[[], Parity], tmp_path: Path
) -> None:
    """Two are set to another baud rate and one to another parity: all are found, and what to change is said."""
    names = {1: "abb_b23", 2: "eastron_sdm630", 3: "orno_we516", 4: "chint_dtsu666", 6: "carlo_gavazzi_em112"}
    others = {3: SerialSettings(19_200), 4: SerialSettings(9600, "even"), 6: SerialSettings(19_200)}
    units = {unit: device(name) for unit, name in names.items()}
    async with RtuLine(units, others=others, garbage=True, master_parity=port_parity) as line:
        report = await scan(serial_lines(line.path, [9600, 19_200], ["none", "even"]), list(range(1, 7)))
    assert found(report) == {
        1: (9600, "none", "abb_b23", "sure"),
        2: (9600, "none", "eastron_sdm630", "likely"),
        3: (19_200, "none", "orno_we516", "likely"),
        4: (9600, "even", "chint_dtsu666", "likely"),
        6: (19_200, "none", "carlo_gavazzi_em112", "sure"),
    }
    said = findings_of(report)
    assert (
        "unit 4 answers at 9600 baud but with parity errors when the port has no parity: it is set to even parity"
        in said
    )
    assert (
        "unit 6 answers at 19200 baud, no parity, most others at 9600 baud, no parity: set its baud rate to 9600 at "
        "the device, all devices of one line must be set alike"
    ) in said
    check_sketch(report, tmp_path, {"meter-1": "abb_b23", "meter-2": "eastron_sdm630"})


def check_sketch(report: Report, folder: Path, profiles: Mapping[str, str]) -> None:
    """What is printed for gateway.yaml is right there as it is."""
    path = folder / "gateway.yaml"
    head = ["gateway: gw-1", "broker: {host: 127.0.0.1, port: 1883}", "data_dir: data"]
    path.write_text("\n".join([*head, *sketch(report)]), encoding="utf-8")
    config = load_gateway_config(path)
    assert {each.id: each.profile for each in config.devices} == profiles


async def test_a_wrong_parity_is_said_with_the_one_to_try(port_parity: Callable[[], Parity]) -> None:
    """Where only one parity was asked for and the answers come damaged, the others are named."""
    async with RtuLine({3: device("eastron_sdm630")}, parity="even", garbage=True, master_parity=port_parity) as line:
        report = await scan(serial_lines(line.path, [9600], ["none"]), [2, 3])
    assert found(report) == {}
    assert findings_of(report) == [
        "units 2 and 3 answer at 9600 baud but with parity errors: try even parity or odd parity"
    ]


async def test_a_scan_only_reads() -> None:
    """No function but 1 to 4 is ever sent, whatever answers."""
    async with ScriptedPort(lambda r, _: [rtu(r, bytes([r[1] | 0x80, 2]))]) as port:
        report = await scan(serial_lines(port.path, [115_200], ["none"]), [1, 2])
    assert [(each.unit, each.fits) for each in report.found] == [(1, ()), (2, ())]
    assert {request[1] for request in port.requests} <= {1, 2, 3, 4}
    assert "unit 1 answers, but no profile fits" in findings_of(report)[0]


WRONG: dict[str, tuple[Script, str]] = {
    "shared": (
        lambda r, _: [rtu_right(r, 7)] if r[0] == 1 else [bytes(byte ^ 0x55 for byte in rtu_right(r, 7))],
        "two devices seem to share unit 2: its answers at 115200 baud, no parity are garbled, while those of others",
    ),
    "foreign": (
        lambda r, _: [rtu(r, b"\3\2\0\1", unit=9)],
        "unit 1 was asked, but an answer came from unit 9: somebody else asks on this line too",
    ),
    "echo": (lambda r, _: [r], "every request comes back as its own answer: the converter echoes. Switch the echo off"),
    "nothing": (lambda _, __: [], "nothing answered. Look at, in this order: do the devices have power; are the two"),
}


@pytest.mark.parametrize(("script", "words"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_said_in_plain_words(script: Script, words: str) -> None:
    """Each fault of a line has its sentence, and it says what to do."""
    async with ScriptedPort(script) as port:
        report = await scan(serial_lines(port.path, [115_200], ["none"]), [1, 2])
    assert any(finding.startswith(words) for finding in findings_of(report)), findings_of(report)


async def test_a_slow_device_is_found_by_its_late_answer() -> None:
    """An answer that comes while the next unit is asked is asked for once more, with more time."""
    async with RtuLine({3: device("abb_b23")}, turnaround_s=0.005) as line:
        line.faults.begin(3, Fault.of(FaultKind.LATE, 0.35))
        report = await scan(serial_lines(line.path, [9600], ["none"]), [3, 4])
    assert found(report) == {3: (9600, "none", "abb_b23", "sure")}
    (said,) = findings_of(report)
    assert re.fullmatch(r"unit 3 takes 3[5-9]\d ms before it answers: that is slow, but can be read", said)


async def test_a_device_that_knows_one_function_only_is_found() -> None:
    """One that is silent when asked for holding registers is found by its input registers."""
    script: Script = lambda r, _: [rtu_right(r, 7)] if (r[0], r[1]) == (5, 4) else []  # noqa: E731
    async with ScriptedPort(script) as port:
        report = await scan(serial_lines(port.path, [115_200], ["none"]), [5])
    assert [each.unit for each in report.found] == [5]


async def test_a_port_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    """Nothing is said of wires where there is no port."""
    report = await scan(serial_lines(str(tmp_path / "ttyUSB0"), [9600, 19_200]), list(range(1, 248)))
    assert findings_of(report) == [f"{tmp_path}/ttyUSB0: there is no such serial port: is the converter plugged in?"]
    assert sum(map(len, report.asked.values())) == 1


async def test_what_was_found_is_kept_when_a_scan_is_stopped() -> None:
    """Stopped after the first device, the report has it."""
    stopped = asyncio.Event()

    def show(step: Step | Found) -> None:
        if isinstance(step, Found):
            stopped.set()

    async with RtuLine({1: device("abb_b23"), 9: device("abb_b23")}) as line:
        scanning = Scan(serial_lines(line.path), list(range(1, 248)), wait_s=WAIT_S, show=show)
        task = asyncio.create_task(scanning.run())
        await asyncio.wait_for(stopped.wait(), 30)
        task.cancel()
        await asyncio.wait([task])
    assert found(scanning.report) == {1: (9600, "none", "abb_b23", "sure")}
    assert not scanning.report.is_whole


async def test_some_damaged_answers_speak_of_the_cable() -> None:
    """A unit of which one answer comes damaged is found, and where to look is said."""
    answers = iter([False])

    def script(request: bytes, _: int) -> Sends:
        right = rtu_right(request, 7)
        return [right if next(answers, True) else right[:-1] + b"\0"]

    async with ScriptedPort(script) as port:
        report = await scan(serial_lines(port.path, [115_200], ["none"]), [1])
    assert [each.unit for each in report.found] == [1]
    assert findings_of(report)[0].startswith(
        "unit 1: some of its answers at 115200 baud, no parity come damaged: look at the shield"
    )
