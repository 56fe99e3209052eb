"""The day of account."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.days import DAY_MS, ZONE, bounds_of, day_of
from edge.contract.readings import EARLIEST, LATEST


@given(st.integers(EARLIEST, LATEST))
def test_a_moment_lies_in_the_day_that_a_calendar_in_china_shows(at_ms: int) -> None:
    """The day is that of a clock at UTC+8, and the moment lies within its bounds."""
    assert day_of(at_ms) == datetime.fromtimestamp(at_ms // 1000, ZONE).date().isoformat()
    start, end = bounds_of(day_of(at_ms))
    assert start <= at_ms < end
    assert end - start == DAY_MS


@pytest.mark.parametrize("text", ["", "2026-13-01", "yesterday", "2026-11-26T00:00", "2026-1-1", "0001-01-01"])
def test_what_is_no_day_is_refused(text: str) -> None:
    """Whatever a person types that is no day raises ValueError."""
    with pytest.raises(ValueError, match=r".+"):
        bounds_of(text)
