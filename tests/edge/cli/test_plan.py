"""What `edge plan` shows of each line, for people and for programs, and that the page about it says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from edge.bus_load import BUSY, BusLoad, buses_of, load_of
from edge.bus_time import CONVERTER_S, TURNAROUND_S, Wire
from edge.cli import app
from edge.contract.gateway_config import load_gateway_config
from tests.layout import ROOT

PAGE = ROOT / "docs" / "bus-load.md"
METER = """\
profile: meter
maker: none
model: none
kind: {kind}
protocol: modbus
source: {{document: none but made here, origin: none but made here, checked: made for this test}}
reads: {{max_gap: 20}}
points:
  - {{name: voltage,       unit: V,   table: input, address: 0,  type: float32, span: [0, 1000]}}
  - {{name: current,       unit: A,   table: input, address: 6,  type: float32, span: [0, 1000]}}
  - {{name: energy_import, unit: kWh, table: input, address: 40, type: float32, counter: true}}
  - {{name: wet_contact,   unit: "1", table: discrete, address: 3, type: bool}}
"""
GATEWAY = """\
gateway: gw-1
broker: {host: 127.0.0.1, port: 1883}
data_dir: data
buses:
  - {id: line-1, serial: /dev/ttyUSB0, baud: 9600, parity: even}
  - {id: hall, host: 10.0.0.7, port: 4196, baud: 1200}
  - {id: shed, host: 10.0.0.8, framing: tcp, baud: 115200, parity: odd, stop_bits: 2}
devices:
  - {id: meter-1, profile: meter.yaml, modbus: {bus: line-1, unit: 3}, points: {energy_import: {poll_s: 60}}}
  - {id: meter-12, profile: meter.yaml, modbus: {bus: line-1, unit: 12}}
  - {id: slow, profile: meter.yaml, modbus: {bus: hall, unit: 1}, poll_s: 0.6}
  - {id: shed, profile: meter.yaml, modbus: {bus: shed, unit: 1}, poll_s: 3600, heartbeat_s: 7200}
  - {id: own, profile: meter.yaml, modbus: {host: 10.0.0.9, unit: 1}}
"""
SHOWN = """\
line-1: /dev/ttyUSB0, 9600 baud, 8E1
  device    unit  every  registers               points    takes
  meter-1      3   10 s  input 0x0000 to 0x0007       2  42.2 ms
  meter-1      3   10 s  discrete 0x0003              1  25.1 ms
  meter-1      3   60 s  input 0x0028 to 0x0029       1  28.5 ms
  meter-12    12   10 s  input 0x0000 to 0x0007       2  42.2 ms
  meter-12    12   10 s  input 0x0028 to 0x0029       1  28.5 ms
  meter-12    12   10 s  discrete 0x0003              1  25.1 ms
  takes 168 ms of each 10 s on average
  load [.........................] 1 %
  room for 93 more such meters in time; without a repeater an RS-485 line carries 32 devices

