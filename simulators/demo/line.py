"""The whole line as programs: broker, cloud, two gateways and the scenario, started in an order that works."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from simulators.demo.processes import DemoError, Program, Programs, run_once, wait_for_port
from simulators.demo.tasks import all_of
from simulators.scenarios.rainy_day_files import API, BROKER, GATEWAYS, Workspace
from simulators.scenarios.rainy_day_stage import Told


class Line:
    """Starts and stops the programs of one workspace; with ``hold`` a flood stays until :meth:`free_gully`."""

    def __init__(self, workspace: Workspace, programs: Programs, *, seed: int, hold: bool) -> None:
        self.workspace, self._programs, self._seed, self._hold = workspace, programs, seed, hold
        self._agents: dict[str, Program] = {}
        self._scenario: Program | None = None

    async def start_servers(self) -> None:
        """Start broker, cloud and devices, side by side where they do not need each other, until all answer."""
        await all_of(self._start_broker(), self._start_scenario(), self._start_cloud())

    async def _start_broker(self) -> None:
        port, users = self.workspace.ports[BROKER], self.workspace.users_file
        arguments = ["simulators", "broker", "--port", str(port), "--users", str(users)]
        await wait_for_port(port, await self._programs.start("broker", arguments))

    async def _start_cloud(self) -> None:
        config = ["--config", str(self.workspace.cloud_file)]
        await run_once(["cloud", "init", *config])
        await run_once(["cloud", "registry", "load", str(self.workspace.registry_file), *config])
        await wait_for_port(self.workspace.ports[API], await self._programs.start("cloud", ["cloud", "run", *config]))

    async def _start_scenario(self) -> None:
        folder = str(self.workspace.folder)
        arguments = ["simulators", "scenario", "rainy-day", "--seed", str(self._seed), "--dir", folder]
        hold = ["--hold"] if self._hold else []
        self._scenario = await self._programs.start("scenario", [*arguments, "--json", "--wait", *hold], pipe=True)
        if await self._next_told() is None:
            raise DemoError(f"the scenario did not start{self._scenario.last_lines()}")

    async def make_token(self, login: str) -> str:
        """A new API token of a person."""
        printed = await run_once(["cloud", "token", login, "--config", str(self.workspace.cloud_file)])
        return printed.split()[-1]

    async def make_link(self, login: str) -> str:
        """A one-time link that signs a person in to the pages."""
        printed = await run_once(["cloud", "user", "link", login, "--config", str(self.workspace.cloud_file)])
        return printed.strip()

    def begin(self) -> None:
        """Let the scenario begin: its second 0 is now."""
        self._send_line()

    def free_gully(self) -> None:
        """Let the held flood drain."""
        self._send_line()

    def _send_line(self) -> None:
        if self._scenario is not None and self._scenario.process.stdin is not None:
            self._scenario.process.stdin.write(b"\n")

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
