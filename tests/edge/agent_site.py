"""A gateway among simulated devices and a real broker, whose agent is run here or as a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from edge.agent import Agent, open_agent
from edge.contract.clock import Clock, SystemClock
from edge.contract.gateway_config import load_gateway_config
from edge.contract.messages import Event
from edge.outbox import Outbox
from simulators.modbus_server import ModbusServer
from tests.chaos.neighbourhood import AT_ONCE
from tests.edge.cloud_stand_in import CloudStandIn
from tests.servers import Mosquitto


class Site:
    """A gateway's neighbourhood: a road sensor and a meter behind one Modbus port, and the gateway's files."""

    def __init__(self, folder: Path, broker: Mosquitto, modbus: ModbusServer) -> None:
        self.gateway = f"gw-{secrets.token_hex(4)}"
        self.folder = folder
        self.broker = broker
        self.modbus = modbus
        self.road, self.meter = modbus.units[1], modbus.units[2]
        self.journal = folder / "journal.jsonl"

    def write(self, **changes: Any) -> Path:
        """Write gateway.yaml with these keys changed; return its path."""
        address = {"host": "127.0.0.1", "port": self.modbus.port, "timeout_s": 1.0}
        road = {"id": "road-1", "profile": "moxa_e1242_depth", "modbus": {**address, "unit": 1}, "poll_s": 0.2}
        meter = {"id": "meter-1", "profile": "eastron_sdm630", "modbus": {**address, "unit": 2}, "poll_s": 0.2}
        road["rules"] = [{"class": "WATERLOG.ROAD.2", "clear_hold_s": 0.5}]
        road["points"] = AT_ONCE
        document = {
            "gateway": self.gateway,
            "broker": {"host": "127.0.0.1", "port": self.broker.port},
            "data_dir": "data",
            "batch_s": 0.5,
            "status_s": 1,
            "devices": [road, meter, {"id": "gateway", "profile": "anlan_gateway", "poll_s": 1}],
            **changes,
        }
        path = self.folder / "gateway.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def journalled(self) -> dict[tuple[str, str, int], tuple[float | None, int]]:
        """Every reading that the agent's journal says was committed."""
        lines = [json.loads(line) for line in self.journal.read_text(encoding="utf-8").splitlines()]
        readings = [reading for line in lines for reading in line.get("readings", [])]
        return {(device, point, at): (value, flag) for device, point, at, value, flag, _ in readings}


@asynccontextmanager
async def running(config: Path, clock: Clock, *, is_polling: bool = True) -> AsyncIterator[Agent]:
    """Run an agent in this process, and stop it after."""
    ids = itertools.count(1)
    async with open_agent(load_gateway_config(config), clock=clock, new_id=lambda: f"{next(ids):032x}") as agent:
        work = asyncio.create_task(agent.run(is_polling=is_polling))
        try:
            yield agent
        finally:
            agent.stop()
            await work


@asynccontextmanager
async def process(config: Path, *options: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the agent as a process of its own, its log beside its configuration; what is left at the end is killed."""
    command = [sys.executable, "-m", "edge", "run", "--config", config, *options]
    with config.with_name("agent.log").open("ab") as log:
        agent = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        yield agent
    finally:
        if agent.returncode is None:
            agent.kill()
            await agent.wait()


async def terminate(agent: asyncio.subprocess.Process) -> None:
    """Send SIGTERM; the agent must end by itself, with 0."""
    agent.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(agent.wait(), 20) == 0


def open_outbox(path: Path) -> Outbox:
    path.parent.mkdir(exist_ok=True)
    return Outbox.open(path, max_bytes=10**8, max_age_ms=10**12, clock=SystemClock())


def keep_state(path: Path, key: str, state: str) -> None:
    """Leave the state of an open event in an outbox."""
    outbox = open_outbox(path)
    outbox.append_all([], open_events={key: state})
    outbox.close()


def stored(cloud: CloudStandIn) -> dict[tuple[str, str, int], tuple[float | None, int]]:
    return {key: (reading.value, reading.flag) for key, reading in cloud.readings.items()}


def depths(cloud: CloudStandIn) -> set[float | None]:
    return {reading.value for reading in cloud.readings.values() if reading.point == "depth"}


def shows(cloud: CloudStandIn, depth: float) -> bool:
    return depth in depths(cloud)


def said(events: Sequence[Event]) -> list[tuple[int, str]]:
    return [(event.revision, event.state.value) for event in events]
