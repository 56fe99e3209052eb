"""Recorded days through the real line: floods become orders, one each; a river reads back as it was."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.contract.readings import Reading
from simulators.scenarios.rainy_day import DEPTH_NOISE_MM
from tests.e2e.floods import FILE, count_events, read_floods
from tests.e2e.line import GATEWAY
from tests.e2e.replay import ROAD, ROAD_RULES, open_replay, replay_flood
from tests.servers import Mosquitto

START_MS = 1_767_225_600_000  # 2026-01-01
RIVER = "lro_stage_MainStreet2019.csv.gz"
LATER_MS = 4383 * 86_400_000  # twelve years: a clock that shows a year before 2020 is one that nobody has set


def data_folder(file: str) -> Path:
    """The folder of recorded series that ``ANLAN_DATA`` names; without one the test skips."""
    folder = os.environ.get("ANLAN_DATA")
    if not folder or not (Path(folder) / file).exists():
        pytest.skip(f"needs recorded series: set ANLAN_DATA to a folder with {file}")
    return Path(folder)


async def test_each_recorded_flood_opens_one_order(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """Of 20 recorded floods, each event that two samples confirm opens one order; a single sample opens none."""
    floods = read_floods(data_folder(FILE))
    single = [flood for flood in floods if count_events(flood) == 0][:2]
    chosen = single + random.Random(1).sample([flood for flood in floods if count_events(flood) > 0], 18)
    async with open_replay(
        tmp_path, broker_port=mosquitto.port, profile=ROAD, rules=ROAD_RULES, start_ms=START_MS
    ) as replay:
        spans = [await replay_flood(replay, flood) for flood in chosen]
        await replay.settle()
        orders, events = await replay.orders(), await replay.events()
        suspects, confirmed = await replay.was_ever("suspect"), await replay.was_ever("confirmed")
    for flood, (first, last) in zip(chosen, spans, strict=True):
        assert sum(first <= order.observed_at <= last for order in orders) == count_events(flood), flood.sensor
        seen = {event.id for event in events if first <= event.began_at <= last}
        assert seen & suspects, f"{flood.sensor}: never suspected"
        assert len(seen & confirmed) == count_events(flood)


async def test_dry_days_open_none(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """30 dry days, every 5 minutes, with the noise that the simulated probe states, raise nothing."""
    noise = random.Random(7)
    async with open_replay(
        tmp_path, broker_port=mosquitto.port, profile=ROAD, rules=ROAD_RULES, start_ms=START_MS
    ) as replay:
        for sample in range(1, 30 * 288 + 1):
            await replay.sample(START_MS + sample * 300_000, {"depth": noise.gauss(0, DEPTH_NOISE_MM)})
        await replay.settle()
        assert await replay.events() == []
        assert await replay.orders() == []


async def test_recorded_river_reads_back_identical(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """A month of recorded river stage comes back from the store at the profile's resolution, sample for sample."""
    with gzip.open(data_folder(RIVER) / RIVER, "rt", encoding="utf-8") as file:
        rows = list(itertools.islice(csv.DictReader(file), 30 * 96))
    taken = [(_ms(row["timestamp"]), float(row["stage_raw_cm"])) for row in rows if row["stage_raw_cm"]]
    recorded = [(at_ms + LATER_MS, stage_cm) for at_ms, stage_cm in taken]
    async with open_replay(
        tmp_path, broker_port=mosquitto.port, profile="generic_qdy30a", rules=[], start_ms=recorded[0][0] - 1
    ) as replay:
        for at_ms, stage_cm in recorded:
            await replay.sample(at_ms, {"water_level": stage_cm * 10})
        await replay.settle()
        end_ms = recorded[-1][0] + 1
        stored = await replay.store.read(
            GATEWAY, replay.name, "water_level", start_ms=recorded[0][0], end_ms=end_ms, limit=100_000
        )
    assert held(stored, [at_ms for at_ms, _ in recorded]) == [round(stage_cm * 10) for _, stage_cm in recorded]


def held(stored: list[Reading], times: list[int]) -> list[float | None]:
    """The value at each time: what was not sent is what was sent last."""
    at = {reading.taken_at: reading.value for reading in stored}
    values, last = [], None
    for time in times:
        last = at.get(time, last)
        values.append(last)
    return values


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)
