"""`cloud check`: tries what the configuration names, and says of each part whether it can be used."""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from cloud.config import CloudConfig
from cloud.database import DatabaseError
from cloud.run import StartError, is_absent, listen, lock_folder, open_database
from cloud.series import SeriesError
from cloud.series.config import influx_settings, open_series
from edge.contract import mqtt
from edge.contract.program import command

Say = Callable[[str], object]


async def check_all(config: CloudConfig, say: Say) -> int:
    """Check every part, saying one line for each; return how many cannot be used."""
    parts: list[tuple[str, Callable[[CloudConfig], Awaitable[str]]]] = [
        ("database", _check_database),
        ("broker", _check_broker),
        ("series", _check_series),
        ("api", _check_api),
    ]
    faults = 0
    for name, check in parts:
        try:
            say(f"{name}: ok, {await check(config)}")
        except (StartError, DatabaseError, SeriesError, mqtt.MqttError) as error:
            say(f"{name}: fault, {error}")
            faults += 1
    return faults


async def create_series_database(config: CloudConfig) -> str:
    """Create the InfluxDB database where it is not there yet; return what was done. Raises SeriesError."""
    if config.series.engine != "influx":
        return "series: a file in data_dir, made when the cloud first runs"
    from cloud.series.influx import create_database  # noqa: PLC0415 -- as in open_series

    await create_database(influx_settings(config.series))
    return f"series: InfluxDB {config.series.url} has the database {config.series.database}"


async def _check_database(config: CloudConfig) -> str:
    with open_database(config) as database:
        return str(database)


async def _check_broker(config: CloudConfig) -> str:
    async with mqtt.connect(config.broker, client_id=f"anlan-cloud-check-{secrets.token_hex(4)}"):
        return config.broker.address


async def _check_series(config: CloudConfig) -> str:
    if config.series.engine == "sqlite" and is_absent(config):
        raise StartError(f"not made yet: run {command('cloud', 'init')}")
    series = open_series(config.series, config.data_dir)
    try:
        await series.series("none")
    finally:
        await series.close()
    return config.series.url or str(config.data_dir / "series.db")


async def _check_api(config: CloudConfig) -> str:
    place = f"{config.api.host}:{config.api.port}"
    try:
        with listen(config.api):
            return f"{place} is free"
    except StartError as error:
        if _is_running(config.data_dir):
            return f"{place} is taken, as it should be: a cloud runs on {config.data_dir}"
        raise StartError(str(error)) from error


def _is_running(folder: Path) -> bool:
    try:
        with lock_folder(folder, shared=False):
            return False
    except FileNotFoundError:
        return False
    except StartError:
        return True
