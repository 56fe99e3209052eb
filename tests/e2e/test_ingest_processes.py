"""`cloud ingest` as processes: several share what comes, into one file of readings, and end when they are asked to."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cloud.database import Database
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.series.sqlite import SqliteStore
from edge.contract.broker_config import BrokerConfig
from edge.contract.messages import Reading
from simulators.demo.processes import DemoError, Program, Programs, run_once
from tests.cloud.gateway import Gateway
from tests.e2e.line import registry_document
from tests.e2e.waiting import until
from tests.servers import Mosquitto

SEQS = range(1, 61)
NAMES = ("ingest-1", "ingest-2")
STARTED_MS = int(time.time() * 1000)


def readings_of(seq: int) -> list[Reading]:
    return [Reading("road-1", point, STARTED_MS - 1000 * seq, seq / 7) for point in ("depth", "rain")]


async def set_up(folder: Path, port: int, *, shared: bool) -> Path:
    """Write cloud.yaml, make its database and register the gateways."""
    config = folder / "cloud.yaml"
    config.write_text(
        json.dumps({"data_dir": str(folder), "broker": {"host": "127.0.0.1", "port": port}, "shared": shared})
    )
    await run_once(["cloud", "init", "--config", str(config)])
    file = RegistryFile.model_validate_json(json.dumps(registry_document(["road-1"], *NAMES)))
    with Database.at(folder / "cloud.db") as database:
        database.write_now(lambda connection: load_registry(connection, file))
    return config


def is_subscribed(program: Program) -> Callable[[], bool]:
    return lambda: "subscribed" in program.log.read_text()


async def test_two_processes_share_the_work(start_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> None:
    """Each takes a part, all of it is in the one file of readings once, and SIGTERM ends both without a fault."""
    server = start_mosquitto()
    config = await set_up(tmp_path, server.port, shared=True)
    broker = BrokerConfig(host="127.0.0.1", port=server.port)
    gateways = [Gateway(broker, SEQS, name=name, readings=readings_of) for name in NAMES]
    async with asyncio.timeout(90), Programs(tmp_path / "logs") as programs:
        workers = [await programs.start(name, ["cloud", "ingest", "--config", str(config)]) for name in ("a", "b")]
        for worker in workers:
            await until(is_subscribed(worker), "subscribes")
        await asyncio.gather(*(gateway.send_all() for gateway in gateways))
        for worker in workers:
            await worker.stop()
    assert [worker.process.returncode for worker in workers] == [0, 0]
    ends = [worker.log.read_text().splitlines()[-1] for worker in workers]
    assert all("ingest stopped" in end and "messages=0" not in end for end in ends), ends
    store = SqliteStore(tmp_path / "series.db")
    for gateway in gateways:
        assert gateway.outcomes == dict.fromkeys(SEQS, "stored")
        found = await store.read(gateway.name, "road-1", "depth", start_ms=0, end_ms=STARTED_MS, limit=1000)
        assert found == sorted((readings_of(seq)[0] for seq in SEQS), key=lambda reading: reading.taken_at)
    await store.close()


async def test_a_second_one_that_does_not_share_is_refused(
    start_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """Without shared: true a second process would take everything twice: it ends at once and says what to change."""
    config = await set_up(tmp_path, start_mosquitto().port, shared=False)
    async with asyncio.timeout(60), Programs(tmp_path / "logs") as programs:
        first = await programs.start("first", ["cloud", "ingest", "--config", str(config)])
        await until(is_subscribed(first), "subscribes")
        with pytest.raises(DemoError, match="another cloud runs on this folder: stop it, or give both shared: true"):
            await run_once(["cloud", "ingest", "--config", str(config)])