hall: 10.0.0.7:4196, 1200 baud, 8N1, a converter that passes bytes on
  device  unit   every  registers               points   takes
  slow       1  600 ms  input 0x0000 to 0x0007       2  302 ms
  slow       1  600 ms  input 0x0028 to 0x0029       1  202 ms
  slow       1  600 ms  discrete 0x0003              1  177 ms
  takes 681 ms of each 600 ms
  load [#########################] 114 %
  does not fit

shed: 10.0.0.8:502, 115200 baud, 8O2, a converter that speaks Modbus TCP
  device  unit   every  registers               points    takes
  shed       1  60 min  input 0x0000 to 0x0007       2  11.8 ms
  shed       1  60 min  input 0x0028 to 0x0029       1  10.5 ms
  shed       1  60 min  discrete 0x0003              1  10.2 ms
  takes 32.5 ms of each 60 min
  load [.........................] under 1 %
  room for 246 more such meters in time; without a repeater an RS-485 line carries 32 devices

own: 10.0.0.9:502, a network of its own
  device  unit  every  registers               points  takes
  own        1   10 s  input 0x0000 to 0x0007       2   5 ms
  own        1   10 s  input 0x0028 to 0x0029       1   5 ms
  own        1   10 s  discrete 0x0003              1   5 ms
  takes 15 ms of each 10 s
  load [.........................] under 1 %
  what its network takes is known only there, and counted with what its profile says
"""
REFUSED = (
    "6: buses.1: hall: needs 681 ms of a 600 ms cycle: it fits with poll_s: 0.7, or with 2400 baud (57 % busy)\n"
)  # fmt: skip


def write(folder: Path, gateway: str = GATEWAY, kind: str = "electricity_meter") -> Path:
    (folder / "meter.yaml").write_text(METER.format(kind=kind), encoding="utf-8")
    path = folder / "gateway.yaml"
    path.write_text(gateway, encoding="utf-8")
    return path


def invoke(*arguments: str | Path) -> Result:
    """Run `edge plan` in this process."""
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_every_request_is_shown_with_what_it_takes(tmp_path: Path) -> None:
    """Line by line: settings, requests, time of a cycle, load, room; a line that does not fit ends it with code 2."""
    path = write(tmp_path)
    shown = invoke("--config", path)
    assert shown.stdout == SHOWN
    assert shown.stderr == f"{path}:{REFUSED}"
    assert shown.exit_code == 2


def test_what_fits_ends_well(tmp_path: Path) -> None:
    """With an interval that the line can carry, the exit code is 0, and a full line says so."""
    shown = invoke("--config", write(tmp_path, GATEWAY.replace("poll_s: 0.6", "poll_s: 0.7")))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "  load [########################.] 97 %\n  97 % busy: one device that does not" in shown.stdout


def test_room_is_counted_in_what_is_there(tmp_path: Path) -> None:
    """Devices that are no electricity meters are not called meters, and one is not several."""
    gateway = GATEWAY.replace("poll_s: 0.6", "poll_s: 2")
    shown = invoke("--config", write(tmp_path, gateway, kind="water_meter"))
    assert "\n  room for 1 more such device\n" in shown.stdout


def test_programs_are_told_the_same(tmp_path: Path) -> None:
    """The JSON has every line and request, times in seconds, and says whether it fits."""
    path = write(tmp_path)
    shown = invoke("--config", path, "--json")
    assert shown.exit_code == 2
    told = json.loads(shown.stdout)
    assert told["fits"] is False
    assert [line["line"] for line in told["lines"]] == ["line-1", "hall", "shed", "own"]
    line = told["lines"][0]
    assert line["requests"][0] == {
        "device": "meter-1", "unit": 3, "poll_s": 10, "table": "input", "address": 0,
        "after_header": False, "count": 8,
        "points": ["voltage", "current"], "takes_s": pytest.approx(32.5 * 11 / 9600 + 0.005, abs=1e-7),
    }  # fmt: skip
    del line["requests"]
    assert line == {
        "line": "line-1", "place": "/dev/ttyUSB0", "framing": "rtu", "baud": 9600, "parity": "even", "stop_bits": 1,
        "cycle_s": 10, "needs_s": pytest.approx(0.168, abs=5e-4), "load": pytest.approx(0.0168, abs=5e-5), "room": 93,
        "fault": None, "warning": None,
    }  # fmt: skip
    assert told["lines"][1]["fault"] == REFUSED.partition("buses.1: ")[2].strip()


def test_addresses_of_a_model_that_is_looked_for_count_from_its_header(tmp_path: Path) -> None:
    """Where a SunSpec model stands is found when it is read, so its requests say what their addresses count from."""
    path = write(tmp_path, GATEWAY.replace("poll_s: 0.6", "poll_s: 2"))
    found = METER.partition("  - {{name: energy")[0].replace("table: input", "table: holding")
    found = found.replace("points:", "discovery: sunspec\nmodel_ids: [203]\npoints:").format(kind="electricity_meter")
    (tmp_path / "meter.yaml").write_text(found, encoding="utf-8")
    path.write_text(path.read_text("utf-8").replace(", points: {energy_import: {poll_s: 60}}", ""), encoding="utf-8")
    shown = invoke("--config", path)
    assert "  meter-1      3   10 s  holding 0x0000 to 0x0007 after its header       2  42.2 ms\n" in shown.stdout
    assert json.loads(invoke("--config", path, "--json").stdout)["lines"][0]["requests"][0]["after_header"] is True


@pytest.mark.parametrize("command", [["check"], ["read", "own"], ["run"]])
def test_what_does_not_fit_is_refused_everywhere(command: list[str], tmp_path: Path) -> None:
    """No other command does anything with such a configuration."""
    path = write(tmp_path)
    said = CliRunner().invoke(app, [*command, "--config", str(path)])
    assert (said.exit_code, said.stdout, said.stderr) == (2, "", f"{path}:{REFUSED}")


def test_check_knows_intervals_and_full_lines(tmp_path: Path) -> None:
    """Requests of several intervals are told with theirs, and a full line is noted."""
    path = write(tmp_path, GATEWAY.replace("poll_s: 0.6", "poll_s: 0.7"))
    said = CliRunner().invoke(app, ["check", "--config", str(path)]).stdout
    assert "meter-1: meter at /dev/ttyUSB0 unit 3, every 10 s and 60 s 4 points in 3 requests, " in said
    assert "\n    every 60 s: input 0x0028 to 0x0029: energy_import\n" in said
    assert "\n    input 0x0028 to 0x0029: energy_import\n" in said
    assert "\nnote: hall: 97 % busy: one device that does not answer" in said


# --- the page


def loads_of(path: Path) -> list[BusLoad]:
    """What a configuration comes to, line by line."""
    return [load_of(bus) for bus in buses_of(load_gateway_config(path))]


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def block(page: str, language: str, index: int) -> str:
    """One of the page's blocks of code."""
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return blocks[index]


@pytest.fixture
def example(page: str, tmp_path: Path) -> Path:
    path = tmp_path / "gateway.yaml"
    path.write_text(block(page, "yaml", 0), encoding="utf-8")
    return path


def test_the_page_shows_what_is_shown(page: str, example: Path) -> None:
    """The example's output is that of the command."""
    shown = invoke("--config", example)
    assert (shown.stdout, shown.exit_code) == (block(page, "text", 0), 0)


def test_the_page_shows_what_is_refused(page: str, example: Path) -> None:
    """So is its error."""
    example.write_text(example.read_text("utf-8").replace("poll_s: 10", "poll_s: 0.25"), encoding="utf-8")
    refused = invoke("--config", example)
    assert refused.stderr.removeprefix(f"{example.parent}/") == block(page, "text", 1)
    assert refused.exit_code == 2


def test_the_numbers_worked_out_on_the_page_are_those_of_the_program(page: str, example: Path) -> None:
    """Each row of characters is right by itself, and comes to what the program counts."""
    (load,) = loads_of(example)
    rows = re.findall(r"^\| (\d+) \| ([\d. +]+) = ([\d.]+) \| ([\d.]+) ms \| ([\d.]+) ms \|$", page, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [request.block.count for request in load.requests[:2]]
    for (_, terms, chars, wire_ms, all_ms), request in zip(rows, load.requests, strict=False):
        assert sum(map(float, terms.split(" + "))) == float(chars)
        assert f"{float(chars) * 10 / 9.6:.2f}" == wire_ms
        assert f"{request.cost_s * 1000:.2f}" == all_ms
    words = " ".join(page.split())
    meter_ms = load.needs_s * 1000 / 2
    assert f"One meter takes {meter_ms:.2f} ms, two take {2 * meter_ms:.2f} ms of each 10 s" in words
    assert f"a load of {load.load:.1%}. One meter more is {load.load / 2:.1%}".replace("%", " %") in words
    assert f"until {BUSY * 100:.0f} % there is room for {load.room}" in words


def test_the_constants_on_the_page_are_those_of_the_program(page: str) -> None:
    """Turnaround, converter, quiet, and what a request costs before its first register."""
    words = " ".join(page.split())
    wire = Wire(9600)
    start_ms, register_ms = (wire.request_s("input", 0) * 1000, 2 * wire.char_s * 1000)
    assert f"the device thinks | {TURNAROUND_S * 1000:g} ms" in words
    assert f"converter on the network adds {CONVERTER_S * 1000:g} ms" in words
    assert f"above 19200 baud {Wire(38_400).quiet_s * 1000:.2f} ms" in words
    assert f"10 bits take {wire.char_s * 1000:.4f} ms" in words
    assert f"a request costs {start_ms:.2f} ms before its first register, and a register {register_ms:.3f} ms" in words
    assert 10 * register_ms < start_ms < 11 * register_ms
