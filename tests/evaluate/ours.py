"""Anlan's own judge on a series that was written down: the same calls as on a gateway, in the same order.

A value that is empty, not a number or the sensor's word for "no value" is 9. A time at which a sample was due and none
came is 9 too, and the first value after that is at best "not evaluated" (2), test GAP. A sample whose time does not go
on (twice, or late) is 2, test GAP, and not judged. What the judge holds back gets its flag in the order of the rows.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Collection, Sequence
from typing import NamedTuple

from edge.contract.quality_config import JudgeKind
from edge.contract.readings import Flag, Test
from edge.quality import PASS, Judge, Verdict
from edge.quality.kinds import Setting, judge_for
from tests.evaluate.series import REMOVED

WORDS = (REMOVED, -99999.0)
FAILED = Verdict(Flag.FAIL, Test.SPAN)
EMPTY = Verdict(Flag.MISSING, Test.SENTINEL)
LATE = Verdict(Flag.NOT_EVALUATED, Test.GAP)
MOST_MISSES = 100_000  # of one gap; a hundred thousand minutes are ten weeks


class Judged(NamedTuple):
    """A verdict for each row, what a detector heard of it at once, and the times at which one was missing."""

    verdicts: list[Verdict]
    at_once: list[Verdict]
    missing: list[int]


class Cadence(NamedTuple):
    """How often samples come, and from which distance on one is missing."""

    interval_ms: int
    gap_ms: float

    @classmethod
    def of(cls, times: Sequence[int]) -> Cadence:
        """As most of the times say; sensors that come unevenly get the more patience."""
        apart = sorted(later - one for one, later in itertools.pairwise(times) if later > one)
        if not apart:
            return cls(60_000, math.inf)
        usual = statistics.median(apart)
        return cls(max(1, int(usual)), 1.5 * max(usual, apart[int(0.98 * (len(apart) - 1))]))


class Run:
    """Feeds a judge with rows."""

    def __init__(self, judge: Judge | None, cadence: Cadence, *, span: tuple[float, float] | None = None) -> None:
        self.judge = judge
        self.cadence = cadence
        self.span = span
        self.verdicts: list[Verdict] = []
        self.at_once: list[Verdict] = []
        self.missing: list[int] = []
        self._held: int | None = None
        self._last: int | None = None

    def take(self, at_ms: int, value: float | None, *, words: Collection[float] = WORDS) -> None:
        """Judge the next row."""
        if self._last is not None and at_ms <= self._last:
            self._note(LATE)
            return
        is_late = self._last is not None and at_ms - self._last > self.cadence.gap_ms
        if is_late:
            self._miss_until(at_ms)
        self._last = at_ms
        if value is None or not math.isfinite(value) or value in words:
            self._settle(at_ms)
            self._note(EMPTY)
        elif self.span is not None and not self.span[0] <= value <= self.span[1]:
            self._settle(at_ms)
            self._note(FAILED)
        else:
            self._judge(at_ms, value, is_late=is_late)

    def end(self) -> Judged:
        """No more rows: what is held stays in doubt."""
        if self._held is not None and self.judge is not None:
            self._decide(self.judge.doubt)
        return Judged(self.verdicts, self.at_once, self.missing)

    def _judge(self, at_ms: int, value: float, *, is_late: bool) -> None:
        now: Verdict | None = PASS
        doubt = PASS
        if self.judge is not None:
            held, now = self.judge.feed(at_ms, value)
            doubt = self.judge.doubt if now is None else now
            self._decide(held)
        said = (LATE if doubt.flag == Flag.PASS else Verdict(doubt.flag, doubt.tests | Test.GAP)) if is_late else doubt
        self._note(said)
        if now is None:
            self._held = len(self.verdicts) - 1

    def _miss_until(self, at_ms: int) -> None:
        assert self._last is not None
        interval = self.cadence.interval_ms
        due = range(self._last + interval, at_ms - interval // 2, interval)
        self.missing += due[:MOST_MISSES]
        for each in due[:MOST_MISSES]:
            self._settle(each)

    def _settle(self, at_ms: int) -> None:
        """A sample that was due gave no value."""
        if self.judge is not None:
            self._decide(self.judge.miss(at_ms))

    def _decide(self, held: Verdict | None) -> None:
        if held is not None and self._held is not None:
            gap = self.verdicts[self._held].tests & Test.GAP
            is_passed = held.flag == Flag.PASS and gap
            self.verdicts[self._held] = LATE if is_passed else Verdict(held.flag, held.tests | gap)
        self._held = None

    def _note(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        self.at_once.append(verdict)


def judge_rows(
    times: Sequence[int],
    values: Sequence[float | None],
    kind: JudgeKind,
    *,
    unit: str = "",
    resolution: float | None = None,
    span: tuple[float, float] | None = None,
) -> Judged:
    """Judge all rows with a judge that knows nothing but what is told here."""
    if kind == "rain" and not is_running_total(values):
        values = running_total(values)
    cadence = Cadence.of(times)
    setting = Setting(kind, unit=unit, interval_ms=cadence.interval_ms, resolution=resolution, span=span)
    run = Run(judge_for(setting), cadence, span=span)
    for at_ms, value in zip(times, values, strict=True):
        run.take(at_ms, value)
    return run.end()


def is_running_total(values: Sequence[float | None]) -> bool:
    """Whether rain is a gauge's total, which falls only where it begins again; else it is mm per interval."""
    there = [value for value in values if value is not None and math.isfinite(value) and value not in WORDS]
    falls = sum(later < one for one, later in itertools.pairwise(there))
    return falls <= max(1, len(there) // 1000)


def running_total(values: Sequence[float | None]) -> list[float | None]:
    """What a gauge would show that counted what is said of each interval; less than nothing is none."""
    total, found = 0.0, list[float | None]()
    for value in values:
        if value is None or not math.isfinite(value) or value < 0:
            found.append(None)
            continue
        total += value
        found.append(total)
    return found
