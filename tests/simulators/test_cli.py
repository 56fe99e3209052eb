"""The command line, run as a person runs it: in a process of its own, stopped by a signal."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge.contract.buses import Line
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import GatewayConfig, load_gateway_config
from edge.drivers import Missing
from edge.readout import read_device
from simulators.device import load_modbus_profile
from tests import layout
from tests.simulators.reading import read_points

EVERY_TYPE = str(Path(__file__).parent / "every_type.yaml")


@asynccontextmanager
async def simulate(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-um", "simulators", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def first_line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode()


async def read_point(port: int, unit: int, name: str) -> object:
    profile = load_modbus_profile(EVERY_TYPE)
    return (await read_points(Line("127.0.0.1", port, "tcp"), profile, unit=unit, most_s=5))[name]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_device_is_served_until_stopped(stop: signal.Signals) -> None:
    """It says where it is, holds what it was told to hold, and ends with 0 and without a word on a signal."""
    async with simulate("device", EVERY_TYPE, "--port", "0", "--unit", "7", "--set", "depth=153") as process:
        told = re.search(r"127\.0\.0\.1:(\d+), unit 7", await first_line(process))
        assert told is not None
        assert await read_point(int(told[1]), 7, "depth") == 153.0
        process.send_signal(stop)
        _, errors = await process.communicate()
        assert (process.returncode, errors) == (0, b"")


async def told_gateway(process: asyncio.subprocess.Process, folder: Path) -> GatewayConfig:
    """The gateway.yaml that it says is needed."""
    lines: list[str] = []
    assert process.stdout is not None
    while not lines or "modbus:" not in lines[-1]:
        lines.append((await process.stdout.readline()).decode())
    start = next(index for index, line in enumerate(lines) if "gateway.yaml has" in line)
    shown = textwrap.dedent("".join(lines[start + 1 :]))
    head = f"gateway: bench\ndata_dir: {folder}\nbroker: {{host: 127.0.0.1, port: 1883}}\n"
    (folder / "gateway.yaml").write_text(head + ("" if shown.startswith("buses:") else "devices:\n") + shown)
    return load_gateway_config(folder / "gateway.yaml")


@pytest.mark.parametrize("options", [["--port", "0"], ["--serial", "--parity", "even"], ["--rtu", "--port", "0"]])
async def test_what_gateway_yaml_needs_is_said(options: list[str], tmp_path: Path) -> None:
    """With the lines that are shown the gateway reads the device: over TCP, on a serial port, through a converter."""
    given = ("--unit", "7", "--set", "voltage=251.5", "--baud", "19200")
    async with simulate("device", "eastron_sdm120", *given, *options) as process:
        readout = await read_device(await told_gateway(process, tmp_path), "device-1", clock=SystemClock())
    assert readout.faults == []
    assert {one.point.name: one.reading.value for one in readout.points}["voltage"] == 251.5


async def test_faults_are_typed_while_it_runs() -> None:
    """A line begins a fault, another ends it; a line that says nothing sensible is answered in words."""
    async with simulate("device", EVERY_TYPE, "--port", "0", "--set", "depth=153") as process:
        told = re.search(r"127\.0\.0\.1:(\d+)", await first_line(process))
        assert told is not None
        assert await type_line(process, "exception 1 6") == "unit 1 refuses with this exception code: 6"
        refused = await read_point(int(told[1]), 1, "depth")
        assert isinstance(refused, Missing)
        assert "device busy (exception 6)" in refused.reason
        assert await type_line(process, "ok 1") == "unit 1 is well again"
        assert await read_point(int(told[1]), 1, "depth") == 153.0
        assert await type_line(process, "silence 2") == "silence: say for which unit, one of 1"
        assert (await type_line(process, "help")).startswith("type FAULT UNIT [NUMBER], such as: late 1 0.8")


async def type_line(process: asyncio.subprocess.Process, line: str) -> str:
    """Type a line; return the next one that is said and is no hint."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    while (said := await first_line(process)).startswith("  "):
        pass
    return said.rstrip()


async def test_a_fault_from_the_beginning() -> None:
    """It is there with the first request."""
    async with simulate("device", EVERY_TYPE, "--port", "0", "--fault", "wrong-unit=9") as process:
        told = re.search(r"127\.0\.0\.1:(\d+)", await first_line(process))
        assert told is not None
        answer = await read_point(int(told[1]), 1, "depth")
    assert isinstance(answer, Missing)
    assert "unit 0x09 instead of 0x01" in answer.reason


