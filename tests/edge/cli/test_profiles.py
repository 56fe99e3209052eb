"""`edge profile check` and `edge profile try`: what whoever writes a profile is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge.contract.profile import profile_names
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from simulators.rtu_line import RtuLine
from tests.edge.cli.test_service import invoke
from tests.edge.scan.test_serial_scan import device
from tests.servers import free_ports

PROFILE = """\
profile: my_meter
maker: none
model: none
kind: electricity_meter
protocol: modbus
source: {document: none but made here, origin: none but made here, checked: made for this test}
signature:
  - {table: holding, address: 100, type: uint16, equals: 7, text: model code}
reads: {max_gap: 20}
settings:
  ct_ratio: {range: [1, 1000], example: 40, zh: 变比, en: ratio of the current transformers}
points:
  - {name: voltage,       unit: V,  table: input, address: 0, type: float32, span: [0, 400]}
  - {name: current,       unit: A,  table: input, address: 6, type: int16, scale: "0.1", span: [-50, 50],
     times: [ct_ratio], missing: [0x8000]}
"""


def write(folder: Path, text: str = PROFILE) -> Path:
    path = folder / "my_meter.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
async def meter(tmp_path: Path) -> AsyncIterator[tuple[ModbusServer, Path]]:
    """A meter made from the profile, and the profile's file."""
    path = write(tmp_path)
    made = SimulatedDevice(load_modbus_profile(str(path)))
    made.set("voltage", 230.5)
    async with ModbusServer({3: made}) as server:
        yield server, path


def test_a_right_profile_is_summed_up(tmp_path: Path) -> None:
    """Points, requests with their time at 9600 baud, signature, settings, and which golden cases it needs."""
    shown = invoke("profile", "check", write(tmp_path))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout == (
        "my_meter: none none, electricity_meter: nothing is wrong with it\n"
        "  2 points in 1 request: 36.8 ms at 9600 baud\n"
        "    input 0x0000 to 0x0006: voltage, current\n"
        "  signature: model code (holding 0x0064) tells this model from others\n"
        "  setting ct_ratio: ratio of the current transformers (1 to 1000, must be given)\n"
        "  golden cases, worked out by hand, in tests/cases/profiles/my_meter/:\n"
        "    - a usual moment: every point with a value that can be checked\n"
        "    - negative numbers: current\n"
        '    - "no value": current\n'
        "    - numbers of a site other than the usual: settings ct_ratio\n"
    )


def test_every_fault_is_shown_with_its_line(tmp_path: Path) -> None:
    """File, line, key, reason and the nearest word for each, exit code 2."""
    path = write(tmp_path, PROFILE.replace("unit: A,", "unit: Amp,").replace("table: holding", "table: holdings"))
    shown = invoke("profile", "check", path)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert f'{path}:8: signature.0.table: "holdings" is not one of input, holding' in shown.stderr
    assert f'{path}:14: points.1.unit: "Amp" is not one of A, mA' in shown.stderr


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_can_be_summed_up(name: str) -> None:
    """Of each that there is, for people and for programs."""
    assert invoke("profile", "check", name).stdout.startswith(f"{name}: ")
    assert json.loads(invoke("profile", "check", name, "--json").stdout)["profile"] == name


async def test_a_profile_is_tried_on_a_live_device(meter: tuple[ModbusServer, Path]) -> None:
    """The table as `edge read` has it, the signature, and how many values are good."""
    server, path = meter
    place = f"127.0.0.1:{server.port}"
    shown = await asyncio.to_thread(invoke, "profile", "try", path, place, "--unit", "3", "--setting", "ct_ratio=10")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "voltage  input 0x0000  4366 8000  230.5  V     1 pass" in shown.stdout
    assert shown.stdout.endswith(
        "\nsignature: model code (holding 0x0064) is right\n2 of 2 points have a value within their span\n"
    )


async def test_another_model_is_said(meter: tuple[ModbusServer, Path]) -> None:
    """A signature that is wrong is exit code 1, and what is outside its span is named; JSON says the same."""
    server, path = meter
    write(path.parent, PROFILE.replace("equals: 7", "equals: 8").replace("[0, 400]", "[0, 200]").replace("my_", "our_"))
    other = path.rename(path.with_name("our_meter.yaml"))
    arguments = ("profile", "try", other, f"127.0.0.1:{server.port}", "--unit", "3", "--setting", "ct_ratio=10")
    shown = await asyncio.to_thread(invoke, *arguments)
    assert (shown.exit_code, shown.stderr) == (1, "another model answers than this profile is for\n")
    assert "signature: model code (holding 0x0064) is not that of this model" in shown.stdout
    assert "voltage: 230.5 V outside 0 to 200 V, which is all it can measure" in shown.stdout
    plain = json.loads((await asyncio.to_thread(invoke, *arguments, "--json")).stdout)
    assert plain["signature"] == [{"text": "model code", "is_proof": True, "is_right": False}]
    assert len(plain["remarks"]) == 3


async def test_a_wrong_order_of_registers_is_seen(meter: tuple[ModbusServer, Path]) -> None:
    """Where the words in another order are a value, and as they are none, the order is named."""
    server, path = meter
    write(
        path.parent, PROFILE.replace("type: float32,", "type: float32, word_order: low_first,").replace("my_", "our_")
    )
    other = path.rename(path.with_name("our_meter.yaml"))
    arguments = ("profile", "try", other, f"127.0.0.1:{server.port}", "--unit", "3", "--setting", "ct_ratio=10")
    shown = await asyncio.to_thread(invoke, *arguments)
    assert "with word_order: high_first it would be 230.5 V" in shown.stdout


async def test_a_profile_is_tried_on_a_serial_line() -> None:
    """With one of ours by its name, at the settings that are said."""
    async with RtuLine({5: device("abb_b23")}, baud=19_200) as line:
        arguments = ("profile", "try", "abb_b23", "--serial", line.path, "--baud", "19200", "--unit", "5")
        shown = await asyncio.to_thread(invoke, *arguments)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "signature: type designation (holding 0x8960) is right" in shown.stdout


def test_a_device_that_does_not_answer_is_said_in_words(tmp_path: Path) -> None:
    """Exit code 1, and the reason as `edge read` says it."""
    (nobody,) = free_ports(1)
    shown = invoke("profile", "try", write(tmp_path), f"127.0.0.1:{nobody}", "--setting", "ct_ratio=10")
    assert shown.exit_code == 1
    assert "connection refused" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say either a host, such as 10.0.0.9, or --serial /dev/ttyUSB0"),
        (["10.0.0.9:x"], '"x" is no TCP port'),
        (["10.0.0.9"], "ct_ratio: missing: ratio of the current transformers, such as 40"),
        (["10.0.0.9", "--setting", "ct_ratio"], '"ct_ratio" is no setting: say NAME=NUMBER'),
        (["10.0.0.9", "--setting", "ct_ratio=40", "--unit", "300"], "unit: should be less than or equal to 255"),
        (["10.0.0.9", "--setting", "ct_ratio=40", "--parity", "evn"], '(did you mean "even"?)'),
    ],
)
def test_a_slip_is_said_with_what_could_be_said(tmp_path: Path, arguments: list[str], words: str) -> None:
    """Exit code 2, before anything is opened."""
    shown = invoke("profile", "try", write(tmp_path), *arguments)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert words in shown.stderr
