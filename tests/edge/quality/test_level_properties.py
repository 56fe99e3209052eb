"""What holds of a level's judge whatever comes: no errors, no units, and nothing lost by a restart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.quality.level import LevelJudge
from tests.edge.quality.test_level import QUARTER_MS, START_MS, flagged, judge_all, river

TROUBLES = (300, 500, 700, 900, 1100)


def troubled(days: float = 20, seed: int = 3) -> list[float]:
    """A river with spikes, a step, a stillness and a flood of noise."""
    values = river(days, seed)
    rng = random.Random(seed)
    for at in TROUBLES:
        values[at] += rng.choice((-1, 1)) * rng.uniform(3, 300)
    values[1200:1260] = [value + 25 for value in values[1200:1260]]
    values[1300:1400] = [values[1300]] * 100
    values[1500:1540] = [value + rng.gauss(0, 10) for value in values[1500:1540]]
    return values


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**40), 2**40),
            st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from((0.0, -9999.0, 1e-320, 1e149, -1e149)),
            st.booleans(),
        ),
        max_size=150,
    )
)
def test_nothing_that_comes_is_an_error(samples: list[tuple[int, float, bool]]) -> None:
    """Any floats at any times, misses and clock changes between them, are judged without an error."""
    judge = LevelJudge()
    at_ms = START_MS
    for by_ms, value, is_missed in samples:
        at_ms += by_ms
        judge.feed(at_ms, value)
        if is_missed:
            judge.miss(at_ms)
            judge.shift(by_ms)
    judge.limits()
    judge.restore(judge.state())


@pytest.mark.parametrize(("scale", "by"), [(1 / 64, 0.0), (1024.0, 0.0), (1.0, 4096.0), (2.0, -512.0)])
def test_units_and_datum_make_no_difference(scale: float, by: float) -> None:
    """The same river in another unit, from another zero, gets the same flags."""
    values = [round(value * 16) / 16 for value in troubled()]
    there = judge_all(LevelJudge(), values)
    here = judge_all(LevelJudge(), [value * scale + by for value in values])
    assert list(flagged(here)) == list(flagged(there))
    assert list(flagged(there))


@pytest.mark.parametrize("cut", [1, 10, 301, 500, 501, 702, 1205, 1350, 1511, 1900])
def test_a_restart_changes_nothing(cut: int) -> None:
    """A judge that goes on from a state says what the other one would have said, in the middle of anything."""
    values = troubled()
    judge, other, heir = LevelJudge(), LevelJudge(), LevelJudge()
    whole = judge_all(judge, values)
    found = judge_all(other, values[:cut])
    heir.restore(other.state())
    judge_all(heir, values[cut:], START_MS + cut * QUARTER_MS, found)
    assert found == whole
    assert heir.state() == judge.state()


def test_a_clock_that_is_set_changes_nothing() -> None:
    """After a shift the rest of the series, later by as much, is judged as it would have been."""
    values = troubled()
    whole = judge_all(LevelJudge(), values)
    judge = LevelJudge()
    first = judge_all(judge, values[:1000])
    by_ms = 987_654_321
    judge.shift(by_ms)
    rest = judge_all(judge, values[1000:], START_MS + 1000 * QUARTER_MS + by_ms)
    assert list(flagged(first + rest)) == list(flagged(whole))


def test_the_state_is_small() -> None:
    """After two months of trouble at a minute's interval the state is far below 50 kB."""
    judge = LevelJudge()
    rng = random.Random(5)
    level = 0.0
    for minute in range(40_000):
        level += rng.gauss(0, 1) * 10 ** rng.uniform(-6, 3)
        judge.feed(START_MS + minute * 60_000, level)
    assert len(judge.state()) < 12_000
