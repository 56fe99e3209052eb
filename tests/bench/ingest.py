"""How many readings a second one batch worker takes from payload to receipt: ``./anlan bench ingest``.

The readings are those of ``./anlan bench wire``: batches of 1,200, taken in groups of 20 (what Mosquitto has in flight
by default), through decoding, registry, ledger, series store (synced to disk) and receipts; only the broker is left
out. InfluxDB is measured where it is installed.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path

from cloud.database import Database, metadata
from cloud.ingest import BatchIngest, Counters
from cloud.receipts import Receipts
from cloud.series import SeriesStore
from cloud.series.influx import InfluxStore
from cloud.series.influx_settings import InfluxSettings
from cloud.series.sqlite import SqliteStore
from edge.contract.clock import SystemClock
from edge.contract.messages import Batch, ClockState, Lane, encode_batch, seal, topic
from tests.bench.wire import simulate
from tests.servers import InfluxDB

GROUP = 20


class Payload:
    """A message of which nothing is left to acknowledge."""

    topic = topic("gw-1", "batch")

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    async def ack(self) -> None:
        """Do nothing."""


def messages() -> list[Payload]:
    """Return an hour of 20 meters as batches."""
    sealed = []
    for seq, readings in enumerate(simulate(random.Random(1)), 1):
        kinds = {reading.device: "electricity_meter" for reading in readings}
        batch = Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)
        sealed.append(Payload(seal(encode_batch(batch), lane=Lane.LIVE, epoch="00" * 8, seq=seq)))
    return sealed


async def rate(store: SeriesStore, folder: Path) -> float:
    """Return readings taken a second."""
    counters = Counters()

    async def everybody(_gateway: str) -> bool:
        return True

    async def nowhere(_topic: str, _payload: bytes) -> None:
        return

    with Database.at(folder / "cloud.db") as database:
        database.write_now(metadata.create_all)
        ingest = BatchIngest(
            series=store,
            database=database,
            is_registered=everybody,
            receipts=Receipts(nowhere),
            clock=SystemClock(),
            counters=counters,
        )
        waiting = messages()
        started = time.perf_counter()
        for first in range(0, len(waiting), GROUP):
            await ingest.take(waiting[first : first + GROUP])
        elapsed = time.perf_counter() - started
    await store.close()
    return counters.readings / elapsed


async def sqlite_rate() -> float:
    """Measure with the SQLite store."""
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as folder:
        return await rate(SqliteStore(Path(folder) / "series.db"), Path(folder))


async def influx_rate() -> float | None:
    """Measure with InfluxDB 1.x, or return None where it is not installed."""
    if InfluxDB.program() is None:
        return None
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as folder:
        server = InfluxDB(Path(folder))
        server.start()
        try:
            server.query("CREATE DATABASE anlan")
            settings = InfluxSettings(url=server.url, database="anlan", api="v1")
            return await rate(InfluxStore(settings), Path(folder))
        finally:
            server.stop()


def main() -> None:
    """Measure both stores; print one JSON line, null for what is not installed."""
    sqlite, influx = asyncio.run(sqlite_rate()), asyncio.run(influx_rate())
    rounded = {
        "sqlite_readings_per_s": round(sqlite),
        "influx_readings_per_s": None if influx is None else round(influx),
    }
    print(json.dumps(rounded))


if __name__ == "__main__":
    main()
