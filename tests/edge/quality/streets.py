"""What tests of street sensors share: judging samples a minute apart as a gateway does."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from edge.contract.readings import Flag, Test
from edge.quality import PASS, Verdict
from edge.quality.street import StreetJudge

START_MS = 1_767_225_600_000
MINUTE_MS = 60_000


class Judged(NamedTuple):
    """What was said of each sample: decided, and at once."""

    decided: list[Verdict]
    at_once: list[Verdict]

    @property
    def tests(self) -> list[Test]:
        return [Test(verdict.tests) for verdict in self.decided]

    @property
    def flagged(self) -> list[int]:
        """The numbers of the samples that are suspect."""
        return [number for number, verdict in enumerate(self.decided) if verdict.flag >= Flag.SUSPECT]


def street(unit: str = "mm") -> StreetJudge:
    return StreetJudge(unit=unit, interval_ms=MINUTE_MS)


def noise(minutes: int, seed: int = 1, *, deviation: float = 2.0) -> list[float]:
    """A dry road in whole mm."""
    rng = random.Random(seed)
    return [float(round(rng.gauss(0, deviation))) for _ in range(minutes)]


def judge(
    depths: Sequence[float], one: StreetJudge | None = None, *, seconds: Sequence[int] | None = None, first: int = 0
) -> Judged:
    """Judge samples; a minute apart, unless it is said when they are. What is held at the end stays in doubt."""
    one = one or street()
    judged = Judged([], [])
    held: int | None = None
    for number, depth in enumerate(depths):
        at_s = seconds[number] if seconds else 60 * (first + number)
        step = one.feed(START_MS + 1000 * at_s, depth)
        if held is not None:
            judged.decided[held] = step.held or PASS
        held = number if step.now is None else None
        verdict = one.doubt if step.now is None else step.now
        judged.decided.append(verdict)
        judged.at_once.append(verdict)
    return judged
