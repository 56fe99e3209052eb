"""What a device's rules would have raised on a recorded series.

The pipeline is the one that works live: the recorded value becomes the words of its registers, and from there on
nothing is different: decoded, judged by physics and by what came before, seen by the detectors. What is not in the
series was not read.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from edge.contract.event_steps import Step, steps_of
from edge.contract.gateway_config import DeviceConfig
from edge.contract.messages import Event, EventState
from edge.contract.points import Point, RegisterPoint
from edge.contract.readings import Flag, Reading, Test
from edge.contract.registers import encode
from edge.devices import pipeline_for
from edge.drivers import Answer, Part, Snapshot
from edge.pipeline import Pipeline
from edge.quality.neighbour import Board


class Past(NamedTuple):
    """One event of the past, from its first revision to its last."""

    revisions: tuple[Event, ...]

    @property
    def steps(self) -> list[Step]:
        """How it went, level by level."""
        return steps_of(self.revisions)

    @property
    def last(self) -> Event:
        """The last revision."""
        return self.revisions[-1]

    @property
    def is_confirmed(self) -> bool:
        """Whether it was more than a suspicion."""
        return self.last.state not in (EventState.SUSPECT, EventState.WITHDRAWN)

    @property
    def levels(self) -> list[tuple[int, int | None, Event]]:
        """The time spent at each level: from, to (None: not over), and the revision that says which."""
        told = [one for one in self.revisions if one.state not in (EventState.SUSPECT, EventState.WITHDRAWN)]
        began = [one for one, before in zip(told, [None, *told], strict=False)
                 if before is None or one.class_code != before.class_code]  # fmt: skip
        ends = [*(one.updated_at for one in began[1:]), self.last.ended_at]
        return [(one.updated_at, end, one) for one, end in zip(began, ends, strict=True)]


class Found(NamedTuple):
    """What became of a series."""

    point: Point
    readings: list[Reading]
    events: list[Past]

    @property
    def flags(self) -> Counter[Flag]:
        """How many readings have each flag."""
        return Counter(reading.flag for reading in self.readings)

    @property
    def tests(self) -> Counter[Test]:
        """How many readings each test has flagged."""
        return Counter(test for reading in self.readings if reading.tests for test in Test(reading.tests))


class Backtest:
    """One device of which one point is fed."""

    def __init__(self, device: DeviceConfig, point: Point, *, gateway: str = "backtest") -> None:
        ids = itertools.count(1)
        self._pipeline: Pipeline = pipeline_for(
            device, gateway=gateway, new_id=lambda: f"{next(ids):032x}", board=Board()
        )
        self._point = point
        self._readings: list[Reading] = []
        self._revisions: list[Event] = []

    def feed(self, at_ms: int, value: float) -> None:
        """Take the next value, in the unit of the point's quantity."""
        taken = self._pipeline.take(Snapshot((Part(at_ms, {self._point.name: words_of(self._point, value)}),)))
        self._readings += taken.readings
        self._revisions += taken.revisions

    def end(self) -> Found:
        """Return what was found; what was held back to the end is decided without more."""
        self._readings += self._pipeline.release().readings
        by_id: dict[str, list[Event]] = {}
        for revision in self._revisions:
            by_id.setdefault(revision.id, []).append(revision)
        readings = sorted((one for one in self._readings if one.point == self._point.name), key=lambda r: r.taken_at)
        return Found(self._point, readings, [Past(tuple(revisions)) for revisions in by_id.values()])


def words_of(point: Point, value: float) -> Answer:
    """Return what the registers hold when the point shows a value; the value itself where they cannot."""
    if not isinstance(point, RegisterPoint):
        return value
    try:
        return tuple(encode(point, value))
    except ValueError:
        return float(value)


def in_quantity(samples: Iterable[tuple[int, Decimal]], factor: Fraction) -> Iterator[tuple[int, float]]:
    """Bring recorded values to the unit of the point's quantity."""
    for at_ms, value in samples:
        yield at_ms, float(Fraction(value) * factor)
