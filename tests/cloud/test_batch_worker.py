"""The batch worker on a real broker and real stores: whatever goes away and comes back, everything arrives once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cloud.database import Database
from cloud.ingest import Counters, run_batch_worker
from cloud.series import SeriesStore
from cloud.series.influx import InfluxStore
from cloud.series.influx_settings import InfluxSettings
from cloud.series.sqlite import SqliteStore
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import SteppedClock
from edge.contract.messages import Reading
from tests.cloud.batches import NOON, readings_of
from tests.cloud.gateway import Gateway
from tests.servers import InfluxDB, Mosquitto

SEQS = range(1, 61)
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.ingest.LONGEST_PAUSE_S", 0.5)
    monkeypatch.setattr("cloud.subscriber.FIRST_PAUSE_S", 0.1)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "series.db")
    yield store
    await store.close()


@asynccontextmanager
async def worker(
    broker: BrokerConfig, series: SeriesStore, database: Database, *, names: set[str], shared: bool = False
) -> AsyncIterator[Counters]:
    """A batch worker that knows the gateways in `names` and runs for the time of the block."""
    counters = Counters()

    async def is_registered(gateway: str) -> bool:
        return gateway in names

    running = asyncio.create_task(
        run_batch_worker(
            broker,
            series=series,
            database=database,
            is_registered=is_registered,
            clock=SteppedClock(NOON + 86_400_000),
            counters=counters,
            shared=shared,
        )
    )
    try:
        yield counters
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def broker_of(server: Mosquitto) -> BrokerConfig:
    return BrokerConfig(host="127.0.0.1", port=server.port)


async def everything_in(store: SeriesStore, gateway: str) -> list[Reading]:
    found = []
    for series in await store.series(gateway):
        found += await store.read(gateway, series.device, series.point, start_ms=0, end_ms=NOON * 2, limit=100_000)
    return sorted(found, key=lambda reading: (reading.point, reading.taken_at))


def everything_sent() -> list[Reading]:
    readings = [reading for seq in SEQS for reading in readings_of(seq)]
    return sorted(readings, key=lambda reading: (reading.point, reading.taken_at))


async def test_batches_reach_the_store_and_receipts_the_gateways(
    mosquitto: Mosquitto, sqlite: SqliteStore, database: Database
) -> None:
    """Two gateways send at once; each gets receipts for exactly its own, and the store has each reading once."""
    gateways = [Gateway(broker_of(mosquitto), SEQS, name=name) for name in ("worker-1", "worker-2")]
    async with worker(broker_of(mosquitto), sqlite, database, names={"worker-1", "worker-2"}) as counters:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(gateway.send_all() for gateway in gateways))
    for name, gateway in zip(("worker-1", "worker-2"), gateways, strict=True):
        assert gateway.outcomes == dict.fromkeys(SEQS, "stored")
        assert await everything_in(sqlite, name) == everything_sent()
    assert counters.stored == 2 * len(SEQS)


async def test_workers_share_or_compete(mosquitto: Mosquitto, sqlite: SqliteStore, database: Database) -> None:
    """Two workers that share a subscription and one that does not leave together what one alone would."""
    broker, names = broker_of(mosquitto), {"shared-1"}
    gateway = Gateway(broker, SEQS, name="shared-1")
    async with (
        worker(broker, sqlite, database, names=names, shared=True) as first,
        worker(broker, sqlite, database, names=names, shared=True) as second,
        worker(broker, sqlite, database, names=names) as third,
    ):
        async with asyncio.timeout(PATIENCE_S):
            await gateway.send_all()
    assert gateway.outcomes == dict.fromkeys(SEQS, "stored")
    assert await everything_in(sqlite, "shared-1") == everything_sent()
    assert first.conflicts == second.conflicts == third.conflicts == 0


async def test_the_store_comes_back(
    mosquitto: Mosquitto, start_influxdb: Callable[..., InfluxDB], database: Database
) -> None:
    """While InfluxDB is down nothing is receipted and nothing is lost; when it is back, everything arrives."""
    server = start_influxdb()
    server.query("CREATE DATABASE anlan")
    store = InfluxStore(InfluxSettings(url=server.url, database="anlan", api="v1"))
    server.kill()
    gateway = Gateway(broker_of(mosquitto), SEQS, name="patient-1")
    async with (
        asyncio.timeout(PATIENCE_S),
        worker(broker_of(mosquitto), store, database, names={"patient-1"}) as counters,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(gateway.send_all())
        while counters.retries < 3:  # noqa: ASYNC110 -- the worker counts, and tells nobody
            await asyncio.sleep(0.02)
        assert gateway.outcomes == {}
        await asyncio.to_thread(server.start)
    assert gateway.outcomes == dict.fromkeys(SEQS, "stored")
    assert await everything_in(store, "patient-1") == everything_sent()
    await store.close()


async def test_the_broker_comes_back(
    start_mosquitto: Callable[..., Mosquitto], sqlite: SqliteStore, database: Database
) -> None:
    """A broker that is killed and forgets everything costs time and no reading."""
    server = start_mosquitto()
    broker = broker_of(server)
    async with worker(broker, sqlite, database, names={"gw-1"}) as counters:
        async with asyncio.timeout(PATIENCE_S):
            await Gateway(broker, SEQS[:20]).send_all()
            server.kill()
            (server.folder / "mosquitto.db").unlink(missing_ok=True)
            await asyncio.to_thread(server.start)
            await Gateway(broker, SEQS).send_all()
    assert await everything_in(sqlite, "gw-1") == everything_sent()
    assert counters.stored == len(SEQS)


async def test_a_killed_worker_is_followed_by_another(
    mosquitto: Mosquitto, sqlite: SqliteStore, database: Database
) -> None:
    """A worker that ends in the middle leaves nothing that the next one does not finish."""
    broker, names = broker_of(mosquitto), {"orphan-1"}
    gateway = Gateway(broker, SEQS, name="orphan-1")
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.send_all())
        async with worker(broker, sqlite, database, names=names) as counters:
            while counters.messages == 0:  # noqa: ASYNC110 -- the worker counts, and tells nobody
                await asyncio.sleep(0.001)
        async with worker(broker, sqlite, database, names=names):
            while len(gateway.outcomes) < len(SEQS):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert gateway.outcomes == dict.fromkeys(SEQS, "stored")
    assert await everything_in(sqlite, "orphan-1") == everything_sent()
