"""All judges and checks of one device, fed with one poll after the other.

What a poll gave comes out twice. *Seen*: every reading of the poll, with what can be said of it now; detectors of
events must not wait. *Decided*: what may be sent, which is the same but for a doubtful sample, which waits for the
next one of its point and comes out with it, before it.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from edge.contract.limits import LearnedLimit
from edge.contract.readings import Flag, Reading, Test
from edge.quality.judge import PASS, PASSED, Judge, Step, Verdict
from edge.quality.neighbour import Board


class Check(Protocol):
    """Looks at several points of one device together."""

    @property
    def name(self) -> str:
        """Of its state; unique within the device."""

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Take what one poll gave (a poll need not have every point); return the points that are suspect, and why."""

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """What was learned so far, by point."""

    def state(self) -> bytes:
        """Everything that was learned and is remembered."""

    def restore(self, state: bytes) -> None:
        """Go on from a state; raises ValueError for one that is not of this check."""

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""


class Judged(NamedTuple):
    """One poll: all its readings with their flags as of now, and those that are decided."""

    seen: list[Reading]
    decided: list[Reading]


class _State(msgspec.Struct):
    points: dict[str, bytes]
    checks: dict[str, bytes]


class DeviceJudges:
    """Judges the readings of one device."""

    def __init__(self, judges: Mapping[str, Judge], checks: Sequence[Check] = (), board: Board | None = None) -> None:
        """``board``: where other devices of the gateway see what this one shows."""
        self._judges = judges
        self._board = board
        self._checks = {check.name: check for check in checks}
        self._held: dict[str, Reading] = {}

    def __bool__(self) -> bool:
        """Whether anything is judged."""
        return bool(self._judges or self._checks)

    def take(self, readings: Sequence[Reading]) -> Judged:
        """Judge one poll, in which each point comes once at most."""
        seen: list[Reading] = []
        decided: list[Reading] = []
        judges = self._judges
        for reading in readings:
            judge = judges.get(reading.point)
            if judge is None:
                step = PASSED
            elif reading.value is None or reading.flag is not Flag.PASS:
                step = Step(judge.miss(reading.taken_at), PASS)
            else:
                step = judge.feed(reading.taken_at, reading.value)
            if judge is None or (step is PASSED and reading.point not in self._held):
                seen.append(reading)
                decided.append(reading)
            else:
                self._settle(reading, step, judge, seen, decided)
        if self._board is not None:
            self._board.tell(seen)
        return self._check(Judged(seen, decided)) if self._checks else Judged(seen, decided)

    def release(self) -> list[Reading]:
        """Decide what is held without waiting for more, because nothing more comes."""
        points = list(self._held)
        verdicts = [self._judges[point].miss(self._held[point].taken_at) for point in points]
        return [self._decide(point, verdict) for point, verdict in zip(points, verdicts, strict=True)]

    def _settle(self, reading: Reading, step: Step, judge: Judge, seen: list[Reading], decided: list[Reading]) -> None:
        if reading.point in self._held:
            decided.append(self._decide(reading.point, step.held))
        if step.now is None:
            self._held[reading.point] = reading
            seen.append(_flagged(reading, judge.doubt))
            return
        judged = _flagged(reading, step.now)
        seen.append(judged)
        decided.append(judged)

    def _decide(self, point: str, verdict: Verdict | None) -> Reading:
        return _flagged(self._held.pop(point), verdict or PASS)

    def _check(self, judged: Judged) -> Judged:
        values = {one.point: one.value for one in judged.seen if one.value is not None and one.flag is not Flag.FAIL}
        if not values:
            return judged
        at_ms = judged.seen[-1].taken_at
        found: dict[str, int] = {}
        for check in self._checks.values():
            for point, test in check.feed(at_ms, values).items():
                found[point] = found.get(point, 0) | test
        if not found:
            return judged
        for point in found.keys() & self._held.keys():
            self._held[point] = _flagged(self._held[point], Verdict(Flag.SUSPECT, found[point]))
        doubted = {(one.point, one.taken_at) for one in judged.seen if one.point in found}

        def doubt(one: Reading) -> Reading:
            is_of_poll = (one.point, one.taken_at) in doubted  # not what an earlier one held back
            return _flagged(one, Verdict(Flag.SUSPECT, found[one.point])) if is_of_poll else one

        return Judged([doubt(one) for one in judged.seen], [doubt(one) for one in judged.decided])

    def limits(self) -> dict[str, list[LearnedLimit]]:
        """What was learned of each point, and what somebody said."""
        limits = {point: list(judge.limits()) for point, judge in self._judges.items()}
        for check in self._checks.values():
            for point, found in check.limits().items():
                limits.setdefault(point, []).extend(found)
        return {point: found for point, found in limits.items() if found}

    def state(self) -> str:
        """Everything that was learned, as JSON text; what is held is not in it."""
        points = {point: judge.state() for point, judge in self._judges.items()}
        checks = {name: check.state() for name, check in self._checks.items()}
        return msgspec.json.encode(_State(points, checks)).decode()

    def restore(self, state: str, by_ms: int = 0) -> list[str]:
        """Go on from a state, of a clock that was set on by so much since; return what is learned anew, and why."""
        try:
            kept = msgspec.json.decode(state, type=_State)
        except (msgspec.DecodeError, binascii.Error) as error:
            return [f"it cannot be read: {error}"]
        parts: list[tuple[str, Judge | Check | None, bytes]] = [
            *((point, self._judges.get(point), its) for point, its in kept.points.items()),
            *((name, self._checks.get(name), its) for name, its in kept.checks.items()),
        ]
        faults = []
        for name, part, its in parts:
            if part is None:
                continue
            try:
                part.restore(its)
            except ValueError as error:
                faults.append(f"{name}: {error}")
            else:
                part.shift(by_ms)
        return faults

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much; what is held must be released before."""
        for judge in self._judges.values():
            judge.shift(by_ms)
        for check in self._checks.values():
            check.shift(by_ms)


def _flagged(reading: Reading, verdict: Verdict) -> Reading:
    """The reading with the worse of two flags."""
    flag, tests = verdict
    if flag is Flag.PASS and not tests:
        return reading
    return replace(reading, flag=max(reading.flag, flag), tests=reading.tests | tests)
