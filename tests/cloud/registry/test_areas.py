"""A position lies in at most one of the areas that share edges, whatever their shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.registry.areas import grid_at

# west is an L around the south-west corner of east; both lie in a square of 4 by 4.
AREAS = {
    "west": [[0, 0], [4, 0], [4, 1], [2, 1], [2, 4], [0, 4]],
    "east": [[2, 1], [4, 1], [4, 4], [2, 4]],
}


@pytest.mark.parametrize(
    ("longitude", "latitude", "grid"),
    [
        (1, 2, "west"),
        (3, 0.5, "west"),
        (3, 2, "east"),
        (5, 2, None),
        (-0.1, 0.5, None),
        (2, 2, "east"),  # on the edge between them
        (3, 1, "east"),
        (2, 1, "east"),  # the corner they share
        (0, 0, "west"),
        (4, 2, None),  # the far edges are outside
        (1, 4, None),
    ],
)
def test_which_grid(longitude: float, latitude: float, grid: str | None) -> None:
    """Inside, outside, on an edge and on a corner are each decided."""
    assert grid_at(AREAS, longitude, latitude) == grid


@given(longitude=st.floats(0, 4, exclude_max=True), latitude=st.floats(0, 4, exclude_max=True))
def test_areas_that_share_edges_leave_no_gap(longitude: float, latitude: float) -> None:
    """Every position of the square is in exactly one of the two, also on the edges."""
    found = [code for code, area in AREAS.items() if grid_at({code: area}, longitude, latitude)]
    assert len(found) == 1


def test_where_areas_overlap_the_first_holds() -> None:
    """A second area over the same ground changes nothing."""
    assert grid_at({**AREAS, "again": AREAS["west"]}, 1, 2) == "west"
    assert grid_at({}, 1, 2) is None
