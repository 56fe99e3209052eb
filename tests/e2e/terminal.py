"""A person's terminal for tests: commands are run in a folder, and all that they print is kept, as that person sees it.

terminal = Terminal(folder)
code = await terminal.run("edge", "check", "--config", "gateway.yaml")
async with terminal.running("edge", "run", "--config", "gateway.yaml") as agent:
    await agent.wait_for("uplink connected")
assert terminal.said ...
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests import layout

LIMIT_S = 60.0  # for every wait


class Command:
    """A running command; its two outputs come through one pipe."""

    def __init__(self, process: Process, terminal: Terminal) -> None:
        self._process = process
        self._terminal = terminal

    async def wait_for(self, words: str) -> None:
        """Read on until a line has these words; fails when the command ends before or after LIMIT_S."""
        assert self._process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            async for line in self._process.stdout:
                self._terminal.said += line.decode()
                if words in line.decode():
                    return
        raise AssertionError(f"it never said {words!r}, but:\n{self._terminal.said}")

    async def end(self) -> int:
        """Read to the end and return the exit code."""
        async with asyncio.timeout(LIMIT_S):
            said, _ = await self._process.communicate()
        self._terminal.said += said.decode()
        assert "Traceback" not in self._terminal.said, self._terminal.said
        assert self._process.returncode is not None
        return self._process.returncode


class Terminal:
    """``said`` is everything that the commands have printed so far; a traceback in it fails the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said = ""

    def write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the folder."""
        (self.folder / name).write_text(text, encoding="utf-8")
        (self.folder / name).chmod(mode)

    async def run(self, *arguments: str) -> int:
        """Run ``python -m ARGUMENTS`` to its end; return its exit code."""
        async with self._started(arguments) as process:
            return await Command(process, self).end()

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Command]:
        """Run ``python -m ARGUMENTS``; at the end of the block it gets SIGTERM and must end with 0."""
        async with self._started(arguments) as process:
            command = Command(process, self)
            yield command
            process.send_signal(signal.SIGTERM)
            assert await command.end() == 0, self.said

    @asynccontextmanager
    async def _started(self, arguments: tuple[str, ...]) -> AsyncIterator[Process]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(layout.ROOT)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *arguments, cwd=self.folder, env=environment, stdout=PIPE, stderr=STDOUT
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
