"""The demo, as a person starts it: one command, everything real, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 240


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo makes its workspace."""
    return tmp_path


@pytest.fixture
def nothing_left(temporary: Path) -> Iterator[None]:
    """After the test no process knows the workspace and the workspace is gone."""
    yield
    running = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    assert [line for line in running if str(temporary) in " ".join(line or [])] == []
    assert list(temporary.iterdir()) == []


async def start_demo(temporary: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-um",
        "simulators",
        "demo",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


async def lines_until(process: asyncio.subprocess.Process, wanted: str) -> list[str]:
    """Read lines until one holds ``wanted``."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(LIMIT_S):
        while not lines or wanted not in lines[-1]:
            line = await process.stdout.readline()
            assert line, f"ended before {wanted!r}:\n" + "".join(lines)
            lines.append(line.decode())
    return lines


async def test_the_demo_proves_itself(temporary: Path, nothing_left: None) -> None:
    """The whole line runs, an order is worked to closed, and not one reading is missing or foreign."""
    process = await start_demo(temporary, "--check")
    async with asyncio.timeout(LIMIT_S):
        output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    report = json.loads(text.splitlines()[-1])
    assert (report["missing"], report["foreign"]) == (0, 0)
    assert report["taken"] == report["unchanged"] + report["stored"] > 1_000
    assert report["orders_closed"] == 1 < report["orders_opened"]
    assert 0 <= report["seconds_to_order"] <= 3
    assert "the uplink of gw-west is cut" in text
    assert "demo-sized limits" in text


async def test_the_demo_stops_when_told(temporary: Path, nothing_left: None) -> None:
    """On SIGTERM in the middle of its work the demo ends with 0 and takes everything with it."""
    process = await start_demo(temporary)
    said = await lines_until(process, "it begins to rain")
    assert any("/api/v1/openapi.json" in line for line in said)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        await process.communicate()
    assert process.returncode == 0


async def test_the_demo_stops_while_it_starts(temporary: Path, nothing_left: None) -> None:
    """Ctrl-C before anything runs leaves nothing either."""
    process = await start_demo(temporary)
    await lines_until(process, "starting")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        await process.communicate()
    assert process.returncode == 0
