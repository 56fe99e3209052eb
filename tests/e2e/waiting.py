"""Waiting for what is outside of a test's reach, and ending the programs that it has started."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Final

from simulators.demo.processes import Program

WAIT_S: Final = 180.0  # no wait in a test is longer, on a machine that has much else to do


async def until(is_true: Callable[[], bool], what: str) -> None:
    """Wait until something outside of our reach has happened."""

    async def ask() -> bool:
        return is_true()

    await until_async(ask, what)


async def until_async(is_true: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait until the answer to a question, such as one to the API, is yes."""
    deadline = time.monotonic() + WAIT_S
    while not await is_true():
        assert time.monotonic() < deadline, f"{what}: not after {WAIT_S:g} s"
        await asyncio.sleep(0.05)


async def kill(program: Program) -> None:
    """Kill it with -9; that it has ended already is no matter."""
    program.stopping = True
    if program.is_running:
        program.process.kill()
        await program.process.wait()


async def terminate(program: Program) -> None:
    """SIGTERM; it must end by itself with code 0."""
    program.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(program.process.wait(), WAIT_S) == 0, program.last_lines()
