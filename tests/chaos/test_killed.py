"""Every part killed with -9 at random moments, the broker's disk wiped, with outages that overlap: nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.havoc import Havoc, prove_floods, wreak
from tests.chaos.neighbourhood import profiles, road_options
from tests.e2e.line import Line
from tests.servers import InfluxDB, Mosquitto

ON_SQLITE = Havoc(span_s=32, outage_s=20, agent=3, cloud=4, broker=4)
ON_INFLUXDB = Havoc(span_s=28, outage_s=20, agent=2, cloud=2, broker=2, store=3)


@pytest.mark.slow
async def test_twenty_kills_lose_nothing(tmp_path: Path, start_mosquitto: Callable[..., Mosquitto], seed: int) -> None:
    """Four agents, their cloud and its store, and the broker die twenty times: the store has what was taken."""
    devices, broker = profiles(roads=1), start_mosquitto()
    async with Line(
        tmp_path, broker_port=broker.port, profiles=devices, gateways=4, device_options=road_options(devices)
    ) as line:
        assert await wreak(line, broker, ON_SQLITE, random.Random(seed)) >= 20
        await prove_floods(line)
        await line.settle()
        await line.prove()


@pytest.mark.slow
async def test_kills_of_influxdb_lose_nothing(
    tmp_path: Path,
    start_mosquitto: Callable[..., Mosquitto],
    start_influxdb: Callable[..., InfluxDB],
    seed: int,
) -> None:
    """The same with InfluxDB, which is killed too and stays away for 20 s."""
    devices, broker, influx = profiles(roads=1), start_mosquitto(), start_influxdb()
    async with Line(
        tmp_path,
        broker_port=broker.port,
        influx=influx,
        profiles=devices,
        gateways=2,
        device_options=road_options(devices),
    ) as line:
        assert await wreak(line, broker, ON_INFLUXDB, random.Random(seed)) >= 11
        await prove_floods(line)
        await line.settle()
        await line.prove()
