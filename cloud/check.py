"""`cloud check`: tries what the configuration names, and says of each part whether it can be used."""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

from cloud.config import CloudConfig
from cloud.database import DatabaseError
from cloud.series import SeriesError
from cloud.series.config import HOUSEHOLD_FILE, SERIES_FILE, household_settings, influx_settings
from cloud.series.influx_settings import InfluxSettings
from cloud.series.sqlite import SqliteStore
from cloud.start import StartError, is_absent, listen, lock_folder, open_database
from edge.contract import mqtt
from edge.contract.program import command

Say = Callable[[str], object]


async def check_all(config: CloudConfig, say: Say) -> int:
    """Check every part, saying one line for each; return how many cannot be used."""
    parts: list[tuple[str, Callable[[CloudConfig], Awaitable[str]]]] = [
        ("database", _check_database),
        ("broker", _check_broker),
        ("series", _check_series),
        ("households", _check_households),
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


async def set_up_series(config: CloudConfig, say: Say, *, may_shorten: bool) -> int:
    """Make the databases of readings, or bring them to what is configured; return how many could not be.

    Says one line for each. `may_shorten`: also where readings are deleted by that.
    """
    if config.series.engine == "sqlite":
        say("series, households: files in data_dir, made when the cloud first runs")
        return 0
    from cloud.series import influx_setup  # noqa: PLC0415 -- as in open_series

    faults = 0
    parts = {"series": influx_settings(config.series), "households": household_settings(config.series)}
    for name, settings in parts.items():
        try:
            say(f"{name}: {await influx_setup.set_up(settings, may_shorten=may_shorten)}")
        except SeriesError as error:
            say(f"{name}: fault, {error}")
            faults += 1
    return faults


async def _check_database(config: CloudConfig) -> str:
    with open_database(config) as database:
        return str(database)


async def _check_broker(config: CloudConfig) -> str:
    async with mqtt.connect(config.broker, client_id=f"anlan-cloud-check-{secrets.token_hex(4)}"):
        return config.broker.address


async def _check_series(config: CloudConfig) -> str:
    if config.series.engine == "sqlite":
        return await _check_series_file(config, SERIES_FILE)
    return await _check_influx(influx_settings(config.series))


async def _check_households(config: CloudConfig) -> str:
    if config.series.engine == "sqlite":
        place = await _check_series_file(config, HOUSEHOLD_FILE)
        return f"{place}, readings are kept for {config.series.household.retention_days} days"
    return await _check_influx(household_settings(config.series))


async def _check_influx(settings: InfluxSettings) -> str:
    from cloud.series import influx_setup  # noqa: PLC0415 -- as in open_series

    return await influx_setup.check(settings)


async def _check_series_file(config: CloudConfig, name: str) -> str:
    if is_absent(config):
        raise StartError(f"not made yet: run {command('cloud', 'init')}")
    store = SqliteStore(config.data_dir / name)
    try:
        await store.write([])  # takes the lock, so that it could be written
        await store.series("none")
    finally:
        await store.close()
    return str(store.path)


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
