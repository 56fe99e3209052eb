"""All judges of one device together: what waits, what does not, and what survives a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.contract.limits import LearnedLimit
from edge.contract.readings import Flag, Reading, Test
from edge.quality.device import DeviceJudges
from edge.quality.judge import PASSED, Step
from tests.edge.quality.holding import HoldingJudge

AT = 1_790_000_000_000


def reading(value: float | None, minute: int, point: str = "depth", flag: Flag | None = None) -> Reading:
    found = flag or (Flag.MISSING if value is None else Flag.PASS)
    return Reading("road", point, AT + 60_000 * minute, value, found)


def brief(readings: Sequence[Reading]) -> list[tuple[float | int | None, int, int]]:
    return [(one.value, one.flag, one.tests) for one in readings]


def test_a_doubtful_sample_is_seen_at_once_and_sent_with_the_next() -> None:
    """Detectors get it with its doubt; the series gets it decided, before the sample that decided it."""
    judges = DeviceJudges({"depth": HoldingJudge()})
    judges.take([reading(0, 0)])
    doubted = judges.take([reading(50, 1)])
    assert (brief(doubted.seen), doubted.decided) == ([(50, 3, Test.SPIKE)], [])
    after = judges.take([reading(52, 2)])
    assert (brief(after.seen), brief(after.decided)) == ([(52, 1, 0)], [(50, 1, 0), (52, 1, 0)])


def test_a_sample_that_is_missing_decides_what_is_held() -> None:
    """Nothing waits for longer than one poll."""
    judges = DeviceJudges({"depth": HoldingJudge()})
    for minute, value in enumerate((0, 50)):
        judges.take([reading(value, minute)])
    assert brief(judges.take([reading(None, 2)]).decided) == [(50, 3, Test.SPIKE), (None, 9, 0)]


def test_what_fails_by_physics_is_not_judged_again() -> None:
    """A value outside the span keeps its 4, teaches nothing, and decides what is held."""
    judge = HoldingJudge()
    judges = DeviceJudges({"depth": judge})
    judges.take([reading(0, 0)])
    assert brief(judges.take([reading(5000, 1, flag=Flag.FAIL)]).decided) == [(5000, 4, 0)]
    assert judge.last == 0


def test_nothing_is_kept_back_when_nothing_more_comes() -> None:
    """What an agent holds when it stops is decided as if the next sample were missing, once."""
    judges = DeviceJudges({"depth": HoldingJudge()})
    for minute, value in enumerate((0, 50)):
        judges.take([reading(value, minute)])
    assert brief(judges.release()) == [(50, 3, Test.SPIKE)]
    assert judges.release() == []


class Together:
    """A check that finds two points further apart than one suspect."""

    name = "together"

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        if abs(values.get("depth", 0) - values.get("other", 0)) <= 1:
            return {}
        return dict.fromkeys(values, Test.SANITY)

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        return {"other": [LearnedLimit(test=Test.SANITY, high=1.0)]}

    def state(self) -> bytes:
        return b"nothing"

    def restore(self, state: bytes) -> None:
        if state != b"nothing":
            raise ValueError(f"{state!r} is not nothing")

    def shift(self, by_ms: int) -> None:
        """It remembers no times."""


def test_a_check_adds_to_what_a_judge_says() -> None:
    """Also to a sample that is held, and to no sample that was held before."""
    judges = DeviceJudges({"depth": HoldingJudge()}, [Together()])
    judges.take([reading(0, 0), reading(0, 0, "other")])
    first = judges.take([reading(50, 1), reading(0, 1, "other")])
    assert brief(first.seen) == [(50, 3, Test.SPIKE | Test.SANITY), (0, 3, Test.SANITY)]
    second = judges.take([reading(50, 2), reading(50, 2, "other")])
    assert brief(second.decided) == [(50, 3, Test.SANITY), (50, 1, 0), (50, 1, 0)]


def test_limits_are_those_of_judges_and_checks() -> None:
    """By point; a point of which nothing is known has none."""
    judges = DeviceJudges({"depth": HoldingJudge(), "level": HoldingJudge()}, [Together()])
    judges.take([reading(3, 0)])
    assert {point: [one.test for one in found] for point, found in judges.limits().items()} == {
        "depth": [Test.SPIKE],
        "other": [Test.SANITY],
    }


def test_a_restart_goes_on_from_what_was_learned() -> None:
    """Of points that are still there; those of a device that lost a point are left out without a word."""
    before = DeviceJudges({"depth": HoldingJudge(), "gone": HoldingJudge()}, [Together()])
    before.take([reading(7, 0), reading(7, 0, "gone")])
    judge = HoldingJudge()
    after = DeviceJudges({"depth": judge}, [Together()])
    assert after.restore(before.state()) == []
    assert judge.last == 7


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("{", "it cannot be read"),
        ('{"points": {"depth": "***"}, "checks": {}}', "it cannot be read"),
        ('{"points": {"depth": "bm8="}, "checks": {}}', "depth: could not convert"),
        ('{"points": {}, "checks": {"together": "bm8="}}', "together: b'no' is not nothing"),
    ],
)
def test_a_state_of_something_else_is_told_and_left_out(state: str, fault: str) -> None:
    """A torn or foreign state never ends an agent; the sensor is learned anew."""
    judges = DeviceJudges({"depth": HoldingJudge()}, [Together()])
    (told,) = judges.restore(state)
    assert told.startswith(fault)
    assert brief(judges.take([reading(1, 0)]).decided) == [(1, 1, 0)]


@given(st.lists(st.one_of(st.none(), st.integers(0, 100)), max_size=40), st.integers(1, 39))
def test_every_reading_comes_out_once_and_in_order(values: list[int | None], stop: int) -> None:
    """Whatever comes, no reading is lost, doubled or moved, and at most one is held."""
    judges = DeviceJudges({"depth": HoldingJudge()})
    out: list[Reading] = []
    for minute, value in enumerate(values):
        out += judges.take([reading(value, minute)]).decided
        assert minute + 1 - len(out) in (0, 1)
        if minute == stop:
            out += judges.release()
    out += judges.release()
    assert [(one.taken_at, one.value) for one in out] == [
        (AT + 60_000 * minute, value) for minute, value in enumerate(values)
    ]


class Forgetful(HoldingJudge):
    """Forgets without a word what it holds, as one may that has to begin anew."""

    def feed(self, at_ms: int, value: float) -> Step:
        if self.doubted is not None:
            self.doubted = None
            return PASSED
        return super().feed(at_ms, value)


def test_what_a_judge_forgets_comes_out_all_the_same() -> None:
    """With the next sample, as it was read; it never waits for ever."""
    judges = DeviceJudges({"depth": Forgetful()})
    judges.take([reading(0, 0)])
    judges.take([reading(50, 1)])
    assert brief(judges.take([reading(1, 2)]).decided) == [(50, 1, 0), (1, 1, 0)]
