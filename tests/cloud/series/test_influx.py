"""The series store on a real InfluxDB 1.x, and what it says when the server refuses."""

from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from cloud.series import MisconfiguredError, RefusedError, UnavailableError
from cloud.series.influx import InfluxStore, create_database
from cloud.series.influx_settings import InfluxSettings
from edge.contract.messages import Reading
from tests.cloud.series.suite import NOON, SeriesStoreSuite, batch_of, read_all
from tests.servers import InfluxDB


@pytest.fixture
async def store(influx_settings: InfluxSettings) -> AsyncIterator[InfluxStore]:
    """A store on an empty database."""
    store = InfluxStore(influx_settings)
    yield store
    await store.close()


class TestInfluxStore(SeriesStoreSuite):
    """All that every store must do."""


ONE = batch_of(Reading("meter-1", "voltage", NOON, 230.1))


async def test_a_server_that_is_down_can_be_retried(start_influxdb: Callable[..., InfluxDB]) -> None:
    """A server that does not answer is named; the same write succeeds when it is back."""
    server = start_influxdb()
    server.query("CREATE DATABASE anlan")
    store = InfluxStore(InfluxSettings(url=server.url, database="anlan", api="v1"))
    server.kill()
    with pytest.raises(UnavailableError, match=rf"InfluxDB {server.url}: no answer \(.+\): is it running there"):
        await store.write([ONE])
    with pytest.raises(UnavailableError, match="no answer"):
        await store.series()
    server.start()
    await store.write([ONE])
    assert len(await store.series()) == 1
    await store.close()


async def test_a_wrong_database_is_named(influx_settings: InfluxSettings) -> None:
    """Whoever names a database that is not there is told to create it or to correct its name."""
    store = InfluxStore(replace(influx_settings, database="nowhere"))
    sentence = 'database not found: "nowhere": create the database nowhere or correct its name'
    with pytest.raises(MisconfiguredError, match=sentence):
        await store.write([ONE])
    with pytest.raises(MisconfiguredError, match="create the database nowhere or correct its name"):
        await store.series()
    await store.close()


async def test_a_database_is_created_once(influx_settings: InfluxSettings) -> None:
    """Creating a database that is there already is harmless; a bucket is for InfluxDB's own tools, which are named."""
    settings = replace(influx_settings, database=f"{influx_settings.database}_new")
    await create_database(settings)
    store = InfluxStore(settings)
    await store.write([ONE])
    await create_database(settings)
    assert len(await store.series()) == 1
    await store.close()
    with pytest.raises(MisconfiguredError, match="influx bucket create --name"):
        await create_database(replace(settings, api="v2"))


async def test_a_wrong_password_is_said_and_not_shown(start_influxdb: Callable[..., InfluxDB]) -> None:
    """A wrong password is a matter for a person; the message names the user and never the password."""
    server = start_influxdb(admin=("anlan", "right"))
    server.query("CREATE DATABASE anlan")
    right = InfluxSettings(url=server.url, database="anlan", api="v1", username="anlan", password="right")
    store = InfluxStore(replace(right, password="a-guess"))
    with pytest.raises(MisconfiguredError, match="does not let user anlan in: authorization failed") as caught:
        await store.write([ONE])
    assert "a-guess" not in str(caught.value)
    with pytest.raises(MisconfiguredError, match="does not let user anlan in"):
        await store.series()
    await store.close()
    store = InfluxStore(right)
    await store.write([ONE])
    assert await read_all(store, "gw-1", "meter-1", "voltage") == [Reading("meter-1", "voltage", NOON, 230.1)]
    await store.close()


async def test_a_type_conflict_is_refused_with_its_reason(store: InfluxStore) -> None:
    """A point that was a float and comes as an integer is refused, with the field named."""
    await store.write([ONE])
    with pytest.raises(RefusedError, match='field type conflict: input field "voltage"'):
        await store.write([batch_of(Reading("meter-1", "voltage", NOON + 1, 230))])


async def test_readings_older_than_the_retention_are_refused(
    influxdb: InfluxDB, influx_settings: InfluxSettings
) -> None:
    """What the database would throw away at once is refused with its reason, not silently lost."""
    influxdb.query(f'ALTER RETENTION POLICY autogen ON "{influx_settings.database}" DURATION 30d SHARD DURATION 1d')
    store = InfluxStore(influx_settings)
    with pytest.raises(RefusedError, match="points beyond retention policy"):
        await store.write([batch_of(Reading("meter-1", "voltage", 1_000_000_000_000, 230.1))])
    await store.close()
