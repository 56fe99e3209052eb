"""A storm over two clouds that share one PostgreSQL: nothing twice, nothing missing, and a backup that holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from cloud.config import CloudConfig
from cloud.database import Database
from tests.chaos.storm import Scale, open_storm
from tests.chaos.storm_proof import inconsistencies
from tests.cloud import backups
from tests.servers import InfluxDB, Mosquitto, Postgres

DAMAGES = (
    "DELETE FROM order_transitions WHERE version = 1",
    "UPDATE orders SET state = 'raised'",
    "UPDATE events SET alert = NULL WHERE state = 'ended'",
    "UPDATE alerts SET firing = 'cause-' || id WHERE firing IS NULL",
    "DELETE FROM event_revisions WHERE state = 'confirmed'",
    "DELETE FROM ledger WHERE lane = 0 AND seq = 1",
    "DELETE FROM ledger WHERE lane = 2",
)
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
        assert await asyncio.to_thread(unnoticed, target) == []


def unnoticed(config: CloudConfig) -> list[str]:
    """Return which of the damages are not found, when each is done to a database and undone again."""
    missed = []
    with Database(config.database) as database, database.engine.connect() as connection:
        for damage in DAMAGES:
            assert connection.exec_driver_sql(damage).rowcount > 0, damage
            if not inconsistencies(connection):
                missed.append(damage)
            connection.rollback()
    return missed
