"""What a backtest shows is what the same rules raise live: one river through the whole line and through the command."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
import os
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from cloud.workorders.tables import event_revisions
from edge.backtest import Backtest
from edge.contract.gateway_config import load_gateway_config
from edge.contract.messages import Event
from tests.e2e.line import GATEWAY
from tests.e2e.replay import open_replay
from tests.servers import Mosquitto

START_MS = 1_767_225_600_000  # 2026-01-01
QUARTER_MS = 900_000
RECORDED = "lro_stage_MainStreet2019.csv.gz"
PROFILE, POINT = "generic_qdy30a", "water_level"


def made_river() -> list[float]:
    """Three days of a river that rises over both levels and falls, with noise, a spike and a sensor that sticks."""
    noise = random.Random(5)
    river = [900 + 700 * math.exp(-(((n - 110) / 30) ** 2)) + noise.gauss(0, 3) for n in range(288)]
    river[40] = 2400
    river[200:206] = [river[200]] * 6
    return river


def recorded_river() -> list[float]:
    """The eleven days of spring in which the recorded river is highest, in mm."""
    folder = os.environ.get("ANLAN_DATA")
    if not folder or not (Path(folder) / RECORDED).exists():
        pytest.skip(f"needs recorded series: set ANLAN_DATA to a folder with {RECORDED}")
    with gzip.open(Path(folder) / RECORDED, "rt", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["stage_raw_cm"]]
    spring = [row for row in rows if "2019-05-11" <= row["timestamp"] < "2019-05-22"]
    return [10 * float(row["stage_raw_cm"]) for row in spring]


@pytest.mark.parametrize(("river", "warn", "guar"), [(made_river, 1200, 1450), (recorded_river, 950, 1040)])
async def test_a_backtest_shows_what_the_line_raises(
    tmp_path: Path, mosquitto: Mosquitto, river: Any, warn: float, guar: float
) -> None:
    """Every revision of every event is the same field by field, but for the random id."""
    samples = [(START_MS + (n + 1) * QUARTER_MS, value) for n, value in enumerate(river())]
    rules: list[dict[str, Any]] = [
        {"class": "RIVER.WARN", "threshold": warn, "clear": warn - 20},
        {"class": "RIVER.GUAR", "threshold": guar},
        {"class": "RIVER.RISE", "threshold": 40, "over_s": 3600},
    ]
    async with open_replay(
        tmp_path, broker_port=mosquitto.port, profile=PROFILE, rules=rules, start_ms=START_MS
    ) as replay:
        for at_ms, value in samples:
            await replay.sample(at_ms, {POINT: value})
        await replay.settle()
        bodies = await replay.database.read(lambda c: list(c.scalars(select(event_revisions.c.body))))
    live = [msgspec.json.decode(body, type=Event) for body in bodies]
    device = load_gateway_config(tmp_path / "gateway.yaml").devices[0]
    [point] = [one for one in device.device_profile.points if one.name == POINT]
    run = Backtest(device, point, gateway=GATEWAY)
    for at_ms, value in samples:
        run.feed(at_ms, value)
    shown = [revision for event in run.end().events for revision in event.revisions]
    assert in_order(live) == in_order(shown)
    assert {event.class_code for event in live} >= {"RIVER.WARN", "RIVER.GUAR"}


def in_order(revisions: list[Event]) -> list[list[dict[str, Any]]]:
    """Group revisions by event, and events by when and where they began, without the ids."""
    by_id = sorted(revisions, key=lambda event: (event.id, event.revision))
    groups = [list(group) for _, group in itertools.groupby(by_id, key=lambda event: event.id)]
    plain = [[{**msgspec.to_builtins(event), "id": ""} for event in group] for group in groups]
    return sorted(plain, key=lambda group: (group[0]["began_at"], group[0]["rule"]))
