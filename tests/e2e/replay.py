"""A recorded series through the real line at the pace of the machine, agent and cloud on one stepped clock.

Agent and cloud run in this process, because only here can a clock stand still until a sample has gone through. Nothing
else is different: the device answers over TCP, the messages go through the broker, receipts come back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from sqlalchemy import Connection, func, select

from cloud.database import Database
from cloud.events import EventTaker, run_event_worker
from cloud.ingest import Counters, run_batch_worker
from cloud.ledger import ledger
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.registry import Registry
from cloud.registry.registry_file import RegistryFile
from cloud.series.sqlite import SqliteStore
from cloud.workorders.tables import event_revisions, events, orders
from edge.agent import Agent, open_agent
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import SteppedClock
from edge.contract.config_file import load_yaml
from edge.contract.gateway_config import load_gateway_config
from edge.contract.messages import Reading
from simulators.device import SimulatedDevice, load_modbus_profile
from simulators.modbus_server import ModbusServer
from tests.e2e.floods import Flood
from tests.e2e.line import GATEWAY, registry_document
from tests.e2e.waiting import WAIT_S

ROAD, ROAD_RULES = "moxa_e1242_depth", [{"class": "WATERLOG.ROAD.2"}]
DRY_S = 31 * 60
MOST_WAITING = 12  # messages in the outbox; beyond it the replay waits for the line instead of filling the disk


class _Counts(NamedTuple):
    revisions: int
    readings: int


class Replay:
    """One device whose samples a test gives; made by :func:`open_replay`."""

    def __init__(
        self, clock: SteppedClock, agent: Agent, device: SimulatedDevice, database: Database, store: SqliteStore
    ) -> None:
        self.clock = clock
        self.name = "sensor-1"
        self.store = store
        self._agent = agent
        self._device = device
        self.database = database
        self._handed_over = _Counts(0, 0)

    async def sample(self, at_ms: int, values: Mapping[str, float | None]) -> list[Reading]:
        """Move the clock, let the device show these values, poll it once; return the readings it became.

        What it says of events is heard before the clock moves on: the cloud judges how late it hears of them.
        """
        await self.clock.advance_to(at_ms)
        for point, value in values.items():
            self._device.set(point, value)
        taken = await self._agent.poll(self.name)
        revisions, readings = self._handed_over
        self._handed_over = _Counts(revisions + len(taken.revisions), readings + len(taken.to_send))
        if taken.revisions:
            await self._wait_until_heard(lambda arrived: arrived.revisions == self._handed_over.revisions)
        await self._wait_for_room(MOST_WAITING)
        return taken.readings

    async def settle(self) -> None:
        """Wait until the cloud has all that was polled, also what no message holds yet, and has receipted it."""
        await self.clock.advance_to(self.clock.now_ms() + 3_600_000)  # the batch that is being collected is due
        await self._wait_until_heard(lambda arrived: arrived == self._handed_over)
        await self._wait_for_room(0)

    async def orders(self) -> list[Any]:
        """Every order, as rows of the cloud's table."""
        return await self.database.read(lambda connection: list(connection.execute(select(orders))))

    async def events(self) -> list[Any]:
        """Every event, as rows of the cloud's table."""
        return await self.database.read(lambda connection: list(connection.execute(select(events))))

    async def was_ever(self, state: str) -> set[str]:
        """Ids of the events that had a revision in this state."""
        query = select(event_revisions.c.event).where(event_revisions.c.state == state)
        return set(await self.database.read(lambda connection: list(connection.scalars(query))))

    async def _wait_until_heard(self, is_enough: Callable[[_Counts], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not is_enough(arrived := await self.database.read(_arrived)):
            assert time.monotonic() < deadline, f"{arrived} came of {self._handed_over}"
            await asyncio.sleep(0.002)

    async def _wait_for_room(self, most: int) -> None:
        deadline = time.monotonic() + WAIT_S
        await asyncio.sleep(0)
        while self._agent.waiting() > most:
            assert time.monotonic() < deadline, f"{self._agent.waiting()} messages without a receipt"
            await asyncio.sleep(0.002)


def _arrived(connection: Connection) -> _Counts:
    """Count what the cloud has heard."""
    revisions = connection.scalar(select(func.count()).select_from(event_revisions))
    return _Counts(revisions or 0, int(connection.scalar(select(func.sum(ledger.c.readings))) or 0))


async def replay_flood(replay: Replay, flood: Flood) -> tuple[int, int]:
    """Poll once at each recorded time, then dry each minute for 31 minutes; return first and last time, ms."""
    began_ms = replay.clock.now_ms() + 60_000
    samples = list(zip(flood.seconds, flood.depths_mm, strict=True))
    samples += [(flood.seconds[-1] + second, 0.0) for second in range(60, DRY_S + 1, 60)]
    for second, depth in samples:
        await replay.sample(began_ms + second * 1000, {"depth": depth})
    return began_ms, replay.clock.now_ms()


@asynccontextmanager
async def open_replay(
    folder: Path, *, broker_port: int, profile: str, rules: list[dict[str, Any]], start_ms: int
) -> AsyncIterator[Replay]:
    """Start a line with one device of this profile, its clock standing at ``start_ms``."""
    clock = SteppedClock(start_ms)
    device = SimulatedDevice(load_modbus_profile(profile), clock=clock)
    async with ModbusServer({1: device}) as server:
        config = {
            "gateway": GATEWAY,
            "broker": {"host": "127.0.0.1", "port": broker_port},
            "data_dir": str(folder / "gateway"),
            "batch_s": 1800,
            "devices": [
                {
                    "id": "sensor-1",
                    "profile": profile,
                    "modbus": {"host": "127.0.0.1", "port": server.port},
                    "poll_s": 60,
                    "heartbeat_s": 86_400,
                    "rules": rules,
                }
            ],
        }
        (folder / "gateway.yaml").write_text(yaml.safe_dump(config))
        (folder / "registry.yaml").write_text(yaml.safe_dump(registry_document({"sensor-1": profile})))
        async with (
            _cloud(folder, clock, broker_port) as (database, store),
            open_agent(load_gateway_config(folder / "gateway.yaml"), clock=clock) as agent,
        ):
            running = asyncio.create_task(agent.run(is_polling=False))
            try:
                yield Replay(clock, agent, device, database, store)
            finally:
                agent.stop()
                await running


@asynccontextmanager
async def _cloud(folder: Path, clock: SteppedClock, broker_port: int) -> AsyncIterator[tuple[Database, SqliteStore]]:
    broker = BrokerConfig(host="127.0.0.1", port=broker_port)
    with Database.at(folder / "cloud.db") as database:
        await database.write(migrate)
        registered = load_yaml(folder / "registry.yaml", RegistryFile)
        await database.write(lambda connection: load_registry(connection, registered))
        store = SqliteStore(folder / "series.db")
        registry = Registry(database)
        taker = EventTaker(database, registry, clock, blobs_folder=folder / "blobs")
        workers = [
            asyncio.create_task(run_event_worker(broker, taker, shared=False)),
            asyncio.create_task(
                run_batch_worker(
                    broker, series=store, database=database, is_registered=registry.is_known, clock=clock,
                    counters=Counters(), shared=False,
                )
            ),
        ]  # fmt: skip
        try:
            yield database, store
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await store.close()
