"""How long the chart of a year takes while readings come in: ``./anlan bench chart [--charts N]``.

A year of readings at one a minute of each of four sensors (2.1 million) lies in the embedded store, not summed up yet.
First all of it is summed up while 10,000 readings a second are written in batches of 200, some of them late. Then one
sensor's year is asked for again and again, from times that are on no hour, through the HTTP API of a real server, with
the same writing beside it. At last all readings but those of half a year are deleted, their hours stay, and the writing
goes on. Printed: what each took, and the times of the writes beside it; the last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import httpx
import structlog
from msgspec import Struct

from cloud.api.services import Services
from cloud.config import ApiConfig
from cloud.database import Database
from cloud.ingest import Counters
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.registry.sign_in import open_session
from cloud.run import Server, server_settings
from cloud.series.retention import Retention
from cloud.series.sqlite import SqliteStore
from cloud.start import keep_out_of_collections, listen
from edge.contract.clock import SteppedClock
from edge.contract.messages import Batch, ClockState, Flag, Reading

NOW = 1_795_651_200_000
MINUTE_MS, DAY_MS = 60_000, 86_400_000
YEAR_MS = 365 * DAY_MS
SENSORS = 4
SINGLE_DAYS = 180
READINGS_PER_S = 10_000
PORT = 18_471
REGISTRY = {
    "streets": [
        {
            "code": "street",
            "name": "城西街道",
            "communities": [
                {"code": "community", "name": "和平社区", "grids": [{"code": "grid-1", "name": "第一网格"}]}
            ],
        }
    ],
    "sites": [{"code": "site-1", "name": "和平路", "grid": "grid-1", "address": "和平路 1 号"}],
    "gateways": [
        {
            "id": "gw-1",
            "name": "网关",
            "site": "site-1",
            "devices": [{"id": f"road-{n}", "name": f"积水 {n}", "site": "site-1"} for n in range(SENSORS)],
        }
    ],
    "people": [{"login": "zhao", "name": "赵敏", "roles": ["operator"]}],
}
_FILL = """
WITH RECURSIVE times(at) AS (SELECT ?2 UNION ALL SELECT at + ?4 FROM times WHERE at + ?4 < ?3)
INSERT INTO readings (series, taken_at, value, flag, tests)
SELECT ?1, at, 100.0 + ((at / 60000) * 7919 + ?1 * 104729) % 1000 / 10.0, 1, 0 FROM times
"""


class Ingest(Struct):
    """Batches that are written one after the other until it is stopped, and how long each took, in ms."""

    store: SqliteStore
    took_ms: list[float] = []
    is_stopped: bool = False

    async def run(self) -> None:
        """Write; one batch in ten is late, of an hour that is summed up already or will be."""
        dice, at = random.Random(7), NOW
        while not self.is_stopped:
            at += 1000
            late = dice.random() < 0.1
            batch = _batch(dice.randrange(NOW - YEAR_MS, NOW) if late else at)
            began = time.perf_counter()
            await self.store.write([batch])
            took_s = time.perf_counter() - began
            self.took_ms.append(took_s * 1000)
            await asyncio.sleep(max(0, 200 / READINGS_PER_S - took_s))

    def taken(self) -> list[float]:
        """Return what was measured since the last call."""
        taken, self.took_ms = self.took_ms, []
        return taken


def main() -> int:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(prog="./anlan bench chart", description=__doc__)
    parser.add_argument("--charts", type=int, default=200, help="how many are asked for")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as folder:
        return asyncio.run(_run(Path(folder), arguments.charts))


async def _run(folder: Path, charts: int) -> int:
    database = Database.at(folder / "cloud.db")
    database.write_now(migrate)
    database.write_now(lambda c: load_registry(c, RegistryFile.model_validate_json(json.dumps(REGISTRY))))
    readings = await _fill(folder / "series.db")
    print(f"{readings:,} readings, {(folder / 'series.db').stat().st_size / 2**20:.0f} MiB", flush=True)
    store = SqliteStore(folder / "series.db", singles=Retention(SINGLE_DAYS, SteppedClock(NOW)))
    server = _server(folder, database, store)
    ingest = Ingest(store)
    writing = asyncio.create_task(ingest.run())
    began = time.perf_counter()
    await store.sum_up(until_ms=NOW)
    summing = ingest.taken()
    print(f"summed up in {time.perf_counter() - began:.1f} s, beside it {_said(summing)}", flush=True)
    took = await _charts(server, database, charts)
    charting = ingest.taken()
    print(f"charts: {_said(took)}; beside them {_said(charting)}", flush=True)
    began = time.perf_counter()
    thinned = await store.forget_expired()
    thinning = ingest.taken()
    print(
        f"{thinned:,} readings thinned in {time.perf_counter() - began:.1f} s, beside it {_said(thinning)}", flush=True
    )
    ingest.is_stopped = True
    await writing
    await store.close()
    database.close()
    p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[-1]
    pause = max(*summing, *charting, *thinning)
    found = {"chart_year_p50_ms": p50, "chart_year_p99_ms": p99, "longest_write_pause_ms": pause}
    print(json.dumps({name: round(value, 1) for name, value in found.items()}))
    return 0


def _said(took_ms: Sequence[float]) -> str:
    p99 = statistics.quantiles(took_ms, n=100)[-1]
    return (
        f"{len(took_ms):,}: median {statistics.median(took_ms):.1f} ms, p99 {p99:.1f} ms, longest {max(took_ms):.1f} ms"
    )


async def _fill(path: Path) -> int:
    """Write a year by plain SQL, because as batches it would take minutes; return how many readings there are."""
    store = SqliteStore(path)
    await store.write([_batch(NOW)])
    await store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for (series,) in connection.execute("SELECT id FROM series WHERE point = 'depth'").fetchall():
            connection.execute(_FILL, (series, NOW - YEAR_MS, NOW, MINUTE_MS))
            connection.commit()
        (count,) = connection.execute("SELECT count(*) FROM readings").fetchone()
    return int(count)


def _batch(at_ms: int) -> Batch:
    """Return a batch of 200 readings, ten points of each sensor, a second apart."""
    readings = [
        Reading(f"road-{sensor}", point, at_ms + second * 1000, 150.0 + second, Flag.PASS)
        for sensor in range(SENSORS)
        for point in ("depth", *(f"level_{n}" for n in range(9)))
        for second in range(5)
    ]
    kinds = {f"road-{sensor}": "waterlogging_sensor" for sensor in range(SENSORS)}
    return Batch.of(readings, gateway="gw-1", config_hash="ab", clock=ClockState.SYNCHRONISED, kinds=kinds)


def _server(folder: Path, database: Database, store: SqliteStore) -> Server:
    clock = SteppedClock(NOW)
    services = Services(
        database=database, series=store, clock=clock, counters=Counters(), blobs_folder=folder / "blobs"
    )
    server = Server(server_settings(services))
    keep_out_of_collections()
    return server


async def _charts(server: Server, database: Database, charts: int) -> list[float]:
    """Ask a real server for the year again and again; return how long each took, from request to last byte, in ms."""
    secret = database.write_now(lambda c: open_session(c, "zhao", agent="bench", now_ms=NOW))
    with listen(ApiConfig(port=PORT)) as api_socket:
        serving = asyncio.create_task(server.serve(sockets=[api_socket]))
        try:
            return await asyncio.to_thread(_ask, charts, {"Cookie": f"anlan={secret}"})
        finally:
            server.should_exit = True
            with suppress(asyncio.CancelledError):
                await serving


def _ask(charts: int, headers: dict[str, str]) -> list[float]:
    dice, took = random.Random(11), []
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", headers=headers) as client:
        for number in range(charts + 3):
            start = NOW - YEAR_MS - dice.randrange(DAY_MS)
            span = {"from": start, "to": start + YEAR_MS}
            began = time.perf_counter()
            answer = client.get(
                "/api/v1/chart", params={"gateway": "gw-1", "device": "road-0", "point": "depth", **span}
            )
            elapsed_ms = (time.perf_counter() - began) * 1000
            if answer.status_code != 200 or not answer.json()["parts"]:
                raise SystemExit(f"/api/v1/chart: answered {answer.status_code}: {answer.text[:200]}")
            if number >= 3:  # the first ones open the connection and read the files of classes
                took.append(elapsed_ms)
    return took


if __name__ == "__main__":
    sys.exit(main())
