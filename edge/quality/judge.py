"""The seam of the streaming tests: a judge looks at the values of one point in the order in which they were taken.

A judge may hold back one sample, the latest, until the next one tells what it was: the top of a spike and the first
sample of a flood look alike. What is held is decided with the next sample, or as soon as one that was due is missing.
Detectors of events do not wait: they get the doubt at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, Protocol

from msgspec import Meta

from edge.contract.limits import LearnedLimit
from edge.contract.readings import Flag, Test

Tests = Annotated[int, Meta(ge=0, lt=2**31)]
"""Bits of `Test`."""


class Verdict(NamedTuple):
    """A flag, and the tests that set it: none with PASS. Only physics gives FAIL; whatever is learned gives SUSPECT."""

    flag: Flag
    tests: Tests = Test.NONE


PASS: Final = Verdict(Flag.PASS)


class Step(NamedTuple):
    """What one sample decided: of the one that was held back (None: none was), and of itself (None: it is held)."""

    held: Verdict | None
    now: Verdict | None


PASSED: Final = Step(None, PASS)
"""By far the most steps: nothing was held, and nothing is wrong."""


class Judge(Protocol):
    """Judges one point; at most 50 kB of memory, 20 µs a sample."""

    @property
    def doubt(self) -> Verdict:
        """What is to be said of the sample that is held, as long as nothing followed it; PASS when none is."""

    def feed(self, at_ms: int, value: float) -> Step:
        """Take the next value that physics let pass; times never go back. Samples that fail or are missing: `miss`."""

    def miss(self, at_ms: int) -> Verdict | None:
        """Take note that a sample which was due then gave no value; decides what is held (None: nothing was)."""

    def limits(self) -> Sequence[LearnedLimit]:
        """What was learned so far, or is configured, and from what."""

    def state(self) -> bytes:
        """Everything that was learned and is remembered."""

    def restore(self, state: bytes) -> None:
        """Go on from a state, perhaps some minutes old; raises ValueError for one that is not of this judge."""

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
