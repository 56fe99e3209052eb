"""An empty database on the shared InfluxDB for each test that asks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest

from cloud.series.influx_settings import InfluxSettings
from tests.cloud.series.copies import Run, Stores
from tests.servers import InfluxDB

pytest.register_assert_rewrite("tests.cloud.series.suite")

_numbers = count()


@pytest.fixture
def influx_settings(influxdb: InfluxDB) -> InfluxSettings:
    """Where an empty database is."""
    name = f"series_{next(_numbers)}"
    influxdb.query(f'CREATE DATABASE "{name}"')
    return InfluxSettings(url=influxdb.url, database=name, api="v1")


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    """Opens stores, which are closed at the end."""
    async with AsyncExitStack() as stack:
        yield Stores(tmp_path, stack)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A copy from one store into another, with a journal in the test's folder."""
    return Run(tmp_path)
