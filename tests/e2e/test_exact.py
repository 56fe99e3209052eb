"""Registers to InfluxQL on real servers: the same values, times and flags, and flagged readings where DESIGN says."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

import httpx

from edge.contract.messages import Flag, Test
from tests.e2e.line import Line
from tests.e2e.waiting import until
from tests.servers import InfluxDB, Mosquitto

# Values that lose something in careless hands: long fractions, single precision's limits, a counter near its end.
VOLTAGES = [230.1, 119.99998474121094, 1.1754943508222875e-38, 400 / 3]
ENERGY_WH = [9_999_999, 10_000_001, 10_000_007, 10_000_019]


async def test_what_is_served_is_what_influxql_gives_back(
    tmp_path: Path, mosquitto: Mosquitto, influxdb: InfluxDB
) -> None:
    """Floats come back bit for bit, counters with every digit, each at the time and with the flag of the journal."""
    profiles = {"meter-1": "eastron_sdm630", "meter-2": "chint_dtsu666", "road-1": "moxa_e1242_depth"}
    async with Line(tmp_path, broker_port=mosquitto.port, influx=influxdb, profiles=profiles) as line:
        [gateway] = line.gateways
        meter, road = gateway.devices["meter-1"], gateway.devices["road-1"]
        for voltage, energy in zip(VOLTAGES, ENERGY_WH, strict=True):
            meter.set("voltage_l1", voltage)
            meter.set("energy_import_total", energy)
            wanted = {meter.get("voltage_l1"), meter.get("energy_import_total")}
            await until(partial(_holds, line, wanted), f"{wanted} taken")
        road.set("depth", 2500.0)  # beyond the 2 m that this probe can measure
        await until(lambda: any(row.value == 2500.0 for row in line.taken()), "a failed depth")
        road.set("depth", None)
        gateway.devices["meter-2"].silent = True
        missing = {"road-1": Test.SENTINEL, "meter-2": Test.NO_ANSWER}
        await until(
            lambda: missing.items() <= {row.device: row.tests for row in line.taken() if row.flag == 9}.items(),
            "missing readings of both kinds",
        )
        await line.settle()
        await line.prove()

        served = {(point, value) for device in gateway.devices.values() for _, point, value in device.served}
        unflagged = {(row.point, row.value) for row in await line.stored() if row.flag == Flag.PASS}
        assert unflagged <= served
        assert {value for point, value in unflagged if point == "energy_import_total"} >= set(ENERGY_WH)

        # Failed values lie in a field of their own, so that a plain mean is never wrong; a missing one has no value.
        fields = _waterlogging_points(influxdb, line.database)
        failed = [point for point in fields if point.get("depth_failed") is not None]
        assert failed
        assert all((p["depth_failed"], p["depth_flag"], p["depth"]) == (2500.0, 4, None) for p in failed)
        absent = [point for point in fields if point.get("depth_flag") == Flag.MISSING]
        assert absent
        assert all(p["depth"] is None and p["depth_failed"] is None for p in absent)


def _holds(line: Line, wanted: Collection[object]) -> bool:
    return set(wanted) <= {row.value for row in line.taken()}


def _waterlogging_points(influx: InfluxDB, database: str) -> list[dict[str, object]]:
    query = {"db": database, "epoch": "ms", "q": "SELECT * FROM waterlogging_sensor"}
    answer = httpx.get(f"{influx.url}/query", params=query, timeout=30, trust_env=False).json()
    [series] = answer["results"][0]["series"]
    return [dict(zip(series["columns"], values, strict=True)) for values in series["values"]]
