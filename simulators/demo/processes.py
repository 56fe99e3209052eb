"""The programs that the demo starts: each in a process group of its own, with its own log, and none left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

STOP_LIMIT_S = 20.0
START_LIMIT_S = 90.0
LAST_LINES = 15


class DemoError(RuntimeError):
    """The demo cannot go on; the text says which part failed and where its log is."""


class Program:
    """One started process; its output is in ``log``."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name, self.process, self.log = name, process, log
        self.stopping = False

    @property
    def is_running(self) -> bool:
        """True until the process has ended."""
        return self.process.returncode is None

    def last_lines(self) -> str:
        """Where the log is and how it ends, for a person."""
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"; its log {self.log} ends:", *(f"  {line}" for line in lines)])

    async def stop(self) -> None:
        """SIGTERM, and after STOP_LIMIT_S SIGKILL to the whole group."""
        self.stopping = True
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), STOP_LIMIT_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # it, or children that outlived it
        await self.process.wait()
        await self._check_gone()

    async def _check_gone(self) -> None:
        for _ in range(50):
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return
            await asyncio.sleep(0.05)
        raise DemoError(f"{self.name} left processes of group {self.process.pid} behind")


class Programs:
    """``async with Programs(folder) as programs``: leaving stops what was started, the latest first."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.started: list[Program] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watching: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        for program in reversed(self.started):
            await program.stop()
        self._failed.cancel()

    async def watch(self) -> None:
        """Wait for ever; raises DemoError when a program ends by itself."""
        await self._failed

    async def start(self, name: str, arguments: Sequence[str], *, pipe: bool = False) -> Program:
        """Run ``python -m <arguments>``; with ``pipe`` standard input and output are ours, and only errors logged."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                *arguments,
                stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which stops the others in order
                env=_environment(),
            )
        program = Program(name, process, log)
        self.started.append(program)
        watching = asyncio.create_task(self._watch(program))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return program

    async def _watch(self, program: Program) -> None:
        await program.process.wait()
        if not program.stopping and not self._failed.done():
            code = program.process.returncode
            self._failed.set_exception(DemoError(f"{program.name} ended by itself with {code}{program.last_lines()}"))


def _environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


async def run_once(arguments: Sequence[str]) -> str:
    """Run ``python -m <arguments>`` to its end and return what it printed; raises DemoError when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:  # we are being stopped
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise DemoError(f"python -m {' '.join(arguments)} failed:\n{errors.decode(errors='replace')}")
    return output.decode()


async def wait_for_port(port: int, program: Program) -> None:
    """Wait until ``program`` accepts connections on a loopback port; raises DemoError when it ends before."""
    for _ in range(int(START_LIMIT_S / 0.1)):
        if not program.is_running:
            raise DemoError(f"{program.name} did not start{program.last_lines()}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise DemoError(f"{program.name} does not listen on port {port} after {START_LIMIT_S:.0f} s{program.last_lines()}")