async def test_the_bus_of_the_example(tmp_path: Path) -> None:
    """All five devices answer, each at its own rate, on one serial port with the name that it was given."""
    example = (layout.ROOT / "firmware_configs" / "buses" / "cabinet.yaml").read_text(encoding="utf-8")
    (tmp_path / "bus.yaml").write_text(example.replace("over: serial", "link: port\nover: serial", 1))
    devices = {1: "eastron_sdm120", 2: "chint_ddsu666", 3: "peacefair_pzem016"}
    async with simulate("bus", str(tmp_path / "bus.yaml")) as process:
        for _ in range(5):
            assert str(tmp_path / "port") in await first_line(process)
        for baud, units in ((9600, devices), (19200, {11: "eastron_sdm630", 12: "generic_qdy30a"})):
            line = Line(str(tmp_path / "port"), 0, "rtu", baud)
            for unit, name in units.items():
                values = await read_points(line, load_modbus_profile(name), unit=unit)
                assert not any(isinstance(value, Missing) for value in values.values()), values
                assert unit != 2 or values["voltage"] == 251.5


async def test_a_file_is_replayed(tmp_path: Path) -> None:
    """The first value of a file is there as soon as the device is."""
    file = tmp_path / "depth.csv"
    file.write_text("timestamp,depth_cm\n2026-03-01T00:00:00,12.3\n2026-03-01T01:00:00,30\n")
    options = ("--profile", EVERY_TYPE, "--point", "depth", "--column", "depth_cm", "--unit", "cm", "--port", "0")
    async with simulate("replay", str(file), *options) as process:
        told = re.search(r"127\.0\.0\.1:(\d+), unit 1", await first_line(process))
        assert told is not None
        assert process.stdout is not None
        while b"2 values, 3600 s" not in await process.stdout.readline():
            pass
        assert await read_point(int(told[1]), 1, "depth") == 123.0


async def test_a_scenario_needs_no_folder() -> None:
    """Without --dir it makes a folder of its own, says where, and removes it at the end."""
    async with simulate("scenario", "rainy-day", "--seed", "1") as process:
        assert process.stderr is not None
        folder = Path((await process.stderr.readline()).decode().split()[0])
        assert str(folder) in await first_line(process)
        assert await asyncio.to_thread((folder / "cloud.yaml").exists)
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
    assert not await asyncio.to_thread(folder.exists)


async def test_a_bad_users_file_is_said(tmp_path: Path) -> None:
    """The broker is not started; the line to mend is named."""
    users = tmp_path / "users"
    users.touch(mode=0o600)
    users.write_text("gw-1\n")
    async with simulate("broker", "--port", "1883", "--users", str(users)) as process:
        output, errors = await process.communicate()
    assert (process.returncode, output, errors.decode()) == (2, b"", f"{users}:1: expected name:password\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["device", "eastron_sdm30"], 'unknown profile "eastron_sdm30" (did you mean "eastron_sdm630"?)'),
        (["device", EVERY_TYPE, "--set", "dept=3"], 'no point "dept" (did you mean "depth"?)'),
        (["device", EVERY_TYPE, "--set", "depth=deep"], "--set depth=deep: expected POINT=NUMBER"),
        (["device", EVERY_TYPE, "--set", "depth=99999"], "depth: 99999.0 mm does not fit into uint16"),
        (["device", EVERY_TYPE, "--fault", "lat"], 'no fault "lat" (did you mean "late"?)'),
        (["device", EVERY_TYPE, "--fault", "late=90"], "late: must be 0 to 60, found 90"),
        (["device", EVERY_TYPE, "--serial", "--rtu"], "--serial and --rtu: say one of them"),
        (["bus", "none.yaml"], "none.yaml: no such file"),
        (["device", "anlan_gateway"], "only devices read by Modbus can be served"),
        (["device", "acrel_dtsd1352", "--setting", "ct=4"], "--setting ct: acrel_dtsd1352 has no such setting"),
        (["device", "acrel_dtsd1352", "--setting", "ct_ratio=0"], "--setting ct_ratio: must be 1 to 9999, found 0"),
        (["device", "apg_mnu", "--setting", "mounting_height"], "--setting mounting_height: expected NAME=NUMBER"),
        (["replay", "none.csv", "--profile", "x", "--point", "p", "--column", "c", "--unit", "u"], "none.csv: No such"),
    ],
)
async def test_what_is_wrong_is_said_in_one_line(arguments: list[str], said: str) -> None:
    """A mistake ends the command with 2 and one line on standard error."""
    async with simulate(*arguments) as process:
        output, errors = await process.communicate()
    assert said in errors.decode()
    assert errors.count(b"\n") == 1
    assert (process.returncode, output) == (2, b"")


async def test_a_port_in_use_is_named() -> None:
    """The second of two on one port says so."""
    async with simulate("device", EVERY_TYPE, "--port", "0") as first:
        told = re.search(r"127\.0\.0\.1:(\d+)", await first_line(first))
        assert told is not None
        async with simulate("device", EVERY_TYPE, "--port", told[1]) as second:
            _, errors = await second.communicate()
    assert errors.decode() == (
        f"cannot listen on 127.0.0.1:{told[1]}: another program listens there: stop it, or choose another port\n"
    )
    assert second.returncode == 1
