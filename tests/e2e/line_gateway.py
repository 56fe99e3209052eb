"""One gateway of a line: simulated devices here, the agent a process that a test may kill, its journal, its outbox."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import yaml
from msgspec import Struct

from simulators.demo.processes import Program, Programs
from simulators.demo.proof import Journalled, read_journal
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.e2e.waiting import until

Options = Mapping[str, Any]


class Setup(Struct, frozen=True, kw_only=True):
    """How the gateways of a line are set up; ``profiles``: device -> profile. Options are further keys of the file.

    ``started_by`` is a module with arguments that takes the place of ``python -m edge`` and is told so behind them.
    """

    profiles: Mapping[str, str]
    poll_s: float = 0.5
    device_options: Mapping[str, Options] = {}
    options: Options = {}
    started_by: Sequence[str] = ()


class LineGateway:
    """Devices that answer during ``async with``, and an agent that reads them once it is started."""

    agent: Program

    def __init__(self, name: str, folder: Path, setup: Setup, *, programs: Programs, broker_port: int) -> None:
        self.name = name
        self.folder = folder
        self.journal = folder / "journal.jsonl"
        self.outbox = folder / "data" / "outbox.sqlite"
        self.devices = {
            device: SimulatedDevice(load_modbus_profile(profile), keep_served=True)
            for device, profile in setup.profiles.items()
        }
        self._setup = setup
        self._programs = programs
        self._broker_port = broker_port
        self._modbus = ModbusServer(dict(enumerate(self.devices.values(), 1)))

    async def __aenter__(self) -> Self:
        """Let the devices answer, and write gateway.yaml."""
        self.folder.mkdir(parents=True, exist_ok=True)
        await self._modbus.__aenter__()
        self.configure()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Let the devices fall silent."""
        await self._modbus.__aexit__(*error)

    # --- the agent ---

    async def start(self, *options: str) -> None:
        """Start the agent, with further options, and wait until it has taken something: then it knows how to end."""
        before = self._taken_so_far()
        await self.begin(*options)
        await until(lambda: self._taken_so_far() > before, f"the first commit of {self.name}")

    async def begin(self, *options: str) -> None:
        """Start the agent, and wait for nothing."""
        self.agent = await self.run_with(self.folder / "gateway.yaml", self.journal, *options, name=self.name)

    async def run_with(self, config: Path, journal: Path, *options: str, name: str) -> Program:
        """Start an agent with another configuration and journal."""
        files = ["--config", str(config), "--journal", str(journal)]
        return await self._programs.start(name, [*self._setup.started_by, "edge", "run", *files, *options])

    # --- what it has ---

    def taken(self) -> Journalled:
        """What the agent's journal says was committed."""
        return read_journal(self.journal, self.name)

    async def take_more(self, readings: int = 1) -> None:
        """Wait until so many more readings were taken."""
        wanted = self._taken_so_far() + readings
        await until(lambda: self._taken_so_far() >= wanted, f"{readings} more readings of {self.name}")

    def waiting(self) -> int:
        """How much in its outbox has no receipt: messages, and what is in none yet."""
        with closing(sqlite3.connect(f"file:{self.outbox}?mode=ro", uri=True)) as outbox:
            [waiting] = outbox.execute(
                "SELECT (SELECT COUNT(*) FROM messages) + (SELECT COUNT(*) FROM drafts)"
            ).fetchone()
        return int(waiting)

    def _taken_so_far(self) -> int:
        return self.taken().counts.taken if self.journal.exists() else 0

    # --- its file ---

    def configure(self, **options: Any) -> Path:
        """Write gateway.yaml, with further options; return its path."""
        return self.write("gateway", self.document() | options)

    def write(self, name: str, document: Options) -> Path:
        """Write a YAML file of this gateway; return its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(dict(document), allow_unicode=True), encoding="utf-8")
        return path

    def document(self) -> dict[str, Any]:
        """What gateway.yaml says."""
        devices = [
            {
                "id": device,
                "profile": profile,
                "modbus": {"host": "127.0.0.1", "port": self._modbus.port, "unit": unit, "timeout_s": 0.5},
                "poll_s": self._setup.poll_s,
                "heartbeat_s": 60,
                **self._setup.device_options.get(device, {}),
            }
            for unit, (device, profile) in enumerate(self._setup.profiles.items(), 1)
        ]
        return {
            "gateway": self.name,
            "broker": {"host": "127.0.0.1", "port": self._broker_port},
            "data_dir": str(self.outbox.parent),
            "batch_s": 1,
            "status_s": 1,
            "devices": devices,
            **self._setup.options,
        }
