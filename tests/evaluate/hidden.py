"""Whether judging hides a flood: every recorded one, through the judge and then the detector of a gateway.

A flood is *hidden* when a sample of it is failed (4), or when its event is not raised as the rule asks: confirmed at
the second of two samples in a row of 15 cm or more; where no two are in a row, suspect at the first. The detector gets
each sample at once, with the doubt of the judge, as on a gateway.
"""

from __future__ import annotations

import itertools
import operator
import random
from collections.abc import Sequence
from typing import NamedTuple

from edge.contract.messages import EventState, Severity
from edge.contract.readings import Flag, Reading
from edge.contract.rules import DeviceRule
from edge.detect import Detector
from tests.evaluate import series
from tests.evaluate.ours import Judged, judge_rows
from tests.evaluate.series import Flood, Street

RAISE_MM = 150.0
FLOODS_ON_A_ROAD = 40
DRY_MINUTES = (61, 180)  # more than the half hour in which crossings are one event
RULE = DeviceRule(
    name="road",
    version=1,
    class_code="WATERLOG.ROAD.2",
    severity=Severity.ORANGE,
    point="depth",
    unit="mm",
    comparison="at_least",
    threshold=RAISE_MM,
    clear=100.0,
    samples=2,
    hold_s=0,
    clear_hold_s=1800,
)


class Hidden(NamedTuple):
    """What became of all floods."""

    floods: int = 0
    high: int = 0  # with two samples in a row of 15 cm or more
    single: int = 0  # with one, or some apart
    points: int = 0
    suspected: int = 0  # points flagged 3
    failed: int = 0  # points flagged 4
    not_raised: int = 0
    suspects_not_raised: int = 0
    named: tuple[str, ...] = ()

    def __add__(self, other: Hidden) -> Hidden:  # type: ignore[override]  # sums, not a longer tuple
        return Hidden(*map(operator.add, self, other))

    @property
    def hidden(self) -> int:
        return self.failed + self.not_raised


def look_for_hidden(floods: Sequence[Flood], seed: int) -> Hidden:
    """Put all recorded floods on roads, and look at what is said of each."""
    rng, found = random.Random(f"hidden {seed}"), Hidden()
    for number, first in enumerate(range(0, len(floods), FLOODS_ON_A_ROAD)):
        part = floods[first : first + FLOODS_ON_A_ROAD]
        street = series.embed(f"road-{number}", part, rng, is_cut=number % 2 == 1, dry_minutes=DRY_MINUTES)
        judged = judge_rows(street.series.times, street.series.values, "street", unit="mm")
        found += look_at(street, judged, part)
    return found


def look_at(street: Street, judged: Judged, floods: Sequence[Flood]) -> Hidden:
    """Count for one road."""
    states = detect(street, judged)
    values, found = street.series.values, Hidden()
    for (low, high), flood in zip(street.floods, floods, strict=True):
        over = [at for at in range(low, high + 1) if (values[at] or 0.0) >= RAISE_MM]
        pairs = [later for one, later in itertools.pairwise(over) if later == one + 1]
        flags = [verdict.flag for verdict in judged.verdicts[low : high + 1]]
        is_late = bool(pairs) and not any(
            state in {EventState.CONFIRMED, EventState.UPDATED} for state in states[low : pairs[0] + 1]
        )
        is_missed = bool(over) and not pairs and not any(states[over[0] : over[-1] + 1])
        failed = flags.count(Flag.FAIL)
        found += Hidden(
            1,
            bool(pairs),
            bool(over) and not pairs,
            len(flags),
            flags.count(Flag.SUSPECT),
            failed,
            is_late,
            is_missed,
            (f"{flood.sensor}, {max(flood.depths_mm):.0f} mm",) if failed or is_late or is_missed else (),
        )
    return found


def detect(street: Street, judged: Judged) -> list[EventState | None]:
    """The state in which a revision was told at each sample."""
    ids = itertools.count(1)
    detector = Detector([RULE], gateway="gw-1", device="road-1", new_id=lambda: f"{next(ids):032x}")
    told: list[EventState | None] = []
    for at, value, said in zip(street.series.times, street.series.values, judged.at_once, strict=True):
        event = detector.feed(Reading("road-1", "depth", at, value, said.flag, said.tests))
        told.append(None if event is None else event.state)
    return told
