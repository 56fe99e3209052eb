"""A storm over two clouds that share one PostgreSQL: nothing twice, nothing missing, and a backup that holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.chaos.storm import Scale, open_storm
from tests.cloud import backups
from tests.servers import InfluxDB, Mosquitto, Postgres

SMALL = Scale(agents=2, roads=2, wires=3, devices=4, speed=60)


async def test_a_storm_over_two_clouds(
    tmp_path: Path, postgres: Postgres, start_mosquitto: Callable[..., Mosquitto], influxdb: InfluxDB, seed: int
) -> None:
    """Ten minutes with one cloud killed: one alert and one order a flood, every reading once, and a sound backup."""
    broker = start_mosquitto()
    async with open_storm(tmp_path, SMALL, postgres=postgres, mosquitto=broker, influx=influxdb, seed=seed) as storm:
        await storm.run()
        assert await asyncio.to_thread(storm.faults) == []
    for engine in ("sqlite", "postgresql"):
        target = backups.make_config(tmp_path / engine, engine, postgres)
        await asyncio.to_thread(backups.restore_from, storm.backup_file, target)
        assert await asyncio.to_thread(storm.faults_of_restored, target) == []
