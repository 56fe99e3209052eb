"""What the series stores hold, asked from the stores themselves and not through our own code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx

from simulators.demo.proof import Row
from tests.servers import InfluxDB


def read_sqlite(file: Path) -> Iterator[Row]:
    """Read everything that the embedded store's file holds, also while the cloud writes to it."""
    query = (
        "SELECT gateway, device, point, taken_at, value, flag, tests FROM readings JOIN series ON series.id = series"
    )
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
        yield from (Row(*row) for row in store.execute(query))


def read_influx(influx: InfluxDB, database: str) -> Iterator[Row]:
    """Read everything that a database holds with plain InfluxQL, by DESIGN's rules for fields and flags."""
    query = {"db": database, "epoch": "ms", "q": 'SELECT * FROM /.*/ GROUP BY "gateway", "device"'}
    answer = httpx.get(f"{influx.url}/query", params=query, timeout=60, trust_env=False).json()
    for series in answer["results"][0].get("series", []):
        gateway, device = series["tags"]["gateway"], series["tags"]["device"]
        for values in series["values"]:
            fields = {name: value for name, value in zip(series["columns"], values, strict=True) if value is not None}
            at_ms = fields.pop("time")
            for point in {_point_of(name) for name in fields}:
                flag = fields.get(f"{point}_flag", 1)
                value = fields.get(f"{point}_failed" if flag == 4 else point)
                yield Row(gateway, device, point, at_ms, value, flag, fields.get(f"{point}_tests", 0))


def _point_of(field: str) -> str:
    for ending in ("_failed", "_flag", "_tests"):
        field = field.removesuffix(ending)
    return field
