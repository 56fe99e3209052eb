"""Recorded street floods, and what a few independent lines say of them (FloodNet NYC; read from the data folder).

An event, by the definition of the domain: it is there at two consecutive samples of 15 cm or more, and over when the
water has been below 10 cm for 30 minutes.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import NamedTuple

FILE = "floodnet_events_half.csv.gz"
MM_PER_INCH = 25.4
RAISE_MM, CLEAR_MM, HOLD_S = 150, 100, 1800


class Flood(NamedTuple):
    """One recording: seconds from its beginning, depths in mm."""

    sensor: str
    seconds: list[int]
    depths_mm: list[float]


def read_floods(folder: Path) -> list[Flood]:
    """Every recording that reaches 15 cm, in the order of the file."""
    with gzip.open(folder / FILE, "rt", encoding="utf-8") as file:
        floods = [
            Flood(
                row["sensor_id"],
                json.loads(row["flood_profile_time_secs"]),
                [inches * MM_PER_INCH for inches in json.loads(row["flood_profile_depth_inches"])],
            )
            for row in csv.DictReader(file)
        ]
    return [flood for flood in floods if max(flood.depths_mm) >= RAISE_MM]


def count_events(flood: Flood) -> int:
    """Count what the definition above calls events."""
    count, is_on, was_high, low_since = 0, False, False, None
    for second, depth in zip(flood.seconds, flood.depths_mm, strict=True):
        if not is_on and was_high and depth >= RAISE_MM:
            count, is_on = count + 1, True
        if depth >= CLEAR_MM:
            low_since = None
        elif low_since is None:
            low_since = second
        if low_since is not None and second - low_since >= HOLD_S:
            is_on = False
        was_high = depth >= RAISE_MM
    return count
