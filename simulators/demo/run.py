"""The demo itself: makes a workspace, starts the line, shows what happens, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from simulators.demo.check import Check, Report
from simulators.demo.cloud_api import CloudApi
from simulators.demo.console import Console
from simulators.demo.line import Line
from simulators.demo.processes import START_LIMIT_S, DemoError, Programs
from simulators.demo.tasks import beside
from simulators.demo.walk import wait_until
from simulators.demo.watch import Watch
from simulators.scenarios.rainy_day import FLOODED_ROAD, Act
from simulators.scenarios.rainy_day_files import ADMIN, API, LIMITS, OPERATOR, WORKER, Workspace
from simulators.scenarios.rainy_day_stage import Told
from simulators.web import Web, WebError

DEPTHS_WORTH_TELLING_MM: Final = (30, 100, 150, 200)


async def run_demo(*, check: bool, seed: int) -> int:
    """Run until stopped, or to the end of the check; return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="anlan-demo-"))
    try:
        with Console() as console:
            report = await _run_in(folder, console, check=check, seed=seed)
    except (DemoError, WebError) as error:
        sys.stderr.write(f"{error}\nthe demo stopped; its files and logs are in {folder}\n")
        return 1
    except asyncio.CancelledError:
        shutil.rmtree(folder)
        raise
    if not report.is_good:
        sys.stderr.write(f"the check failed; its files and logs are in {folder}\n")
    else:
        shutil.rmtree(folder)
    sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    return 0 if report.is_good else 1


async def _run_in(folder: Path, console: Console, *, check: bool, seed: int) -> Report:
    console.say("Anlan demo: a simulated neighbourhood, from registers to closed orders. Ctrl-C ends it.")
    console.say(LIMITS, "step")
    workspace = Workspace.create(folder)
    async with Programs(folder / "logs") as programs:
        line = Line(workspace, programs, seed=seed)
        return await beside(_play(line, console, check=check), programs.watch())


async def _play(line: Line, console: Console, *, check: bool) -> Report:
    console.say("starting a broker, the cloud and 20 devices …", "step")
    await line.start_servers()
    await line.start_agents()
    address = f"http://127.0.0.1:{line.workspace.ports[API]}"
    logins = (WORKER, OPERATOR, ADMIN)
    tokens = dict(zip(logins, await asyncio.gather(*map(line.make_token, logins)), strict=True))
    _say_access(console, address, tokens)
    async with Web(address, token=tokens[WORKER]) as worker_web, Web(address, token=tokens[OPERATOR]) as operator_web:
        worker, operator = CloudApi(worker_web), CloudApi(operator_web)
        watch, teller = Watch(operator, console), _Teller(console)
        await wait_until(watch.all_online, within_s=START_LIMIT_S, what="the gateways' first word")
        line.begin()
        work = (
            Check(line, console, watch, worker=worker, operator=operator, acts=teller.acts).run if check else _for_ever
        )
        return await beside(work(), watch.run(), line.follow_scenario(teller.tell))


def _say_access(console: Console, address: str, tokens: dict[str, str]) -> None:
    console.say(f"API: {address}/api/v1 (described at {address}/api/v1/openapi.json); tokens:")
    for (login, token), role in zip(tokens.items(), ("grid worker", "operator", "admin"), strict=True):
        console.say(f"  {role} {login}: {token}")
    console.say(f'  example: curl -H "Authorization: Bearer {tokens[OPERATOR]}" {address}/api/v1/orders')


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
            self._console.say(told.text, kind, second=told.second)
        depth_mm = told.depths_mm.get(FLOODED_ROAD, self._depth_mm)
        for limit_mm in DEPTHS_WORTH_TELLING_MM:
            if self._depth_mm < limit_mm <= depth_mm:
                self._console.say(f"{FLOODED_ROAD}: {depth_mm / 10:.0f} cm of water", "weather", second=told.second)
        if depth_mm == 0 < self._depth_mm:
            self._console.say(f"{FLOODED_ROAD}: dry", "weather", second=told.second)
        self._depth_mm = depth_mm


async def _for_ever() -> Report:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")
