"""The demo's own machinery: programs that are watched and stopped, works that end together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulators.demo.processes import DemoError, Programs, run_once, wait_for_port
from simulators.demo.tasks import all_of, beside
from tests.servers import free_ports

EVERY_TYPE = str(Path(__file__).parent / "every_type.yaml")


async def test_a_program_is_stopped_on_leaving(tmp_path: Path) -> None:
    """What was started answers while it is wanted, and has ended well after the block."""
    (port,) = free_ports(1)
    async with Programs(tmp_path) as programs:
        device = await programs.start("device", ["simulators", "device", EVERY_TYPE, "--port", str(port)])
        await wait_for_port(port, device)
        assert device.is_running
    assert device.process.returncode == 0


async def test_a_program_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    """Its name, its code, where its log is, and the log's last lines."""
    async with Programs(tmp_path) as programs:
        await programs.start("device", ["simulators", "device", "nothing"])
        with pytest.raises(DemoError, match=r'(?s)device ended by itself with 2; its log .*device.log.*"nothing"'):
            await programs.watch()


async def test_a_program_that_does_not_start_is_told(tmp_path: Path) -> None:
    """Waiting for its port ends with the program, not with the limit."""
    (port,) = free_ports(1)
    async with Programs(tmp_path) as programs:
        device = await programs.start("device", ["simulators", "device", "nothing", "--port", str(port)])
        with pytest.raises(DemoError, match=r'(?s)device did not start.*"nothing"'):
            await wait_for_port(port, device)


async def test_a_command_that_fails_is_told() -> None:
    """The command and what it said."""
    with pytest.raises(DemoError, match=r'(?s)python -m simulators device nothing failed.*"nothing"'):
        await run_once(["simulators", "device", "nothing"])


async def sleep_until_cancelled(cancelled: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        cancelled.append("yes")


async def fail() -> None:
    raise DemoError("it broke")


async def test_the_first_failure_ends_all() -> None:
    """What one work raises comes out as itself, after the others were cancelled."""
    cancelled: list[str] = []
    with pytest.raises(DemoError, match="it broke"):
        await all_of(sleep_until_cancelled(cancelled), fail())
    with pytest.raises(DemoError, match="it broke"):
        await beside(sleep_until_cancelled(cancelled), fail())
    assert cancelled == ["yes", "yes"]


async def test_others_end_with_the_work() -> None:
    """The result is the work's; what ran beside it is cancelled, what ended before does not matter."""
    cancelled: list[str] = []

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    assert await beside(work(), sleep_until_cancelled(cancelled), asyncio.sleep(0)) == 7
    assert cancelled == ["yes"]
