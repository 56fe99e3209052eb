"""The demo itself: makes a workspace, starts the line, shows what happens, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from simulators.demo.check import Check, Report
from simulators.demo.cloud_api import CloudApi, Order
from simulators.demo.console import Console, OutputError
from simulators.demo.line import Line
from simulators.demo.next_step import next_step
from simulators.demo.processes import START_LIMIT_S, DemoError, Programs
from simulators.demo.tasks import beside
from simulators.demo.walk import wait_until
from simulators.demo.watch import Watch
from simulators.scenarios.rainy_day import FLOODED_ROAD, SPARE, Act
from simulators.scenarios.rainy_day_files import API, LIMITS, OPERATOR, VISITORS, WORKER, Workspace
from simulators.scenarios.rainy_day_stage import Told
from simulators.web import Web, WebError

DEPTHS_WORTH_TELLING_MM: Final = (30, 100, 150, 200)
_WHAT: Final = {"worker": "grid worker 网格员", "operator": "operator 运维人员", "installer": "installer 安装人员"}
UNANSWERED: Final = {"raised", "accepted", "dispatched", "returned"}


async def run_demo(*, check: bool, seed: int) -> int:
    """Run until stopped, or to the end of the check; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="anlan-demo-"))
    try:
        return await _Demo(folder, check=check, seed=seed).run()
    except OutputError as error:
        shutil.rmtree(folder, ignore_errors=True)  # the run may have removed it before it found nobody to tell
        _leave_output()
        sys.stderr.write(f"{error}; the demo has stopped and removed its files\n")
    except (DemoError, WebError) as error:
        sys.stderr.write(f"{error}\nthe demo stopped; its files and logs are in {folder}\n")
    return 1


def _leave_output() -> None:
    """Point standard output at nothing, so that what it still holds is not tried again at the end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


class _Demo:
    """One run, in a folder of its own."""

    def __init__(self, folder: Path, *, check: bool, seed: int) -> None:
        self._folder, self._check, self._seed = folder, check, seed
        self._console = Console(sys.stdout)
        self._watch: Watch | None = None

    async def run(self) -> int:
        """Return the exit code. Raises OutputError, DemoError, WebError."""
        try:
            with self._console:
                report = await self._run()
        except asyncio.CancelledError:
            shutil.rmtree(self._folder)
            stored, orders = (self._watch.stored, self._watch.orders) if self._watch is not None else (0, 0)
            self._console.say(f"stopped: {stored} readings stored, {orders} orders; files removed", "access")
            raise
        if report.exit_code:
            sys.stderr.write(f"the check failed; its files and logs are in {self._folder}\n")
        else:
            shutil.rmtree(self._folder)
        self._console.say(str(report), "alert" if report.faults else "done")
        self._console.say_bare(msgspec.json.encode(report).decode())
        return report.exit_code

    async def _run(self) -> Report:
        self._console.say("Anlan demo: a simulated neighbourhood, from registers to closed orders. Ctrl-C ends it.")
        self._console.say(LIMITS, "step")
        workspace = Workspace.create(self._folder)
        async with Programs(self._folder / "logs") as programs:
            line = Line(workspace, programs, seed=self._seed, hold=not self._check)
            try:
                return await beside(self._play(line), programs.watch())
            except asyncio.CancelledError:
                self._console.say("stopping …", "step")
                raise

    async def _play(self, line: Line) -> Report:
        console = self._console
        console.say("starting a broker, the cloud and 20 devices …", "step")
        await line.start_servers()
        await line.start_agents()
        address = f"http://127.0.0.1:{line.workspace.ports[API]}"
        made = await asyncio.gather(*(line.make_token(person.login) for person in (WORKER, OPERATOR)))
        if not self._check:
            links = await asyncio.gather(*(line.make_link(person.login) for person in VISITORS))
            _say_access(console, address, links, spare=f"127.0.0.1:{line.workspace.bus_port(SPARE)}")
        async with Web(address, token=made[0]) as worker_web, Web(address, token=made[1]) as operator_web:
            worker, operator = CloudApi(worker_web), CloudApi(operator_web)
            guide = _Guide(line, console, address=address)
            teller = _Teller(console)
            moved = None if self._check else guide.see
            watch = self._watch = Watch(operator, console, address=address, moved=moved)
            await wait_until(watch.all_online, within_s=START_LIMIT_S, what="the gateways' first word")
            line.begin()
            check = Check(line, console, watch, worker=worker, operator=operator, acts=teller.acts)
            work = check.run if self._check else _for_ever
            return await beside(work(), watch.run(), line.follow_scenario(teller.tell))


def _say_access(console: Console, address: str, links: Iterable[str], *, spare: str) -> None:
    console.say(f"open {address} in a browser; each of these links signs one person in, once:", "access")
    for person, link in zip(VISITORS, links, strict=True):
        console.say(f"  {_WHAT[person.role]} {person.name}: {link}", "access")
    console.say(
        f"  the installer can add a gateway for a new meter: {SPARE.profile} at {spare}, unit {SPARE.unit}", "step"
    )
    console.say("  one person a browser: open the second one in a private window, the third on another browser", "step")


class _Guide:
    """Tells a person what to do next with each order, and lets the flood drain once they are on it."""

    def __init__(self, line: Line, console: Console, *, address: str) -> None:
        self._line, self._console, self._address = line, console, address
        self._freed: set[str] = set()

    def see(self, order: Order) -> None:
        """Take note of an order that is new or has moved on."""
        if order.device == FLOODED_ROAD and order.state not in UNANSWERED and order.code not in self._freed:
            self._freed.add(order.code)
            self._line.free_gully()
        step = next_step(order, address=self._address)
        if step is not None:
            self._console.say(step, "access")


class _Teller:
    """Tells what the scenario does, and remembers it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.acts: set[str] = set()
        self._depth_mm = 0.0

    def tell(self, told: Told) -> None:
        self.acts.add(told.act)
        if told.text:
            kind = "trouble" if told.act in {Act.SILENT, Act.CUT, "failed"} else "weather"
            self._console.say(told.text, kind)
        depth_mm = told.depths_mm.get(FLOODED_ROAD, self._depth_mm)
        for limit_mm in DEPTHS_WORTH_TELLING_MM:
            if self._depth_mm < limit_mm <= depth_mm:
                self._console.say(f"{FLOODED_ROAD}: {depth_mm / 10:.0f} cm of water", "weather")
        if depth_mm == 0 < self._depth_mm:
            self._console.say(f"{FLOODED_ROAD}: dry", "weather")
        self._depth_mm = depth_mm


async def _for_ever() -> Report:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")
