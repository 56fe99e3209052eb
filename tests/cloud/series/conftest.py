"""An empty database on the shared InfluxDB for each test that asks."""

from itertools import count

import pytest

from cloud.series.influx_settings import InfluxSettings
from tests.servers import InfluxDB

pytest.register_assert_rewrite("tests.cloud.series.suite")

_numbers = count()


@pytest.fixture
def influx_settings(influxdb: InfluxDB) -> InfluxSettings:
    """Where an empty database is."""
    name = f"series_{next(_numbers)}"
    influxdb.query(f'CREATE DATABASE "{name}"')
    return InfluxSettings(url=influxdb.url, database=name, api="v1")
