"""The simplest judge that holds back: a jump of ten is doubted until the next sample shows whether it stays."""

from __future__ import annotations

from edge.contract.limits import LearnedLimit
from edge.contract.readings import Flag, Test
from edge.quality.judge import PASS, PASSED, Step, Verdict

SPIKE = Verdict(Flag.SUSPECT, Test.SPIKE)


class HoldingJudge:
    """Remembers the last value that was no spike, and the one that may be one."""

    def __init__(self) -> None:
        self.last: float | None = None
        self.doubted: float | None = None
        self.shifted_ms = 0

    @property
    def doubt(self) -> Verdict:
        return PASS if self.doubted is None else SPIKE

    def feed(self, at_ms: int, value: float) -> Step:
        doubted, self.doubted = self.doubted, None
        if doubted is not None:
            stays = abs(value - doubted) < 10
            self.last = value
            return Step(PASS if stays else SPIKE, PASS)
        if self.last is not None and abs(value - self.last) >= 10:
            self.doubted = value
            return Step(None, None)
        self.last = value
        return PASSED

    def miss(self, at_ms: int) -> Verdict | None:
        doubted, self.doubted = self.doubted, None
        return None if doubted is None else SPIKE

    def limits(self) -> list[LearnedLimit]:
        return [] if self.last is None else [LearnedLimit(test=Test.SPIKE, low=self.last - 10, high=self.last + 10)]

    def state(self) -> bytes:
        return repr(self.last).encode()

    def restore(self, state: bytes) -> None:
        self.last = float(state)

    def shift(self, by_ms: int) -> None:
        self.shifted_ms += by_ms
