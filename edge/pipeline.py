"""What one poll of a device becomes: readings, revisions of events, and what is worth sending."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from edge.contract.messages import Event, Flag, Reading
from edge.contract.profile import Point, RegisterPoint
from edge.counters import CounterGuard
from edge.detect import Detector
from edge.drivers import Answer, Missing, Part, Snapshot
from edge.quality import flag, flag_unread
from edge.quality.device import DeviceJudges
from edge.report import Reporter

_log = structlog.get_logger()


class Taken(NamedTuple):
    """One poll, judged: every one of ``readings`` is in ``to_send`` or counted in ``unchanged``.

    A doubtful sample that is held back is among those of the next poll.
    """

    readings: list[Reading]
    to_send: list[Reading]
    unchanged: int
    revisions: list[Event]
    states: dict[str, str | None]  # of detectors as JSON text, None where there is nothing to keep

    @classmethod
    def of_all(cls, polls: Iterable[Taken]) -> Taken:
        """Several polls as one."""
        whole = cls([], [], 0, [], {})
        for one in polls:
            whole = cls(
                whole.readings + one.readings,
                whole.to_send + one.to_send,
                whole.unchanged + one.unchanged,
                whole.revisions + one.revisions,
                whole.states | one.states,
            )
        return whole


class Pipeline:
    """Decode, flag, judge, detect, report: in this order, for one device."""

    def __init__(
        self,
        device: str,
        *,
        points: Sequence[Point],
        detectors: Sequence[Detector],
        reporter: Reporter,
        judges: DeviceJudges | None = None,
    ) -> None:
        self.device = device
        self.detectors = detectors
        self.judges = DeviceJudges({}) if judges is None else judges
        self._points = {point.name: point for point in points}
        self._guards = {
            point.name: CounterGuard(point.modulus)
            for point in points
            if isinstance(point, RegisterPoint) and point.counter
        }
        self._reporter = reporter
        self._offset_ms: int | None = None  # of the clock by which the latest readings were taken

    def take(self, snapshot: Snapshot) -> Taken:
        """Judge one poll; every point that was asked for gets a reading, at the time of its answer.

        Where somebody has set the clock, what is remembered of earlier polls moves with it.
        """
        for part in snapshot.parts:
            if part.offset_ms != self._offset_ms:
                return self._take_over_steps(snapshot)
        return self._take(snapshot.parts)

    def _take_over_steps(self, snapshot: Snapshot) -> Taken:
        taken = []
        for offset_ms, parts in groupby(snapshot.parts, attrgetter("offset_ms")):
            for detector in self.detectors:
                detector.shift(offset_ms)
            if self._offset_ms is not None:
                taken.append(self.release())
                self.judges.shift(offset_ms - self._offset_ms)
                self._reporter.shift(offset_ms - self._offset_ms)
            self._offset_ms = offset_ms
            taken.append(self._take(list(parts)))
        return Taken.of_all(taken)

    def _take(self, parts: Sequence[Part]) -> Taken:
        device, points = self.device, self._points
        readings = [
            judge(device, points[name], taken_at, answer)
            for taken_at, answers, _ in parts
            for name, answer in answers.items()
        ]
        if self._guards:
            readings = list(map(self._guard, readings))
        seen, decided = self.judges.take(readings)
        revisions, states = self._detect(seen)
        to_send, unchanged = self._reporter.select(decided)
        return Taken(decided, to_send, unchanged, revisions, states)

    def release(self) -> Taken:
        """Hand over what is held back, because nothing more comes, or nothing that goes on from it."""
        decided = self.judges.release()
        to_send, unchanged = self._reporter.select(decided)
        return Taken(decided, to_send, unchanged, [], {})

    def forget(self, reading: Reading) -> None:
        """Take note that a reading which was to be sent is lost: the next one of its point is sent in any case."""
        self._reporter.forget(reading)

    def _guard(self, reading: Reading) -> Reading:
        """Flag the count of a counter that fell, as long as nobody knows why."""
        guard = self._guards.get(reading.point)
        if guard is None or reading.flag is not Flag.PASS or not isinstance(reading.value, int):
            return reading
        test, jump = guard.judge(reading.value)
        if jump is not None:
            _log.warning(f"counter {jump}", device=self.device, point=reading.point)
        return replace(reading, flag=Flag.SUSPECT, tests=reading.tests | test) if test else reading

    def _detect(self, readings: Sequence[Reading]) -> tuple[list[Event], dict[str, str | None]]:
        if not self.detectors:
            return [], {}
        by_point = {reading.point: reading for reading in readings}
        revisions: list[Event] = []
        states: dict[str, str | None] = {}
        for detector in self.detectors:
            reading = by_point.get(detector.point)
            revision = None if reading is None else detector.feed(reading)
            if revision is not None:
                revisions.append(revision)
            if revision is not None or detector.is_kept:
                states[detector.key] = detector.state()
        return revisions, states


def judge(device: str, point: Point, taken_at: int, answer: Answer) -> Reading:
    """Return the flagged reading of one answer: a value, raw words that are decoded first, or missing and why."""
    if isinstance(answer, tuple):
        if not isinstance(point, RegisterPoint):
            raise TypeError(f"{device}: {point.name} is no register, yet its driver gave raw words")
        return flag(device, point.name, taken_at, point.decode(answer), span=point.span)
    if isinstance(answer, Missing):
        return flag_unread(device, point.name, taken_at, answer.test)
    return flag(device, point.name, taken_at, answer, span=point.span)
