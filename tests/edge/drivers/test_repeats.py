"""Answers that come twice, and what it costs to tell them from two places that hold the same."""

from __future__ import annotations

from edge.drivers.repeats import Place, Repeats

HERE, THERE, ELSEWHERE = Place(1, "input", 10), Place(1, "input", 50), Place(2, "input", 10)


def doubts(repeats: Repeats, place: Place, answer: bytes, at_s: float) -> bool:
    return repeats.is_doubtful(place, answer, at_s=at_s, within_s=1.0)


def test_the_same_from_another_place_of_the_unit_is_doubted() -> None:
    """Each time that it comes, when another answer came instead after that: a line that repeats does it always."""
    repeats = Repeats()
    for second in range(5):
        assert not doubts(repeats, HERE, b"here", second)
        assert doubts(repeats, THERE, b"here", second + 0.1)
        assert not doubts(repeats, THERE, b"there", second + 0.2)


def test_two_places_that_hold_the_same_are_doubted_once() -> None:
    """Who is told the same twice believes it, until it changes: idle meters hold many zeros."""
    repeats = Repeats()
    doubted = []
    for second, answer in enumerate([b"0", b"0", b"0", b"4", b"4", b"0"]):
        assert not doubts(repeats, HERE, answer, 10 * second)
        doubted.append(doubts(repeats, THERE, answer, 10 * second + 0.1))
        if doubted[-1]:
            assert not doubts(repeats, THERE, answer, 10 * second + 0.2)
    assert doubted == [True, False, False, True, False, True]


def test_what_is_no_repetition_is_not_doubted() -> None:
    """The same place, another unit, and what was told longer ago than an answer may take."""
    repeats = Repeats()
    assert not doubts(repeats, HERE, b"0", 0.0)
    assert not doubts(repeats, HERE, b"0", 0.1)
    assert not doubts(repeats, ELSEWHERE, b"0", 0.2)
    assert not doubts(repeats, THERE, b"0", 1.3)
