"""Clocks: real, accelerated and shared, stepped."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.contract.clock import AcceleratedClock, ClockError, SteppedClock, SystemClock, load_clock

START = 1_790_000_000_000


def test_system_clock_is_the_machines() -> None:
    """Without a clock file it is real time, in milliseconds UTC."""
    clock = load_clock(None, "broker.example.org")
    assert isinstance(clock, SystemClock)
    assert abs(clock.now_ms() - time.time() * 1000) < 1000


async def test_sleep_until_a_past_time_returns() -> None:
    """Waiting for what has passed does not wait."""
    clock = SystemClock()
    await asyncio.wait_for(clock.sleep_until(clock.now_ms() - 5), timeout=1)


async def test_accelerated_hour_passes_in_no_time() -> None:
    """An hour at 100,000 times real time is over within a second, and the clock shows it."""
    clock = AcceleratedClock(origin_ms=START, speed=100_000, started_ns=time.monotonic_ns())
    await asyncio.wait_for(clock.sleep_until(START + 3_600_000), timeout=5)
    assert clock.now_ms() >= START + 3_600_000


def test_two_processes_share_one_clock(tmp_path: Path) -> None:
    """A process that reads the same file shows a time between two looks of this one."""
    path = tmp_path / "clock.json"
    clock = AcceleratedClock(origin_ms=START, speed=1000, started_ns=time.monotonic_ns())
    clock.write(path)
    code = (
        "import sys; from pathlib import Path; from edge.contract.clock import load_clock; "
        "print(load_clock(Path(sys.argv[1]), '127.0.0.1').now_ms())"
    )
    before = clock.now_ms()
    other = int(subprocess.check_output([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[2]))
    assert before < other < clock.now_ms()


@pytest.mark.parametrize("host", ["broker.example.org", "10.0.0.7", "0.0.0.0"])
def test_made_up_time_never_reaches_a_real_broker(tmp_path: Path, host: str) -> None:
    """An accelerated clock refuses every broker that is not on loopback."""
    path = tmp_path / "clock.json"
    AcceleratedClock(origin_ms=START, speed=60, started_ns=0).write(path)
    with pytest.raises(ClockError, match=f"broker {host} is not on loopback"):
        load_clock(path, host)
    for loopback in ("127.0.0.1", "::1", "localhost"):
        assert isinstance(load_clock(path, loopback), AcceleratedClock)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"origin_ms": 1, "speed": 0, "started_ns": 0}', "\x00"])
def test_bad_clock_file_is_named(tmp_path: Path, text: str) -> None:
    """What is no clock file gives one error that says what one holds."""
    path = tmp_path / "clock.json"
    path.write_text(text)
    with pytest.raises(ClockError, match="clock"):
        load_clock(path, "localhost")
    with pytest.raises(ClockError, match="No such file"):
        load_clock(tmp_path / "none.json", "localhost")


async def test_stepped_clock_wakes_each_at_its_time() -> None:
    """Sleepers wake in the order of their times, and see the clock at their own time."""
    clock = SteppedClock(START)
    seen: list[tuple[str, int]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.now_ms() - START))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 30), ("early", 10), ("same", 10)):
            group.create_task(sleeper(name, seconds))
        await asyncio.sleep(0)
        await clock.advance_to(START + 9_999)
        assert seen == []
        await clock.advance_to(START + 60_000)
    assert seen == [("early", 10_000), ("same", 10_000), ("late", 30_000)]
    assert clock.now_ms() == START + 60_000


def test_clock_file_is_plain(tmp_path: Path) -> None:
    """A clock file holds four numbers and a name, and nothing else."""
    AcceleratedClock(origin_ms=START, speed=60.0, started_ns=5).write(tmp_path / "c")
    assert json.loads((tmp_path / "c").read_text()) == {
        "origin_ms": START, "speed": 60.0, "started_ns": 5, "set_by_ms": 0, "boot": "",
    }  # fmt: skip


async def test_somebody_sets_the_clock_of_a_file(tmp_path: Path) -> None:
    """Who runs on a file shows what it is set to, on, back or to nothing; the time since the start runs on."""
    path = tmp_path / "clock.json"
    ours = AcceleratedClock(origin_ms=START, speed=1, started_ns=time.monotonic_ns(), boot="first")
    ours.write(path)
    theirs = load_clock(path, "localhost")
    assert (theirs.boot, theirs.offset_ms()) == ("first", START)
    started = theirs.monotonic_ms()
    for set_by in (3_600_000, -3_600_000, -START):
        ours.set_by_ms = set_by
        ours.write(path)
        async with asyncio.timeout(5):
            while theirs.offset_ms() != START + set_by:  # noqa: ASYNC110 -- a clock tells nobody that it was set
                await asyncio.sleep(0.01)
        assert abs(theirs.now_ms() - ours.now_ms()) < 1000
    assert 0 <= theirs.monotonic_ms() - started < 60_000


def test_every_clock_is_its_offset_and_its_time_since_the_start() -> None:
    """What a clock shows is its time since the start and its offset; the machine's own is measured."""
    system = SystemClock()
    assert abs(system.now_ms() - system.monotonic_ms() - system.offset_ms()) < 1000
    assert len(system.boot) == 36
    for clock in (AcceleratedClock(origin_ms=START, speed=1, started_ns=0), SteppedClock(START)):
        assert abs(clock.now_ms() - clock.monotonic_ms() - clock.offset_ms()) < 1000
        assert clock.boot
