"""Recorded floods and made-up dry weeks through judge and detector: no flood is hidden, and no car is an event."""

from __future__ import annotations

import itertools
import math
import os
import random
from pathlib import Path

import pytest

from edge.contract.messages import EventState
from edge.contract.readings import Reading
from edge.detect import Detector
from edge.quality.street import StreetJudge
from simulators.dry_road import MINUTES_A_DAY, DryRoad, look
from tests.edge.quality.streets import MINUTE_MS, START_MS, Judged, judge, noise
from tests.evaluate.hidden import RULE, Hidden, look_for_hidden
from tests.evaluate.series import FLOODS, read_floods

WEEK = 7 * MINUTES_A_DAY
BUSY = DryRoad(blips=6, pulses=2, boxes=4)


def states(depths: list[float], judged: Judged) -> list[EventState]:
    """The revisions of events that a gateway makes of the samples."""
    ids = itertools.count(1)
    detector = Detector([RULE], gateway="gw-1", device="road-1", new_id=lambda: f"{next(ids):032x}")
    readings = [
        Reading("road-1", "depth", START_MS + minute * MINUTE_MS, depth, said.flag, said.tests)
        for minute, (depth, said) in enumerate(zip(depths, judged.at_once, strict=True))
    ]
    return [event.state for event in map(detector.feed, readings) if event]


@pytest.mark.parametrize(
    "road",
    [
        BUSY,
        BUSY._replace(cut_mm=0.0),
        BUSY._replace(cut_mm=10.0),
        BUSY._replace(noise_mm=0.5),
        BUSY._replace(noise_mm=4.0),
        DryRoad(snow=True),
    ],
    ids=["noise", "no negatives", "cut off", "quiet", "loud", "snow"],
)
def test_a_dry_week_confirms_nothing(road: DryRoad) -> None:
    """Blips, pulse chains, boxes and snow, also over 15 cm, raise suspects at most, and each is withdrawn."""
    sights = list(look(road, WEEK, seed=1))
    depths = [sight.depth_mm for sight in sights]
    judged = judge(depths)
    revisions = states(depths, judged)
    assert set(revisions) <= {EventState.SUSPECT, EventState.WITHDRAWN}
    assert revisions[1::2] == [EventState.WITHDRAWN] * (len(revisions) // 2)
    assert road.snow or revisions
    dry = [number for number, sight in enumerate(sights) if sight.kind == "noise"]
    assert 1000 * len(set(dry) & set(judged.flagged)) <= 0.5 * len(dry)
    boxes = {number for number, sight in enumerate(sights) if sight.kind == "box"}
    assert len(boxes & set(judged.flagged)) >= 0.98 * len(boxes)


def test_a_blip_is_withdrawn_at_the_next_sample() -> None:
    """One sample of 40 cm on a dry road: suspect, and withdrawn a minute later."""
    depths = [*[0.0] * 60, 400.0, 0.0, 0.0]
    assert states(depths, judge(depths)) == [EventState.SUSPECT, EventState.WITHDRAWN]


def test_no_recorded_flood_is_hidden() -> None:
    """None of their points fails, and each event is raised by its second sample; one point in 2000 is suspect."""
    folder = os.environ.get("ANLAN_DATA")
    if not folder or not (Path(folder) / FLOODS).exists():
        pytest.skip(f"needs recorded series: set ANLAN_DATA to a folder with {FLOODS}")
    found: Hidden = look_for_hidden(read_floods(Path(folder)), seed=1)
    assert (found.failed, found.not_raised, found.suspects_not_raised) == (0, 0, 0)
    assert found.high > 300
    assert found.suspected <= found.points / 2000


@pytest.mark.parametrize(
    ("name", "every_s", "depths"),
    [
        ("fills within one long interval", 300, [300.0] * 60),
        ("fills slower and slower", 600, [300 * (1 - math.exp(-at * 5)) for at in range(1, 60)]),
        ("creeps on after it came", 60, [300 + 1.0 * minute for minute in range(240)]),
        ("creeps on by less than a digit a sample", 60, [float(round(300 + 0.4 * minute)) for minute in range(240)]),
    ],
)
def test_water_that_came_at_once_is_confirmed(name: str, every_s: int, depths: list[float]) -> None:
    """What comes in a long interval may be water, and nothing but water grows where it stands."""
    one = StreetJudge(unit="mm", interval_ms=1000 * every_s)
    dry = noise(24 * 60 * 60 // every_s)
    seconds = [every_s * number for number in range(len(dry) + len(depths))]
    judged = judge(dry + depths, one, seconds=seconds)
    assert EventState.CONFIRMED in states(dry + depths, judged), name


def test_a_car_that_stands_for_a_day_is_no_water() -> None:
    """It does not grow, whatever its roof does to the sound."""
    dry, rng = noise(600), random.Random(5)
    depths = dry + [300 + rng.gauss(0, 3) for _ in range(24 * 60)]
    assert EventState.CONFIRMED not in states(depths, judge(depths))
