"""`edge read` of several devices and for programs, and `edge watch`, on simulated meters."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.edge.cli.test_service import invoke

GATEWAY = """\
gateway: gw-1
broker: {{host: 127.0.0.1, port: 1}}
data_dir: data
devices:
  - {{id: road-1, profile: moxa_e1242_depth, modbus: {{host: 127.0.0.1, port: {port}, unit: 1}}, poll_s: {poll_s}}}
  - {{id: road-2, profile: moxa_e1242_depth, modbus: {{host: 127.0.0.1, port: {port}, unit: 2}}, poll_s: {poll_s}}}
"""


def depth_sensor(depth: float) -> SimulatedDevice:
    device = SimulatedDevice(load_modbus_profile("moxa_e1242_depth"))
    device.set("depth", depth)
    return device


@pytest.fixture
async def server() -> AsyncIterator[ModbusServer]:
    async with ModbusServer({1: depth_sensor(120), 2: depth_sensor(240)}) as server:
        yield server


def write(folder: Path, server: ModbusServer, poll_s: float = 10) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(GATEWAY.format(port=server.port, poll_s=poll_s), encoding="utf-8")
    return path


def depths(text: str) -> list[tuple[str, Any]]:
    """The depths in lines of JSON, each with its device."""
    looks = [json.loads(line) for line in text.splitlines()]
    return [
        (look["device"], next(each["value"] for each in look["points"] if each["point"] == "depth"))
        for look in looks
        if "device" in look
    ]


async def test_all_devices_are_read_in_the_order_of_the_file(server: ModbusServer, tmp_path: Path) -> None:
    """Each has its name and profile above its table."""
    shown = await asyncio.to_thread(invoke, "read", "--all", "--config", write(tmp_path, server))
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert re.findall(r"^road-\d: .+", shown.stdout, re.MULTILINE) == [
        "road-1: moxa_e1242_depth",
        "road-2: moxa_e1242_depth",
    ]
    assert re.findall(r"^depth .* (\d+)  mm", shown.stdout, re.MULTILINE) == ["120", "240"]


async def test_a_reading_for_programs(server: ModbusServer, tmp_path: Path) -> None:
    """JSON has each device once, with raw words, value, unit, flag, time and, of what is wrong, the reason."""
    server.units[2].set("depth", 60_000)
    path = write(tmp_path, server)
    shown = await asyncio.to_thread(invoke, "read", "road-2", "road-2", "--json", "--config", path)
    assert shown.exit_code == 0
    (device,) = json.loads(shown.stdout)["devices"]
    assert (device["device"], device["profile"], device["faults"]) == ("road-2", "moxa_e1242_depth", [])
    depth = next(each for each in device["points"] if each["point"] == "depth")
    assert depth.pop("taken_at") > 1_700_000_000_000
    assert depth == {
        "point": "depth",
        "place": "input 0x0208",
        "raw": [0x476A, 0x6000],
        "value": 60_000.0,
        "unit": "mm",
        "flag": 4,
        "tests": ["span"],
        "reason": "outside -20 to 2000 mm, which is all it can measure",
    }


@pytest.mark.parametrize("arguments", [[], ["road-1", "--all"]])
async def test_read_wants_devices_or_all(server: ModbusServer, tmp_path: Path, arguments: list[str]) -> None:
    """Neither or both is a mistake, and the line says which devices there are."""
    shown = invoke("read", *arguments, "--config", write(tmp_path, server))
    assert (shown.exit_code, shown.stderr) == (2, "say which device (road-1, road-2), or --all\n")


async def test_watch_appends_what_changes(server: ModbusServer, tmp_path: Path) -> None:
    """Where no terminal is: first everything, then what changed by how much, what is missing and why, and a summary."""
    async with watch("--config", write(tmp_path, server, poll_s=0.2)) as process:
        assert process.stdout is not None
        seen = await lines_until(process.stdout, "road-2 depth: 240 mm")
        server.units[2].set("depth", 250.5)
        seen += await lines_until(process.stdout, r"road-2 depth: 250\.5 mm  \+10\.5")
        del server.units[2]
        seen += await lines_until(process.stdout, "road-2: no answer from .* unit 2 after")
        seen += await lines_until(process.stdout, "road-1: nothing has changed")
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert all(re.match(r"\d\d:\d\d:\d\d road-[12]", line) for line in seen)
        summary = out.decode().splitlines()
        assert any(re.fullmatch(r"road-1  \d+ answers?, none missed, slowest [\d.]+ ms", line) for line in summary)
        assert any(re.fullmatch(r"road-2  \d+ answers?, \d+ missed, slowest [\d.]+ ms", line) for line in summary)
        assert (process.returncode, err) == (0, b"")


async def test_watch_for_programs_is_an_object_a_line(server: ModbusServer, tmp_path: Path) -> None:
    """Each poll is one object with the names of what changed; the last one sums up."""
    path = write(tmp_path, server)
    async with watch("road-1", "--every", "0.1", "--count", "2", "--json", "--config", path) as process:
        out, _ = await asyncio.wait_for(process.communicate(), 20)
        assert depths(out.decode()) == [("road-1", 120.0), ("road-1", 120.0)]
        summary = json.loads(out.decode().splitlines()[-1])["summary"]
        assert summary[0].pop("slowest_s") > 0
        assert summary == [{"device": "road-1", "polls": 2, "answers": 2, "misses": 0, "reasons": {}}]
        assert process.returncode == 0


async def test_watch_of_a_dead_device_ends_with_1(server: ModbusServer, tmp_path: Path) -> None:
    """A device that never answered is named at the end."""
    await server.go_offline()
    async with watch("road-1", "--count", "1", "--config", write(tmp_path, server)) as process:
        out, err = await asyncio.wait_for(process.communicate(), 20)
        assert "connection refused" in out.decode()
        assert (process.returncode, err) == (1, b"no answer at all from road-1\n")


async def test_watch_ends_quietly_when_nobody_reads_it(server: ModbusServer, tmp_path: Path) -> None:
    """As before ``head``, which leaves after its lines: no traceback."""
    ours, theirs = os.pipe()
    async with watch("--config", write(tmp_path, server, poll_s=0.2), stdout=theirs) as process:
        os.close(theirs)
        assert await asyncio.to_thread(os.read, ours, 1)
        os.close(ours)
        server.units[1].set("depth", 121)
        _, err = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, err) == (1, b"")


async def test_watch_keeps_values_in_place_on_a_terminal(server: ModbusServer, tmp_path: Path) -> None:
    """A page of its own that is drawn over and over within the window, and taken away at the end."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
    async with watch("--config", write(tmp_path, server, poll_s=0.2), stdout=theirs) as process:
        os.close(theirs)
        shown = await asyncio.to_thread(read_pty, ours, "read .*read ")
        server.units[1].set("depth", 121)
        shown += await asyncio.to_thread(read_pty, ours, r"depth +121 mm +\+1")
        process.send_signal(signal.SIGINT)
        shown += await asyncio.to_thread(read_pty, ours, "road-2 +[0-9]+ answers?, none missed")
        os.close(ours)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        pages = shown.partition("\x1b[?1049h")[2].partition("\x1b[?1049l")[0].split("\x1b[H")[1:]
        for page in pages:
            lines = re.sub(r"\x1b\[[\d?]*[A-Za-z]", "", page).splitlines()
            assert len(lines) <= 13, page
            assert max(map(len, lines)) <= 60, page


@asynccontextmanager
async def watch(*arguments: str | Path, stdout: int = -1) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `edge watch` as a process; what is left of it at the end is killed."""
    command = [sys.executable, "-m", "edge", "watch", *map(str, arguments)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("COLUMNS", None)
    environment.pop("LINES", None)
    process = await asyncio.create_subprocess_exec(*command, stdout=stdout, stderr=-1, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines_until(stream: asyncio.StreamReader, pattern: str) -> list[str]:
    """Lines up to the first one with this pattern."""
    lines: list[str] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while not lines or not re.search(pattern, lines[-1]):
                lines.append((await stream.readuntil()).decode().rstrip("\n"))
            return lines
    raise AssertionError(f"no {pattern!r} in {lines}")


def read_pty(descriptor: int, pattern: str) -> str:
    """What a terminal shows until it shows this pattern."""
    text, end_at = "", time.monotonic() + 20
    while not re.search(pattern, text, re.DOTALL):
        readable, _, _ = select.select([descriptor], [], [], end_at - time.monotonic())
        assert readable, f"no {pattern!r} in {text[-2000:]}"
        text += os.read(descriptor, 4096).decode()
    return text
