"""Readings of households, kept apart from all others: the two stores together do what every store does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloud.series import Expected, MisconfiguredError, SeriesStore
from cloud.series.config import SeriesConfig, household_settings, influx_settings, open_series
from cloud.series.influx import InfluxStore
from cloud.series.influx_settings import InfluxSettings
from cloud.series.influx_setup import set_up
from cloud.series.routed import RoutedStore
from cloud.series.sqlite import SqliteStore
from edge.contract.messages import Reading
from tests.cloud.series.suite import MINUTE, NOON, SeriesStoreSuite, batch_of, read_all
from tests.servers import InfluxDB

HOME = "hh-k3v7q2mxpa4t"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RoutedStore]:
    """An empty store, in which the meters of the suite are at home."""
    parts = SqliteStore(tmp_path / "series.db"), SqliteStore(tmp_path / "households.db")
    store = RoutedStore(*parts, belongs=lambda device: device.startswith("meter"))
    yield store
    await store.close()


class TestRoutedStore(SeriesStoreSuite):
    """All that every store must do."""


async def test_answers_come_in_the_order_of_the_question(store: RoutedStore) -> None:
    """Points of both stores are covered in the order asked for, and what they hold is listed as one."""
    await store.write(
        [
            batch_of(Reading("meter-1", "voltage", NOON, 1.0), Reading("road-3", "depth", NOON, 2.0)),
            batch_of(Reading("a-road", "depth", NOON, 3.0)),
        ]
    )
    asked = [("meter-2", "voltage"), ("road-3", "depth"), ("meter-1", "voltage"), ("a-road", "depth")]
    expected = [Expected(device, point, MINUTE) for device, point in asked]
    covered = await store.coverage("gw-1", expected, start_ms=NOON, end_ms=NOON + MINUTE, slot_ms=MINUTE)
    assert [(one.device, one.point) for one in covered] == asked
    assert [len(one.slots) for one in covered] == [0, 1, 1, 1]
    assert [one.device for one in await store.series()] == ["a-road", "meter-1", "road-3"]
    assert [one.device for one in await store.last_heard("gw-1")] == ["a-road", "meter-1", "road-3"]
    [batch] = await store.read_span(start_ms=NOON, end_ms=NOON + 1)
    assert set(batch.kinds) == {"a-road", "meter-1", "road-3"}


async def write_mixed(store: SeriesStore) -> None:
    """Write readings of a household and of others in one batch."""
    await store.write([batch_of(Reading(HOME, "voltage", NOON, 1.0), Reading("road-3", "depth", NOON, 2.0))])
    assert [reading.value for reading in await read_all(store, "gw-1", HOME, "voltage")] == [1.0]
    await store.close()


async def test_a_household_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Which file a reading is in is decided by its device's id alone; an id that was cut short counts as a home's."""
    await write_mixed(open_series(SeriesConfig(), tmp_path))
    store = open_series(SeriesConfig(), tmp_path)
    await store.write([batch_of(Reading("hh-short", "voltage", NOON, 1.0))])
    await store.close()
    for name, devices in (("series.db", ["road-3"]), ("households.db", [HOME, "hh-short"])):
        alone = SqliteStore(tmp_path / name)
        assert [one.device for one in await alone.series()] == devices
        await alone.close()


async def test_a_household_has_a_database_of_its_own(
    influxdb: InfluxDB, influx_settings: InfluxSettings, tmp_path: Path
) -> None:
    """On an InfluxDB too; one that was not made yet is named, with what makes it, and nothing of the home is stored."""
    config = SeriesConfig(engine="influx", url=influxdb.url, database=influx_settings.database)
    homes = household_settings(config)
    assert (homes.database, homes.retention_days) == (f"{influx_settings.database}_households", 90)
    store = open_series(config, tmp_path)
    with pytest.raises(MisconfiguredError, match=f'not found: "{homes.database}": .* ./anlan cloud init creates it'):
        await write_mixed(store)
    await store.close()
    assert "created: readings are kept for 90 days" in await set_up(homes, may_shorten=False)
    await set_up(replace(homes, retention_days=None), may_shorten=False)  # the readings of tests may be of any time
    await write_mixed(open_series(config, tmp_path))
    for settings, devices in ((influx_settings_of(config), ["road-3"]), (homes, [HOME])):
        alone = InfluxStore(settings)
        assert [one.device for one in await alone.series()] == devices
        await alone.close()


def influx_settings_of(config: SeriesConfig) -> InfluxSettings:
    """Return the settings of the database of all others."""
    return influx_settings(config)
