"""How long the pages take on the server with a year behind them: ``./anlan bench pages [--rounds N]``.

2,000 sensors, 200 gateways, 5,000 orders and a year of readings (hourly, 20 sensors once a minute) in the embedded
stores. Each page is asked for several times, as who may see it, through the whole application in this process: from the
request to the last byte. Printed per page: median, 95th percentile and size; the last line is JSON with the slowest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import structlog
from msgspec import Struct

from cloud.api.app import create_app
from cloud.api.services import Services
from cloud.database import Database
from cloud.ingest import Counters
from cloud.registry.sign_in import open_session
from cloud.series.sqlite import SqliteStore
from cloud.start import keep_out_of_collections
from cloud.web.site import add_pages
from cloud.workorders.orders import code_of
from edge.contract.clock import SteppedClock
from tests.bench.year import DAY_MS, ORDERS, YEAR_MS, build, fill_series

NOW = 1_795_651_200_000
SENSOR = "/gateways/gw-000/devices/road-0"
CHART = "/api/v1/chart?gateway=gw-000&device=road-0&point=depth"
PAGES: Sequence[tuple[str, str | None]] = (
    ("/orders", "worker-0"),
    (f"/orders/{code_of(ORDERS)}", "worker-0"),
    (f"/orders/{code_of(ORDERS)}", "zhao"),
    ("/overview", "zhao"),
    ("/map/overview.json", "zhao"),
    ("/board", "zhao"),
    ("/board?stage=finished", "zhao"),
    ("/sensors", "zhao"),
    ("/sensors?state=offline", "zhao"),
    ("/completeness", "zhao"),
    ("/completeness?range=7d", "zhao"),
    ("/completeness?range=30d", "zhao"),
    ("/gateways", "zhao"),
    ("/gateways/gw-000", "zhao"),
    (SENSOR, "zhao"),
    (f"{SENSOR}/depth", "zhao"),
    (f"{SENSOR}/depth?range=1y", "zhao"),
    (f"{CHART}&from={NOW - YEAR_MS}&to={NOW}", "zhao"),
    (f"{CHART}&from={NOW - 30 * DAY_MS}&to={NOW}", "zhao"),
    ("/letters", "zhao"),
    ("/metrics", "zhao"),
    ("/account", "zhao"),
    ("/gateways/new", "sun"),
    ("/gateways/gw-001/live", "sun"),
    ("/sign-in", None),
    ("/case", None),
)


class Timing(Struct, frozen=True):
    """How long one page took, in ms, and how many bytes it sent compressed."""

    path: str
    median_ms: float
    p95_ms: float
    size: int


def main() -> int:
    """Build, measure, print; 1 when a page did not answer."""
    parser = argparse.ArgumentParser(prog="./anlan bench pages", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each page is asked for")
    parser.add_argument("--dir", type=Path, help="keep what is built here, and use it the next time")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as fresh:
        folder: Path = arguments.dir or Path(fresh)
        folder.mkdir(parents=True, exist_ok=True)
        return asyncio.run(_run(folder, arguments.rounds))


async def _run(folder: Path, rounds: int) -> int:
    began = time.monotonic()
    if (folder / "cloud.db").exists():
        database = Database.at(folder / "cloud.db")
    else:
        print("building a year: orders, gateways …", flush=True)
        database = build(folder, NOW)
    if not (folder / "series.db").exists():
        print("building a year: readings …", flush=True)
        print(f"{await fill_series(folder, NOW):,} readings after {time.monotonic() - began:.0f} s", flush=True)
    timings = await _measure(folder, database, rounds)
    for each in sorted(timings, key=lambda timing: -timing.p95_ms):
        print(f"{each.p95_ms:8.1f} ms p95 {each.median_ms:8.1f} ms median {each.size / 1024:8.1f} KiB  {each.path}")
    slowest = max(timings, key=lambda timing: timing.p95_ms)
    print(json.dumps({"p95_ms": round(slowest.p95_ms, 1), "slowest": slowest.path}))
    return 0 if len(timings) == len(PAGES) else 1


async def _measure(folder: Path, database: Database, rounds: int) -> list[Timing]:
    series = SqliteStore(folder / "series.db")
    await series.sum_up(until_ms=NOW)
    clock = SteppedClock(NOW)
    services = Services(
        database=database, series=series, clock=clock, counters=Counters(), blobs_folder=folder / "blobs"
    )
    app = create_app(services)
    add_pages(app)
    keep_out_of_collections()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    timings = []
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for path, login in PAGES:
            timing = await _time(client, path, _cookie(database, login), rounds)
            if timing is not None:
                timings.append(timing)
    await series.close()
    database.close()
    return timings


def _cookie(database: Database, login: str | None) -> dict[str, str]:
    if login is None:
        return {}
    secret = database.write_now(lambda c: open_session(c, login, agent="bench", now_ms=NOW))
    return {"Cookie": f"anlan={secret}"}


async def _time(client: httpx.AsyncClient, path: str, headers: dict[str, str], rounds: int) -> Timing | None:
    took, size = [], 0
    for number in range(rounds + 1):
        began = time.perf_counter()
        async with client.stream("GET", path, headers=headers) as answer:
            size = sum([len(part) async for part in answer.aiter_raw()])
        if answer.status_code != 200:
            print(f"{path}: answered {answer.status_code}", file=sys.stderr)
            return None
        if number:  # the first one compiles the template
            took.append((time.perf_counter() - began) * 1000)
    p95 = statistics.quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
    return Timing(path, statistics.median(took), p95, size)


if __name__ == "__main__":
    sys.exit(main())
