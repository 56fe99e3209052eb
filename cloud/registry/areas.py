"""Which grid a position lies in, by the outlines that the registry has."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

Outline = Sequence[Sequence[float]]
"""Corners as [longitude, latitude]; the last one is joined to the first."""


def grid_at(areas: Mapping[str, Outline], longitude: float, latitude: float) -> str | None:
    """Return the code of the grid whose area holds a position, or None.

    A point that two areas share belongs to one of them: west and south edges are inside, east and north edges are not.
    Where areas overlap, the first one holds it.
    """
    return next((code for code, outline in areas.items() if is_inside(outline, longitude, latitude)), None)


def is_inside(outline: Outline, longitude: float, latitude: float) -> bool:
    """Whether a straight line from here to the east crosses the outline an odd number of times."""
    crossings = 0
    for (lon, lat), (next_lon, next_lat) in pairwise([*outline, outline[0]]):
        if (lat > latitude) != (next_lat > latitude):
            crossing = lon + (latitude - lat) * (next_lon - lon) / (next_lat - lat)
            crossings += longitude < crossing
    return crossings % 2 == 1
