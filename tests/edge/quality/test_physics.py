"""The flags that one value gets by itself."""

from __future__ import annotations

import math

import pytest

from edge.contract.readings import Flag, Reading, Test
from edge.quality import flag, flag_unread

AT = 1_790_000_000_000


@pytest.mark.parametrize("value", [0.0, -5.0, 5.0, 3, -5, 5])
def test_a_value_within_the_span_passes(value: float) -> None:
    """Both ends of the span belong to it, and value and type stay as they were."""
    reading = flag("m", "depth", AT, value, span=(-5.0, 5.0))
    assert reading == Reading("m", "depth", AT, value, Flag.PASS, Test.NONE)
    assert type(reading.value) is type(value)


@pytest.mark.parametrize("value", [5.000001, -6, 2**62, -1e300])
def test_a_value_outside_the_span_fails_and_is_kept(value: float) -> None:
    """Only the flag changes: the value is neither clamped nor dropped."""
    assert flag("m", "depth", AT, value, span=(-5.0, 5.0)) == Reading("m", "depth", AT, value, Flag.FAIL, Test.SPAN)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_value_is_missing(value: float | None) -> None:
    """The profile's sentinel (decoded to None), NaN and infinities are 9, never a number."""
    assert flag("m", "depth", AT, value) == Reading("m", "depth", AT, None, Flag.MISSING, Test.SENTINEL)


@pytest.mark.parametrize("reason", [Test.NO_ANSWER, Test.REFUSED])
def test_an_unread_point_is_missing_with_its_reason(reason: Test) -> None:
    """No answer is missing, never zero."""
    assert flag_unread("m", "depth", AT, reason) == Reading("m", "depth", AT, None, Flag.MISSING, reason)


def test_without_a_span_any_number_passes() -> None:
    """A point whose profile states no span is never failed by it."""
    assert flag("m", "energy_import_total", AT, 2**62).flag == Flag.PASS
