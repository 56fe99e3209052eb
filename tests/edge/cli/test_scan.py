"""What `edge scan` shows: progress, devices as they are found, what is to be seen to, and a piece of gateway.yaml."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from typing import NamedTuple

import pytest

from simulators.modbus_server import ModbusServer
from simulators.rtu_line import RtuLine
from tests.edge.cli.test_service import invoke
from tests.edge.scan.test_serial_scan import device
from tests.servers import free_ports


class Ended(NamedTuple):
    """A command that ran as a process: it takes Ctrl-C, so it cannot run beside the simulators in a thread."""

    exit_code: int | None
    stdout: str
    stderr: str


async def run(*arguments: str) -> Ended:
    command = [sys.executable, "-m", "edge", *arguments]
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Ended(process.returncode, out.decode(), err.decode())


SERIAL = ("--baud", "9600", "--parity", "none", "--units", "1-2")


async def test_a_line_is_scanned() -> None:
    """Results on standard output, progress on standard error."""
    async with RtuLine({2: device("abb_b23")}) as line:
        shown = await run("scan", "--serial", line.path, *SERIAL)
    assert shown.exit_code == 0
    first, *rest = shown.stdout.splitlines()
    assert re.fullmatch(
        r"found: unit 2 at 9600 baud, no parity, answers in [\d.]+ ms: ABB B23 .*: profile abb_b23", first
    )
    assert rest[0].startswith("       sure: type designation is right; all 18 points can be read; voltage_l1 ")
    assert rest[-3:] == [
        f"  - {{id: line-1, serial: {line.path}, baud: 9600, parity: none, stop_bits: 1}}",
        "devices:",
        "  - {id: meter-2, profile: abb_b23, modbus: {bus: line-1, unit: 2}}",
    ]
    begun, *progress = shown.stderr.splitlines()
    assert begun == f"{line.path}: 1 setting, 2 unit numbers each, about 1 s; Ctrl-C ends it early"
    assert progress == ["  0 %  9600 baud, no parity, unit 1  |  none found yet  |  1 s left"]


async def test_everything_is_there_for_programs() -> None:
    """One document: devices, profiles and what they rest on, findings, gateway.yaml, what was asked and heard."""
    async with RtuLine({2: device("abb_b23")}) as line:
        shown = await run("scan", "--serial", line.path, *SERIAL, "--json")
    scanned = json.loads(shown.stdout)
    assert set(scanned) == {"is_whole", "found", "findings", "gateway_yaml", "asked", "heard"}
    (found,) = scanned["found"]
    assert (found["unit"], found["baud"], found["parity"]) == (2, 9600, "none")
    (profile,) = found["profiles"]
    assert (profile["profile"], profile["confidence"]) == ("abb_b23", "sure")
    assert profile["rests_on"][0] == "type designation is right"
    assert [each["units"] for each in scanned["asked"]] == [[1, 2]]
    assert "profile: abb_b23" in scanned["gateway_yaml"]


async def test_a_network_is_scanned() -> None:
    """An address with its port; every device as soon as it is known."""
    async with ModbusServer({1: device("eastron_sdm630")}) as server:
        shown = await run("scan", "--tcp", f"127.0.0.1:{server.port}", "--units", "1-2")
    assert shown.exit_code == 0
    assert f"found: 127.0.0.1:{server.port} unit 1, answers in " in shown.stdout
    assert f"- {{id: meter-1, profile: eastron_sdm630, modbus: {{host: 127.0.0.1, port: {server.port}" in shown.stdout


async def test_ctrl_c_keeps_what_was_found() -> None:
    """In the middle of a scan of many minutes: exit code 0, and the piece of gateway.yaml."""
    async with RtuLine({2: device("abb_b23")}) as line:
        command = [sys.executable, "-m", "edge", "scan", "--serial", line.path]
        process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1)
        assert process.stdout is not None
        first = await asyncio.wait_for(process.stdout.readline(), 30)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert first.startswith(b"found: unit 2 ")
    assert b"  - {id: meter-2, profile: abb_b23, modbus: {bus: line-1, unit: 2}}" in out
    assert b"\nstopped: this is what was found until then\n" in err
    assert process.returncode == 0


def test_nothing_found_is_exit_code_1_with_what_to_look_at() -> None:
    """The findings on standard output, one line on standard error."""
    (nobody,) = free_ports(1)
    shown = invoke("scan", "--tcp", f"127.0.0.1:{nobody}", "--units", "1")
    assert shown.exit_code == 1
    assert f"  - 127.0.0.1:{nobody}: connection refused: is Modbus TCP switched on there" in shown.stdout
    assert shown.stderr.endswith(f"no device found at 127.0.0.1:{nobody}\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say either --serial /dev/ttyUSB0 or --tcp 10.0.0.0/28"),
        (["--tcp", "10.0.0.0/8"], "10.0.0.0/8 has 16777216 addresses: at most 1024 at a time (/22)"),
        (["--tcp", "10.0.0.1", "--baud", "9600"], "--baud and --parity are for --serial"),
        (["--serial", "/dev/ttyUSB0", "--baud", "9601"], "9601 is no baud rate of a bus"),
        (["--serial", "/dev/ttyUSB0", "--units", "0-5"], "units are numbered 1 to 247"),
    ],
)
def test_a_slip_is_said_with_what_could_be_said(arguments: list[str], words: str) -> None:
    """Exit code 2, before anything is opened."""
    shown = invoke("scan", *arguments)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert words in shown.stderr
