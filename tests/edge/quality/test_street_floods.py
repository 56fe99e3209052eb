"""Recorded floods and made-up dry weeks through judge and detector: no flood is hidden, and no car is an event."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from edge.contract.messages import EventState
from edge.contract.readings import Reading
from edge.detect import Detector
from simulators.dry_road import MINUTES_A_DAY, DryRoad, look
from tests.edge.quality.streets import MINUTE_MS, START_MS, Judged, judge
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
