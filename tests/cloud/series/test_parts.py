"""How a span is cut into parts, and a slot into beats."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.series import MAX_BEATS, beat_of, starts_of_parts

MINUTE = 60_000


@pytest.mark.parametrize(
    ("heartbeat", "slot", "beat"),
    [
        (MINUTE, 15 * MINUTE, MINUTE),
        (2 * MINUTE, 15 * MINUTE, 150_000),  # seven beats would not fit evenly, six do
        (10 * MINUTE, 15 * MINUTE, 15 * MINUTE),
        (60 * MINUTE, 15 * MINUTE, 15 * MINUTE),
        (10 * MINUTE, 360 * MINUTE, 10 * MINUTE),
        (1, 360 * MINUTE, 360 * 60),
    ],
)
def test_a_beat_is_no_shorter_than_the_heartbeat(heartbeat: int, slot: int, beat: int) -> None:
    """A slot is cut evenly, into beats as short as the heartbeat allows."""
    assert beat_of(heartbeat, slot) == beat


@given(heartbeat=st.integers(1, 10**8), slot=st.integers(1, 10**9))
def test_any_slot_is_cut_evenly(heartbeat: int, slot: int) -> None:
    """Beats divide their slot, are never too many, and are under the heartbeat only where the slot is."""
    beat = beat_of(heartbeat, slot)
    assert slot % beat == 0
    assert slot // beat <= MAX_BEATS
    assert beat >= min(heartbeat, slot)


def test_a_heartbeat_has_a_length() -> None:
    """No heartbeat at all is the caller's mistake."""
    for heartbeat in (0, -1):
        with pytest.raises(ValueError, match="it must have a length"):
            beat_of(heartbeat, 15 * MINUTE)


def test_parts_begin_with_the_span() -> None:
    """Parts are counted from the start of the span; the last may be cut short by its end."""
    assert list(starts_of_parts(7, 28, 10)) == [7, 17, 27]
    assert list(starts_of_parts(7, 27, 10)) == [7, 17]
    assert list(starts_of_parts(7, 7, 10)) == []
