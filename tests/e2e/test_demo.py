"""The demo, as a person starts it: one command, everything real, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import httpx
import psutil
import pytest

pytestmark = pytest.mark.slow

LIMIT_S = 240


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo makes its workspace."""
    return tmp_path


@pytest.fixture
def full_disk() -> Iterator[IO[bytes]]:
    """A file that takes nothing."""
    path = Path("/dev/full")
    if not path.exists():
        pytest.skip("no /dev/full here")
    with path.open("wb") as full:
        yield full


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


async def work_until_acknowledged(process: asyncio.subprocess.Process) -> None:
    """Do what the demo tells a person to do first: sign in by the worker's link, open the page, press the button."""
    [*_, said] = await lines_until(process, "grid worker")
    address, _, code = said.rstrip().rpartition(" ")[2].partition("/welcome#")
    [*_, said] = await lines_until(process, "(签收)")
    page = said.rstrip().rpartition(" ")[2]
    async with httpx.AsyncClient(trust_env=False) as browser:
        answer = await browser.post(f"{address}/welcome", data={"code": code})
        assert answer.headers["location"] == "/orders", answer.text
        form = re.search(r'<form [^>]*data-to="acknowledged".*?</form>', (await browser.get(page)).text, re.DOTALL)
        assert form is not None
        fields = dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', form.group()))
        answer = await browser.post(f"{page}/move", data=fields)
    assert answer.status_code == 303, answer.text


async def test_a_person_has_time_for_the_flood(temporary: Path, nothing_left: None) -> None:
    """The road begins to drain after a person has acknowledged the order on its page, and not before."""
    process = await start_demo(temporary)
    await work_until_acknowledged(process)
    said = await lines_until(process, "the road begins to drain")
    assert any("acknowledged by wang" in line for line in said)
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert re.search(r"stopped: \d+ readings stored, [1-9] orders; files removed$", output.decode().rstrip())


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
    assert text.splitlines()[-2].endswith(
        f"nothing is missing: {report['stored']} readings stored of {report['stored']} sent, "
        f"{report['unchanged']} unchanged"
    )
    assert "verified by zhao (wang's order)" in text
    mended, back = text.index("the uplink of gw-west is mended"), text.index("gw-west is back online: ")
    assert text.index("the uplink of gw-west is cut") < mended < back
    assert "demo-sized limits" in text


async def test_the_demo_stops_when_told(temporary: Path, nothing_left: None) -> None:
    """On SIGTERM in the middle of its work the demo ends with 0 and takes everything with it."""
    process = await start_demo(temporary)
    said = await lines_until(process, "it begins to rain")
    links = [line.rpartition(" ")[2] for line in said if "/welcome#" in line]
    assert len({link.partition("#")[2] for link in links}) == 3
    [address] = {link.partition("/welcome#")[0] for link in links}
    assert any(f"open {address} in a browser" in line for line in said)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0
    last = output.decode().splitlines()[-1]
    assert re.search(r"stopped: \d+ readings stored, 0 orders; files removed$", last)


async def test_the_demo_stops_while_it_starts(temporary: Path, nothing_left: None) -> None:
    """Ctrl-C before anything runs leaves nothing either."""
    process = await start_demo(temporary)
    await lines_until(process, "starting")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(60):
        await process.communicate()
    assert process.returncode == 0


async def run_into(output: int | IO[bytes], temporary: Path) -> tuple[int | None, str]:
    """Run the demo with this standard output; return its exit code and what it said on standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulators", "demo"),
        stdout=output,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    async with asyncio.timeout(LIMIT_S):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_a_reader_that_leaves_ends_the_demo(temporary: Path, nothing_left: None) -> None:
    """A pipe that nobody reads any more means stop: 1, one line, no traceback, nothing left."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        code, errors = await run_into(writing, temporary)
    finally:
        os.close(writing)
    assert (code, errors.splitlines()) == (
        1,
        ["the output cannot be written: Broken pipe; the demo has stopped and removed its files"],
    )


async def test_a_full_disk_ends_the_demo(full_disk: IO[bytes], temporary: Path, nothing_left: None) -> None:
    """An output that takes nothing means the same."""
    code, errors = await run_into(full_disk, temporary)
    assert (code, errors.splitlines()) == (
        1,
        ["the output cannot be written: No space left on device; the demo has stopped and removed its files"],
    )
