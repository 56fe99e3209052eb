"""A year of 200 points every 15 minutes, copied from files into InfluxDB and proved: ``./anlan bench series_copy``.

The year is written by the series store itself, then copied and verified by the command that people type, against a real
InfluxDB. After it one reading of the copy is altered, which another comparison must find. Exit code 1 when anything
differs from that.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cloud.series.config import SeriesConfig, open_series
from edge.contract.messages import Batch, ClockState, Flag, Reading
from tests import layout
from tests.conftest import starter
from tests.servers import InfluxDB

DAY_MS, SLOT_MS = 86_400_000, 900_000
START_MS = 1_767_225_600_000  # 2026-01-01
DEVICES, POINTS = 20, ("energy_import_total", *(f"power_l{number}" for number in range(1, 10)))
KINDS = {f"meter-{number:02d}": "electricity_meter" for number in range(DEVICES)}


def day_of(start_ms: int) -> Batch:
    """A day of all points: a counter of 64 bits each device, gauges, and now and then one that failed or is missing."""
    readings = [
        _reading(device, point, number, at)
        for at in range(start_ms, start_ms + DAY_MS, SLOT_MS)
        for device in KINDS
        for number, point in enumerate(POINTS)
    ]
    return Batch.of(readings, gateway="gw-1", config_hash="00", clock=ClockState.SYNCHRONISED, kinds=KINDS)


def _reading(device: str, point: str, number: int, at: int) -> Reading:
    if number == 0:
        return Reading(device, point, at, 2**53 + at // SLOT_MS)
    mixed = (at // SLOT_MS * 7919 + number * 104729 + int(device[-2:]) * 31) % 100_003
    if mixed % 997 == 0:
        return Reading(device, point, at, None, Flag.MISSING, 1)
    return Reading(device, point, at, mixed / 7, Flag.FAIL if mixed % 499 == 0 else Flag.PASS, 2 * (mixed % 499 == 0))


async def write_year(folder: Path, days: int) -> None:
    """Fill the files of `folder`."""
    store = open_series(SeriesConfig(), folder)
    for day in range(days):
        await store.write([day_of(START_MS + day * DAY_MS)])
    await store.close()


async def alter_one(folder: Path, series: SeriesConfig) -> None:
    """Change the last digit of one reading of the copy."""
    store = open_series(series, folder)
    point, at = POINTS[1], START_MS + DAY_MS // 2
    (found,) = await store.read("gw-1", "meter-00", point, start_ms=at, end_ms=at + 1, limit=1)
    assert isinstance(found.value, float)
    changed = Reading("meter-00", point, at, found.value * (1 + 2**-50), found.flag, found.tests)
    await store.write([Batch.of([changed], gateway="gw-1", config_hash="", clock=ClockState.UNKNOWN, kinds=KINDS)])
    await store.close()


def copy(config: Path, *options: str) -> tuple[int, str, float]:
    """Run the command; return its exit code, what it said and how long it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "cloud", "series", "copy", "--config", str(config), *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=layout.ROOT, check=False)
    return done.returncode, done.stdout, time.monotonic() - began


def size_of(folder: Path) -> float:
    """MiB in a folder."""
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20, 1)


def measure(folder: Path, server: InfluxDB, days: int) -> tuple[dict[str, object], bool]:
    """Copy a year; return the figures, and whether all was as it must be."""
    config = folder / "cloud.yaml"
    series = SeriesConfig(engine="influx", url=server.url, database="history")
    config.write_text(f'data_dir: data\nseries: {{engine: influx, url: "{server.url}", database: history}}\n')
    (folder / "data").mkdir()
    asyncio.run(write_year(folder / "data", days))
    for name in ("history", "history_households"):
        server.query(f'CREATE DATABASE "{name}"')
    code, said, seconds = copy(config)
    print(said)
    total = DEVICES * len(POINTS) * days * DAY_MS // SLOT_MS
    copied = re.search(rf"copied: {days} days?, {total:,} readings", said)
    verified = re.search(rf"verified: {days} days?: .*\n  {total:,} readings", said)
    asyncio.run(alter_one(folder / "data", series))
    altered_code, found, again_s = copy(config, "--verify-only")
    print(found)
    named = "2026-01-01 gw-1/meter-00/power_l1: 1 of 96 readings is not the same" in found
    figures: dict[str, object] = {
        "readings": total,
        "days_verified": days if verified else 0,
        "copy_and_verify_s": round(seconds, 1),
        "readings_per_s": round(total / seconds),
        "verify_alone_s": round(again_s, 1),
        "altered_reading_found": named,
        "sqlite_mib": size_of(folder / "data"),
        "influxdb_mib": size_of(server.folder),
    }
    return figures, code == 0 and bool(copied) and bool(verified) and altered_code == 1 and named


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="./anlan bench series_copy")
    parser.add_argument("--days", type=int, default=365)
    days = parser.parse_args().days
    with tempfile.TemporaryDirectory() as folder, starter(InfluxDB) as start:
        figures, is_right = measure(Path(folder), start(), days)
    print(json.dumps(figures))
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
