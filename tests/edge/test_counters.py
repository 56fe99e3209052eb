"""Counters that fall: a roll-over, a reset and a new meter go on, a single zero is suspect and nothing else."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.readings import Test
from edge.counters import CounterGuard, Fall, Jump

STEPS = st.lists(st.integers(0, 50), min_size=1, max_size=40)


def judged(guard: CounterGuard, counts: list[int]) -> tuple[list[int], list[Jump]]:
    """The places of the counts that are suspect, and what was told to have happened."""
    verdicts = [guard.judge(count) for count in counts]
    suspect = [index for index, verdict in enumerate(verdicts) if verdict.test]
    assert {verdict.test for verdict in verdicts} <= {Test.NONE, Test.COUNTER}
    return suspect, [verdict.jump for verdict in verdicts if verdict.jump]


@pytest.mark.parametrize(
    ("counts", "suspect", "jumps"),
    [
        ([9990, 9998, 3, 8], [], [Jump(Fall.ROLLED_OVER, 9998, 3)]),
        ([9998, 3, 8], [1], [Jump(Fall.ROLLED_OVER, 9998, 3)]),  # its pace is not known yet
        ([9990, 9998, 0, 5], [2], [Jump(Fall.ROLLED_OVER, 9998, 0)]),  # to 0 itself: could be the single zero
        ([9990, 9998, 0, 9999], [2], []),
        ([5000, 5008, 0, 5016], [2], []),
        ([5000, 5008, 0, 5008], [2], []),  # a device that stands still
        ([5000, 5008, 12, 5016], [2], []),
        ([5000, 5008, 0, 0, 4], [2], [Jump(Fall.RESET, 5008, 0)]),
        ([5000, 5008, 120, 121], [2], [Jump(Fall.RESET, 5008, 120)]),
        ([5000, 5008, 700, 0, 0, 1], [2, 3], [Jump(Fall.RESET, 5008, 0)]),  # what falls on has not stayed
        ([5000, 5008, 5007, 5008], [2], []),
        ([0, 0, 0, 1], [], []),
        ([7], [], []),
    ],
)
def test_falls_by_hand(counts: list[int], suspect: list[int], jumps: list[Jump]) -> None:
    """Each way to fall is told from the others by the count that comes next."""
    assert judged(CounterGuard(10_000), counts) == (suspect, jumps)


def test_what_was_known_before_counts() -> None:
    """A guard that is told the last count of before judges already the first one."""
    assert judged(CounterGuard(last=5000), [0, 5001]) == ([0], [])


def test_a_jump_in_words() -> None:
    """What happened is told with the counts before and after."""
    assert str(Jump(Fall.RESET, 5008, 120)) == "reset or replaced after 5008, goes on from 120"


@given(first=st.integers(0, 1 << 62), steps=st.lists(st.integers(0, 1 << 40)), modulus=st.none() | st.just(1 << 63))
def test_what_only_grows_passes(first: int, steps: list[int], modulus: int | None) -> None:
    """A counter that grows is never held to be wrong, however far it goes at once."""
    assert judged(CounterGuard(modulus), list(accumulate(steps, initial=first))) == ([], [])


@given(first=st.integers(1, 1 << 40), steps=STEPS, at=st.sets(st.integers(0, 39)), share=st.floats(0, 0.999))
def test_exactly_the_wrong_ones_are_suspect(first: int, steps: list[int], at: set[int], share: float) -> None:
    """Single counts that are lower, zero or not, between good ones are suspect; all others pass, nothing is told."""
    counts: list[int] = []
    suspect: list[int] = []
    for index, good in enumerate(accumulate(steps, initial=first)):
        counts.append(good)
        if index in at:
            suspect.append(len(counts))
            counts.append(int(good * share))
    assert judged(CounterGuard(), counts) == (suspect, [])


@given(old=STEPS, new=STEPS, first=st.integers(0, 1000), gap=st.integers(0, 10))
def test_a_new_meter_costs_one_suspect_reading(old: list[int], new: list[int], first: int, gap: int) -> None:
    """A counter that stays at lower counts goes on from there after one suspect reading, and it is told once."""
    before = list(accumulate(old, initial=5000 + gap))
    after = list(accumulate(new, initial=first))
    suspect, jumps = judged(CounterGuard(), before + after)
    assert suspect == [len(before)]
    assert jumps == [Jump(Fall.RESET, before[-1], first)]


@given(steps=st.lists(st.integers(1, 50), min_size=10, max_size=200), first=st.integers(0, 65_535))
def test_a_roll_over_is_seen_each_time(steps: list[int], first: int) -> None:
    """A 16-bit counter that goes round is told to have rolled over, each time, with at most one suspect reading."""
    whole = list(accumulate(steps, initial=first + 20 * 65_536))
    rounds = whole[-1] // 65_536 - whole[0] // 65_536
    suspect, jumps = judged(CounterGuard(65_536), [count % 65_536 for count in [*whole, whole[-1] + 1]])
    assert len(suspect) <= rounds + 1
    assert [jump.fall for jump in jumps] == [Fall.ROLLED_OVER] * len(jumps)
    assert rounds <= len(jumps) + 1


@given(counts=st.lists(st.integers(0, 100)), modulus=st.none() | st.integers(1, 200))
def test_whatever_comes_two_low_counts_that_stay_are_believed(counts: list[int], modulus: int | None) -> None:
    """No run of counts makes a guard hold back for ever: what does not fall further passes at the next reading."""
    guard = CounterGuard(modulus)
    for count in counts:
        guard.judge(count)
    first = guard.judge(50)
    assert guard.judge(50).test == Test.NONE or first.test == Test.NONE
    assert guard.judge(50).test == Test.NONE
    assert guard.last == 50
