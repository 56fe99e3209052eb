"""A street judge on any series: it never fails a sample, goes on where it was, and follows the clock."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.contract.readings import Flag
from edge.quality.street import StreetJudge
from tests.edge.quality.streets import MINUTE_MS, START_MS, noise, street

PARTS = st.sampled_from(["dry", "blip", "box", "flood", "still", "wild"])


def series(parts: list[str], seed: int) -> list[float]:
    """A few minutes of each."""
    rng, depths = random.Random(seed), noise(70, seed)
    for part in parts:
        level = depths[-1]
        if part == "dry":
            depths += noise(rng.randint(2, 90), seed)
        elif part == "blip":
            depths += [rng.uniform(20, 900), 0.0]
        elif part == "box":
            depths += [float(rng.randint(60, 900))] * rng.randint(2, 30)
        elif part == "flood":
            rise = rng.uniform(1, 80)
            depths += [max(0.0, level + rise * min(number, 20 - number)) for number in range(20)]
        elif part == "still":
            depths += [level] * rng.randint(2, 100)
        else:
            depths += [rng.uniform(-500, 9000) for _ in range(rng.randint(1, 6))]
    return depths


@settings(max_examples=60, deadline=None)
@given(st.lists(PARTS, max_size=8), st.integers(0, 9999), st.integers(1, 200), st.integers(-(10**9), 10**9))
def test_a_judge_goes_on_as_if_nothing_had_been(parts: list[str], seed: int, cut: int, by_ms: int) -> None:
    """Restored at any sample, and with a clock that was set meanwhile, it says the same as one that ran through."""
    through, depths = street(), series(parts, seed)
    going = street()
    shift = 0
    for number, depth in enumerate(depths):
        if number == cut:
            kept, going = going.state(), street()
            going.restore(kept)
            going.shift(by_ms)
            shift = by_ms
        at_ms = START_MS + number * MINUTE_MS
        assert going.feed(at_ms + shift, depth) == through.feed(at_ms, depth)
        assert going.doubt == through.doubt
    assert len(going.state()) < 2000


@settings(max_examples=60, deadline=None)
@given(st.lists(PARTS, max_size=8), st.integers(0, 9999))
def test_nothing_is_failed_and_one_sample_is_held_at_most(parts: list[str], seed: int) -> None:
    """Each sample that is held is decided by the next; whatever comes, a flag is 1, 2 or 3."""
    one, is_held = street(), False
    for number, depth in enumerate(series(parts, seed)):
        step = one.feed(START_MS + number * MINUTE_MS, depth)
        assert (step.held is not None) is is_held
        is_held = step.now is None
        for verdict in (step.held, step.now, one.doubt):
            assert verdict is None or (verdict.flag < Flag.FAIL and (verdict.flag == Flag.PASS) is (verdict.tests == 0))


def test_a_state_learns_the_unit_that_is_told_now() -> None:
    """Whoever tells the unit later is believed."""
    guessing, told = StreetJudge(), street("cm")
    for number, depth in enumerate(noise(100)):
        guessing.feed(START_MS + number * MINUTE_MS, depth)
    told.restore(guessing.state())
    assert {limit.high for limit in told.limits()} >= {26.0}
