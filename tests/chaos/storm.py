"""Ten minutes of storm over a town: agents and wire gateways, one broker, two clouds that share one PostgreSQL.

Time is simulated: gateways and clouds follow one accelerated clock. Every ten seconds of it each sensor is read; roads
flood and drain by a plan; messages come twice, late and in another order. In the middle one cloud is killed with -9, a
backup is made, and the cloud comes back.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct
from sqlalchemy import Connection, select

from cloud.backup.make import Choice, back_up
from cloud.backup.progress import Progress
from cloud.blobs import blobs, path_of
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import Database
from cloud.gateway_states import find_state
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.statements.accounts import account
from cloud.workorders.tables import events
from edge.agent import Agent, open_agent
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import AcceleratedClock
from edge.contract.config_file import load_yaml
from edge.contract.gateway_config import load_gateway_config
from edge.contract.messages import Event, EventState, Status
from simulators.demo.processes import Program, Programs
from simulators.demo.proof import Row, compare, read_journal
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.chaos.neighbourhood import AT_ONCE, ROAD
from tests.chaos.storm_proof import inconsistencies, revisions_of, untruths
from tests.chaos.wire_gateway import FLOOD, WireGateway
from tests.e2e.line import registry_document
from tests.e2e.stored import read_influx
from tests.e2e.waiting import kill, until, until_async
from tests.servers import InfluxDB, Mosquitto, Postgres, free_ports

STORM_S = 600
STEP_S = 10
KILLED_S, BACKUP_S, BACK_S = 240, 280, 330  # when one cloud dies, a backup is made, and the cloud is started again
DRY_MM, DEEP_MM, DEEPEST_MM = 20.0, 180.0, 320.0
FLOOD_S = FLOOD[-1][0]
GAP_S = 60  # that a road is dry between two floods
HOLD_S = 20  # that it must be dry before a flood is over
RULES = [
    {"class": "WATERLOG.ROAD.2", "clear_hold_s": HOLD_S},
    {"class": "WATERLOG.UNDER.CLOSE", "clear_hold_s": HOLD_S},
]


class Scale(Struct, frozen=True, kw_only=True):
    """How large the storm is: real gateways and their roads, wire gateways and their devices, and how fast it goes."""

    agents: int
    roads: int
    wires: int
    devices: int
    speed: float  # simulated seconds in a real one


class RealGateway:
    """An agent, as on a gateway, with roads that flood at given seconds of the storm."""

    def __init__(self, name: str, floods: Mapping[str, list[int]], folder: Path) -> None:
        self.name = name
        self.revisions: list[Event] = []
        self._folder = folder
        self._floods = floods
        self._roads = {road: SimulatedDevice(load_modbus_profile(ROAD)) for road in floods}
        self.agent: Agent | None = None
        self._said = 0  # readings

    @property
    def devices(self) -> list[str]:
        """Their names."""
        return list(self._floods)

    @property
    def rows(self) -> list[Row]:
        """Every reading that its outbox has committed."""
        return read_journal(self._folder / "journal.jsonl", self.name).rows

    @asynccontextmanager
    async def open(self, broker: BrokerConfig, clock: AcceleratedClock) -> AsyncIterator[RealGateway]:
        """Open devices and agent, and let it work during the block."""
        self._folder.mkdir()
        async with ModbusServer(dict(enumerate(self._roads.values(), 1))) as modbus:
            path = self._folder / "gateway.yaml"
            path.write_text(yaml.safe_dump(self._document(broker, modbus.port)), encoding="utf-8")
            journal = self._folder / "journal.jsonl"
            async with open_agent(load_gateway_config(path), clock=clock, journal=journal) as self.agent:
                running = asyncio.create_task(self.agent.run(is_polling=False))
                try:
                    yield self
                finally:
                    self.agent.stop()
                    await running

    async def step(self, at_s: int) -> None:
        """Let the water stand as it does at this second, and read every road."""
        assert self.agent is not None
        for road, device in self._roads.items():
            device.set("depth", depth_mm(at_s, self._floods[road]))
            taken = await self.agent.poll(road)
            self.revisions += taken.revisions
            self._said += len(taken.to_send)

    def is_settled(self) -> bool:
        """Whether all that was taken is committed and has its receipt."""
        return self.agent is not None and len(self.rows) == self._said and self.agent.waiting() == 0

    def _document(self, broker: BrokerConfig, port: int) -> dict[str, Any]:
        roads = [
            {
                "id": road,
                "profile": ROAD,
                "modbus": {"host": "127.0.0.1", "port": port, "unit": unit, "timeout_s": 3},
                "poll_s": STEP_S,
                "heartbeat_s": 60,
                "rules": RULES,
                "points": AT_ONCE,
            }
            for unit, road in enumerate(self._roads, 1)
        ]
        return {
            "gateway": self.name,
            "broker": {"host": broker.host, "port": broker.port},
            "data_dir": str(self._folder / "data"),
            "batch_s": STEP_S,
            "status_s": 1,  # real seconds
            "devices": roads,
        }


def depth_mm(at_s: int, begins: list[int]) -> float:
    """Return how deep a road is: a flood rises, is deepest in its middle, and drains."""
    for begin in begins:
        since = at_s - begin
        if 0 <= since < FLOOD_S - HOLD_S - STEP_S:
            return DEEPEST_MM if 40 <= since < 80 else DEEP_MM
    return DRY_MM + at_s % 7


def plan_floods(names: list[str], chance: random.Random) -> dict[str, list[int]]:
    """Return when each floods, in seconds: every second one twice, the first time before anything is killed."""
    plan = {}
    for number, name in enumerate(names):
        first = STEP_S * chance.randrange(1, 15)
        second = first + FLOOD_S + GAP_S + STEP_S * chance.randrange(10)
        plan[name] = [first, second] if number % 2 else [first]
    return plan


class Storm:
    """The town, its broker and its two clouds; made by :func:`open_storm`."""

    def __init__(
        self, folder: Path, scale: Scale, programs: Programs, *, influx: InfluxDB, name: str, seed: int
    ) -> None:
        self.folder = folder
        self._influx, self._database_name = influx, name
        self.clock = AcceleratedClock(
            origin_ms=time.time_ns() // 1_000_000, speed=scale.speed, started_ns=time.monotonic_ns()
        )
        self.clock_file = folder / "clock.json"
        self.clock.write(self.clock_file)
        self.real: list[RealGateway] = []
        self.wires: list[WireGateway] = []
        self.backup_file = folder / "middle.tar"
        self.storm_s = self.settling_s = 0.0
        self.second: Program
        self._last: list[Status] = []  # of each gateway, once all is settled
        self._programs = programs
        self._plan(scale, random.Random(seed))

    def _plan(self, scale: Scale, chance: random.Random) -> None:
        for number in range(1, scale.agents + 1):
            floods = plan_floods([f"road-{road}" for road in range(1, scale.roads + 1)], chance)
            self.real.append(RealGateway(f"real-{number}", floods, self.folder / f"real-{number}"))
        for number in range(1, scale.wires + 1):
            floods = plan_floods([f"sensor-{device}" for device in range(1, scale.devices + 1)], chance)
            self.wires.append(WireGateway(f"wire-{number}", floods, clock=self.clock, seed=chance.randrange(10**6)))

    @property
    def gateways(self) -> list[RealGateway | WireGateway]:
        """All of them."""
        return [*self.real, *self.wires]

    @property
    def config(self) -> CloudConfig:
        """The configuration of the clouds."""
        return load_cloud_config(self.folder / "cloud-1.yaml")

    @asynccontextmanager
    async def at_work(self, broker: BrokerConfig) -> AsyncIterator[None]:
        """Let both clouds and all gateways work during the block."""
        await self._start("cloud-1")
        await self._start_second()
        async with AsyncExitStack() as stack:
            for each in self.real:
                await stack.enter_async_context(each.open(broker, self.clock))
            talking = [asyncio.create_task(each.run(broker)) for each in self.wires]
            try:
                yield
            finally:
                for task in talking:
                    task.cancel()
                await asyncio.gather(*talking, return_exceptions=True)

    async def run(self) -> None:
        """All ten minutes; returns when everything that was said has its receipt, and the clouds know that."""
        began, start_ms = time.monotonic(), self.clock.now_ms()
        async with asyncio.TaskGroup() as meanwhile:
            for at_s in range(0, STORM_S + 1, STEP_S):
                await self.clock.sleep_until(start_ms + at_s * 1000)
                if at_s == KILLED_S:
                    await kill(self.second)
                elif at_s == BACKUP_S:
                    meanwhile.create_task(self._back_up())
                elif at_s == BACK_S:
                    meanwhile.create_task(self._start_second())
                await asyncio.gather(
                    *(each.step(at_s) for each in self.real),
                    *(each.step(at_s, is_last=at_s == STORM_S) for each in self.wires),
                )
        self.storm_s = time.monotonic() - began
        await until(lambda: all(each.is_settled() for each in self.gateways), "a receipt for everything that was said")
        for each in self.wires:
            await each.say_status()
        with Database(self.config.database) as database:
            await until_async(lambda: database.read(self._is_accounted_for), "an account of everything that was said")
        self.settling_s = time.monotonic() - began - self.storm_s

    def faults(self) -> list[str]:
        """What is wrong at the end: with the database, with what gateways said, with the readings in the store."""
        said = [event for each in self.gateways for event in each.revisions]
        with Database(self.config.database) as database:
            found = database.read_now(lambda connection: inconsistencies(connection) + untruths(connection, said))
        comparison = compare(
            [row for each in self.gateways for row in each.rows], read_influx(self._influx, self._database_name)
        )
        return found + ([] if comparison == ([], [], 0) else [str(comparison)])

    def faults_of_restored(self, config: CloudConfig) -> list[str]:
        """What is wrong in a database that the backup was restored into: it must be whole, and name what came after."""
        said = {(event.gateway, event.id, event.revision) for each in self.gateways for event in each.revisions}
        with Database(config.database) as database:
            found = database.read_now(inconsistencies)
            known = database.read_now(revisions_of)
            accounts = database.read_now(lambda c: [one for status in self._last for one in account(c, status)])
            pictures = database.read_now(lambda c: c.scalars(select(blobs.c.sha256)).all())
        if not known < said or not known:
            found.append(f"{len(known)} revisions were backed up, {len(said)} were said: this is not the middle")
        found += [f"picture {name} is gone" for name in pictures if not path_of(config.blobs_folder, name).exists()]
        found += [str(one) for one in accounts if one.taken != one.unchanged + one.stored + one.missing]
        if not all(one.lost_messages for one in accounts):
            found.append(f"what came after the backup is not named: {accounts}")
        return found

    def _is_accounted_for(self, connection: Connection) -> bool:
        """Whether the ledger has everything, and every gateway has said that nothing waits; keep these last words."""
        states = [find_state(connection, each.name) for each in self.gateways]
        self._last = [state.status for state in states if state is not None and state.status is not None]
        stored = [sum(one.stored for one in account(connection, status)) for status in self._last]
        return stored == [len(each.rows) for each in self.gateways] and not any(map(_waits, self._last))

    async def _back_up(self) -> None:
        """Back up in the middle: on a busy machine the cloud may only then hear of the first flood that is over."""
        ended = select(events.c.id).where(events.c.state == EventState.ENDED, events.c.alert.is_not(None)).limit(1)

        async def has_seen_an_end() -> bool:
            return await database.read(lambda connection: connection.scalar(ended)) is not None

        with Database(self.config.database) as database:
            await until_async(has_seen_an_end, "the end of a flood")
        now_ms = self.clock.now_ms()
        await asyncio.to_thread(back_up, self.config, self.backup_file, Choice(), Progress(print), now_ms=now_ms)

    async def _start_second(self) -> None:
        self.second = await self._start("cloud-2")

    async def _start(self, name: str) -> Program:
        """Start a cloud; it is there when both of its workers are subscribed."""
        config, log = str(self.folder / f"{name}.yaml"), self.folder / "logs" / f"{name}.log"
        before = _subscriptions(log)
        arguments = ["cloud", "run", "--config", config, "--clock", str(self.clock_file)]
        program = await self._programs.start(name, arguments)
        program.stopping = name == "cloud-2"  # it is killed
        await until(lambda: _subscriptions(log) >= before + 2, f"the subscriptions of {name}")
        return program


def _waits(status: Status) -> bool:
    """Whether a gateway says that it has messages without a receipt."""
    lanes = [lane for epoch in status.epochs for lane in epoch.lanes.values()]
    return any(lane.oldest_kept < lane.next_seq for lane in lanes)


def _subscriptions(log: Path) -> int:
    return log.read_text(errors="replace").count("subscribed") if log.exists() else 0


@asynccontextmanager
async def open_storm(
    folder: Path, scale: Scale, *, postgres: Postgres, mosquitto: Mosquitto, influx: InfluxDB, seed: int
) -> AsyncIterator[Storm]:
    """Make the town, with everything started, for the block."""
    name = f"storm_{secrets.token_hex(4)}"
    await asyncio.to_thread(postgres.query, f'CREATE DATABASE "{name}"')
    await asyncio.to_thread(influx.query, f'CREATE DATABASE "{name}"')
    await asyncio.to_thread(influx.query, f'CREATE DATABASE "{name}_households"')
    broker = BrokerConfig(host="127.0.0.1", port=mosquitto.port)
    document = {
        "data_dir": str(folder / "cloud"),
        "broker": {"host": broker.host, "port": broker.port},
        "database_url": postgres.url(name),
        "series": {"engine": "influx", "url": influx.url, "database": name},
        "shared": True,
    }
    (folder / "cloud").mkdir()
    for cloud, port in zip(("cloud-1", "cloud-2"), free_ports(2), strict=True):
        text = yaml.safe_dump(document | {"api": {"host": "127.0.0.1", "port": port}})
        (folder / f"{cloud}.yaml").write_text(text, encoding="utf-8")
    async with Programs(folder / "logs") as programs:
        storm = Storm(folder, scale, programs, influx=influx, name=name, seed=seed)
        await asyncio.to_thread(_make_database, storm)
        async with storm.at_work(broker):
            yield storm


def _make_database(storm: Storm) -> None:
    registry = registry_document({}, "none")
    [gateway] = registry["gateways"]
    registry["gateways"] = [{**gateway, "id": each.name} for each in storm.gateways]
    for made, each in zip(registry["gateways"], storm.gateways, strict=True):
        made["devices"] = [{"id": device, "name": device} for device in each.devices]
    path = storm.folder / "registry.yaml"
    path.write_text(yaml.safe_dump(registry, allow_unicode=True), encoding="utf-8")
    loaded = load_yaml(path, RegistryFile)
    with Database(storm.config.database) as database:
        database.write_now(migrate)
        database.write_now(lambda connection: load_registry(connection, loaded))
