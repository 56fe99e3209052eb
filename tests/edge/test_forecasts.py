"""Forecasts: said only of a rise, not further ahead than it was seen, and as sure as they say on recorded floods."""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from edge.contract.messages import Forecast, Severity
from edge.contract.rules import DeviceRule
from edge.detect_forecast import RECENT, forecast_of, is_news

MINUTE = 60_000
IN_ONE_RISE = 3  # times the end of the interval: what comes later is another rise
CLOSE = DeviceRule(
    name="WATERLOG.UNDER.CLOSE:depth", version=1, class_code="WATERLOG.UNDER.CLOSE", severity=Severity.RED,
    point="depth", unit="mm", comparison="at_least", threshold=250.0, clear=100.0, samples=2, hold_s=0,
    clear_hold_s=1800,
)  # fmt: skip
Points = Sequence[tuple[int, float]]


def minutely(*values: float) -> Points:
    return [(place * MINUTE, value) for place, value in enumerate(values)]


def test_a_steady_rise_is_told_with_what_it_may_become() -> None:
    """10 mm a minute, 40 mm to go: about 4 minutes, if it goes faster or slower 3 to 10."""
    said = forecast_of(minutely(160, 170, 180, 190, 200, 210), CLOSE)
    assert said == Forecast(
        class_code="WATERLOG.UNDER.CLOSE", threshold=250.0, unit="mm", likely_s=240, early_s=160, late_s=600
    )


def test_a_bad_sample_moves_it_little() -> None:
    """One sample of 40 cm among six: still a rise of 10 mm a minute, of which the slopes are less sure."""
    said = forecast_of(minutely(160, 170, 400, 190, 200, 210), CLOSE)
    assert said is None or 180 <= said.likely_s <= 300


@pytest.mark.parametrize(
    "values",
    [
        (160, 170, 180),  # too few
        (200, 200, 201, 200, 199, 201),  # noise
        (210, 205, 200, 195, 190, 185),  # falls
        (160, 160, 160, 165, 165, 165),  # a digit
        (160, 162, 164, 166, 168, 170),  # 40 minutes ahead, after 5 seen
        (0, 0, 0, 160, 190, 220),  # was dry: the pace is not known yet
    ],
)
def test_nothing_is_said_where_nobody_can_tell(values: tuple[float, ...]) -> None:
    """Too few samples, noise, a fall, a step of one digit, a level too far off, a rise that has just begun."""
    assert forecast_of(minutely(*values), CLOSE) is None


def test_a_forecast_is_news_when_the_one_before_does_not_hold_it() -> None:
    """Later within the interval that was told, it is none; beyond it, of another level or gone, it is."""
    told = forecast_of(minutely(160, 170, 180, 190, 200, 210), CLOSE)
    again = forecast_of(minutely(170, 180, 190, 200, 210, 220), CLOSE)
    assert told is not None
    assert not is_news(again, told, passed_ms=MINUTE)
    assert not is_news(None, None, passed_ms=MINUTE)
    assert is_news(None, told, passed_ms=MINUTE)
    assert is_news(told, None, passed_ms=MINUTE)
    assert is_news(again, told, passed_ms=30 * MINUTE)


class Count(NamedTuple):
    """What became of the forecasts of recorded water."""

    said: int
    reached: int  # the level, in that rise
    held: int  # reached within the interval that was said
    early: int  # reached before it

    def __str__(self) -> str:
        share = f"{self.held / self.reached:.0%} within the interval, {self.early / self.reached:.0%} before it"
        return f"{self.said} forecasts, {self.reached / self.said:.0%} of a level that was reached; of these {share}"


def count(series: Iterator[tuple[Points, float]]) -> Count:
    said = reached = held = early = 0
    for points, threshold in series:
        rule = CLOSE._replace(threshold=threshold)
        for place, (at_ms, value) in enumerate(points):
            one = forecast_of(points[max(0, place + 1 - RECENT) : place + 1], rule) if value < threshold else None
            if one is None:
                continue
            said += 1
            crossing = crossed(points[place:], threshold)
            after_s = None if crossing is None else (crossing - at_ms) / 1000
            if after_s is not None and after_s <= IN_ONE_RISE * one.late_s:
                reached += 1
                held += one.early_s <= after_s <= one.late_s
                early += after_s < one.early_s
    return Count(said, reached, held, early)


def crossed(points: Points, threshold: float) -> float | None:
    """When the water was first at the threshold, on the line between two samples."""
    for (at, a), (then, b) in pairwise(points):
        if b >= threshold:
            return at + (threshold - a) / (b - a) * (then - at)
    return None


def street_floods(folder: Path) -> Iterator[tuple[Points, float]]:
    with gzip.open(folder / "floodnet_events_half.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            inches = json.loads(row["flood_profile_depth_inches"])
            seconds = json.loads(row["flood_profile_time_secs"])
            points = [(1000 * s, 25.4 * d) for s, d in zip(seconds, inches, strict=True)]
            wet = points[next((n for n, (_, depth) in enumerate(points) if depth >= 30), len(points)) :]
            yield from ((wet, threshold) for threshold in (150.0, 250.0))


def rivers(folder: Path) -> Iterator[tuple[Points, float]]:
    """Two rivers as they were measured, each with the levels that a tenth to a two-hundredth of the time are above."""
    for name in ("lro_stage_MainStreet2019", "lro_stage_TonyGrove2014"):
        with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
            rows = [(row["timestamp"], row["stage_corrected_cm"]) for row in csv.DictReader(file)]
        points = [(ms_of(at), 10 * float(cm)) for at, cm in rows if cm and float(cm) != -9999]
        heights = sorted(height for _, height in points)
        yield from ((points, heights[int(share * len(heights))]) for share in (0.9, 0.95, 0.98, 0.99, 0.995))


def ms_of(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("name", "series", "least_reached"), [("street floods, 15 and 25 cm", street_floods, 0.6), ("rivers", rivers, 0.6)]
)
def test_recorded_water_crosses_when_it_was_said(
    name: str,
    series: Callable[[Path], Iterator[tuple[Points, float]]],
    least_reached: float,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of forecasts whose level was reached, about three to four of five (65 to 90 %) were within their interval."""
    if "ANLAN_DATA" not in os.environ:
        pytest.skip("set ANLAN_DATA to the folder with the recorded series")
    found = count(series(Path(os.environ["ANLAN_DATA"])))
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {found}\n")
    assert 0.65 <= found.held / found.reached <= 0.9
    assert found.reached >= least_reached * found.said
