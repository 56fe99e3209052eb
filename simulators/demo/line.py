"""The whole line as programs: broker, cloud, two gateways and the scenario, started in an order that works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from simulators.demo.processes import DemoError, Program, Programs, run_once, wait_for_port
from simulators.scenarios.rainy_day_files import API, BROKER, GATEWAYS, Workspace
from simulators.scenarios.rainy_day_stage import Told

READY_LIMIT_S: Final = 60.0


class Line:
    """Starts and stops the programs of one workspace."""

    def __init__(self, workspace: Workspace, programs: Programs, *, seed: int) -> None:
        self.workspace, self._programs, self._seed = workspace, programs, seed
        self._agents: dict[str, Program] = {}
        self._scenario: Program | None = None

    async def start_cloud(self) -> None:
        """Start broker and cloud and wait until both answer."""
        ports, files = self.workspace.ports, self.workspace
        broker = await self._programs.start(
            "broker", ["simulators.broker", "--port", str(ports[BROKER]), "--users", str(files.users_file)]
        )
        config = ["--config", str(files.cloud_file)]
        await run_once(["cloud", "init", *config])
        await run_once(["cloud", "registry", "load", str(files.registry_file), *config])
        await wait_for_port(ports[BROKER], broker)
        cloud = await self._programs.start("cloud", ["cloud", "run", *config])
        await wait_for_port(ports[API], cloud)

    async def make_token(self, login: str) -> str:
        """A new API token of a person."""
        printed = await run_once(["cloud", "token", login, "--config", str(self.workspace.cloud_file)])
        return printed.split()[-1]

    async def start_scenario(self) -> None:
        """Start the devices and wait until they answer."""
        folder = str(self.workspace.folder)
        arguments = ["simulators", "scenario", "rainy-day", "--seed", str(self._seed), "--dir", folder, "--json"]
        self._scenario = await self._programs.start("scenario", arguments, pipe=True)
        async with asyncio.timeout(READY_LIMIT_S):
            if await self._next_told() is None:
                raise DemoError(f"the scenario did not start{self._scenario.last_lines()}")

    async def follow_scenario(self, tell: Callable[[Told], None]) -> None:
        """Hand on what happens, until the scenario ends."""
        while (told := await self._next_told()) is not None:
            tell(told)

    async def _next_told(self) -> Told | None:
        output = self._scenario.process.stdout if self._scenario is not None else None
        text = await output.readline() if output is not None else b""
        return msgspec.json.decode(text, type=Told) if text else None

    async def start_agents(self) -> None:
        """Start both gateways' agents, each with a journal."""
        for gateway in GATEWAYS:
            await self.start_agent(gateway)

    async def start_agent(self, gateway: str) -> None:
        """Start one gateway's agent."""
        arguments = ["edge", "run", "--config", str(self.workspace.gateway_file(gateway))]
        arguments += ["--journal", str(self.workspace.journal_file(gateway))]
        self._agents[gateway] = await self._programs.start(gateway, arguments)

    async def stop_agent(self, gateway: str) -> None:
        """Stop one agent by SIGTERM; raises DemoError when it does not end well."""
        agent = self._agents[gateway]
        await agent.stop()
        if agent.process.returncode != 0:
            raise DemoError(f"{gateway} ended with {agent.process.returncode} instead of 0{agent.last_lines()}")

    async def stop_scenario(self) -> None:
        """Stop the devices."""
        if self._scenario is not None:
            await self._scenario.stop()
