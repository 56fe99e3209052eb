"""Recorded street floods through everything a gateway does with a reading, from the words of its registers on."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest

from edge.backtest import Backtest
from edge.contract.gateway_config import RulesFile
from edge.contract.messages import Event, EventState, Flag
from tests.e2e.floods import FILE, Flood, read_floods

AT, MINUTE = 1_790_000_000_000, 60_000
ROAD = {"WATERLOG.ROAD.2", "WATERLOG.UNDER.CLOSE"}
RULES = {
    "profile": "moxa_e1242_depth",
    "poll_s": 60,
    "rules": [{"class": code} for code in ("WATERLOG.ROAD.1", "WATERLOG.ROAD.2", "WATERLOG.UNDER.CLOSE")],
}


def replayed(flood: Flood) -> tuple[list[Event], int]:
    """Return the revisions of a flood, after an hour of a dry road, and how many of its readings failed."""
    device = RulesFile.model_validate_json(json.dumps(RULES))
    [point] = [one for one in device.device_profile.points if one.name == "depth"]
    run = Backtest(device, point)
    for minute in range(-60, 0):
        run.feed(AT + minute * MINUTE, (0, 1, 0, -1, 2)[minute % 5])
    for second, depth in zip(flood.seconds, flood.depths_mm, strict=True):
        run.feed(AT + second * 1000, depth)
    found = run.end()
    return [revision for event in found.events for revision in event.revisions], found.flags[Flag.FAIL]


def first(times: list[int]) -> int | None:
    return min(times, default=None)


def test_each_flood_is_raised_by_its_second_sample_at_15_cm() -> None:
    """Every sixth of those with 15 cm: confirmed at that sample, of a single one suspected; no reading failed."""
    folder = Path(os.environ.get("ANLAN_DATA", "-"))
    if not (folder / FILE).exists():
        pytest.skip(f"needs recorded series: set ANLAN_DATA to a folder with {FILE}")
    floods = [flood for flood in read_floods(folder) if max(flood.depths_mm) >= 150]
    singles = [flood for flood in floods if second_at_15_cm(flood) is None]
    for flood in [*floods[::6], *singles]:
        revisions, failed = replayed(flood)
        assert failed == 0
        confirmed = [one for one in revisions if one.state not in (EventState.SUSPECT, EventState.WITHDRAWN)]
        assert first([one.updated_at for one in confirmed if one.class_code in ROAD]) == second_at_15_cm(flood)
        assert any({one.class_code, one.suspected_class} & ROAD for one in revisions), flood.sensor


def second_at_15_cm(flood: Flood) -> int | None:
    samples = zip(flood.seconds, flood.depths_mm, strict=True)
    pairs = itertools.pairwise(samples)
    return first([AT + then * 1000 for (_, before), (then, depth) in pairs if min(before, depth) >= 150])
