"""Simulated dry weeks through judge and detector: what passes, stops or lies under a street sensor is no flood.

An event is raised wrongly when it is confirmed; a blip over 15 cm may raise a suspect one, which the next sample
withdraws. Minutes in which nothing is on the road, and that are flagged, are false.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from edge.contract.messages import EventState
from edge.contract.readings import Flag
from simulators.dry_road import MINUTES_A_DAY, NOISE_MM, DryRoad, look
from tests.evaluate.episodes import BAD
from tests.evaluate.hidden import detect
from tests.evaluate.ours import judge_rows
from tests.evaluate.series import LEARN, START_MS, Series, Street

WEEKS = 2
ROADS = (
    DryRoad(),
    DryRoad(cut_mm=10.0),
    DryRoad(blips=6, pulses=2),
    DryRoad(boxes=1.5),
    DryRoad(blips=6, pulses=2, boxes=1.5, cut_mm=10.0),
    DryRoad(snow=True),
)
HARSH: Mapping[str, DryRoad] = {
    "two boxes, one on the other": DryRoad(piles=4),
    "vehicles that rise each minute": DryRoad(climbs=12),
    "traffic jams": DryRoad(jams=3),
    "three times the noise": DryRoad(noise_mm=3 * NOISE_MM, blips=6, pulses=2, boxes=1.5),
    "that noise, cut off": DryRoad(noise_mm=3 * NOISE_MM, blips=6, pulses=2, boxes=1.5, cut_mm=10.0),
    "minutes without samples": DryRoad(lost=8),
}


class Dry(NamedTuple):
    """What became of the dry weeks of all roads."""

    weeks: int = 0
    confirmed: int = 0
    suspected: int = 0
    withdrawn: int = 0
    failed: int = 0  # minutes flagged 4
    noise: int = 0  # scored minutes with nothing on the road
    false: int = 0  # of them


class Harsh(NamedTuple):
    """What became of two weeks that are harsher than users complain of: there is no target, only a limit to know."""

    road: str
    raised: int  # events, suspect at first
    confirmed: int  # of them


def look_at_harsh_weeks(seed: int) -> list[Harsh]:
    """Judge two dry weeks of each kind of harsh road."""
    found = []
    for number, (name, road) in enumerate(HARSH.items()):
        one = _look_at(road, seed * 100 + len(ROADS) + number)
        found.append(Harsh(name, one.suspected, one.confirmed))
    return found


def look_at_dry_weeks(seed: int) -> Dry:
    """Judge two dry weeks of each kind of road."""
    each = [_look_at(road, seed * 100 + number) for number, road in enumerate(ROADS)]
    return Dry(*(sum(counts) for counts in zip(*each, strict=True)))


def _look_at(road: DryRoad, seed: int) -> Dry:
    sights = list(look(road, WEEKS * 7 * MINUTES_A_DAY, seed))
    times = [START_MS + 60_000 * sight.minute for sight in sights]
    series = Series("dry", "street", times, [sight.depth_mm for sight in sights])
    judged = judge_rows(times, series.values, "street", unit="mm")
    states = detect(Street(series, []), judged)
    scored = [
        verdict.flag in BAD
        for sight, verdict in zip(sights, judged.verdicts, strict=True)
        if sight.kind == "noise" and sight.minute >= LEARN * len(sights)
    ]
    return Dry(
        WEEKS,
        states.count(EventState.CONFIRMED),
        states.count(EventState.SUSPECT),
        states.count(EventState.WITHDRAWN),
        sum(verdict.flag == Flag.FAIL for verdict in judged.verdicts),
        len(scored),
        sum(scored),
    )
