"""Pure: one level of an event: is the condition of its rule met, for long enough, and is it over again.

========== ============================================================================================
a level    when
========== ============================================================================================
runs       the latest samples meet the condition, though not enough of them yet
is on      a run had the rule's ``samples`` and lasted its ``hold``
is over    a sample at least ``clear_hold`` after the first one of an unbroken run of clear samples
========== ============================================================================================

A sample flagged 3 (suspect) never blocks a level and never brings one on alone: a run of nothing but 3s needs one
sample more. What looks like vehicles or like snow (``BOX``, ``PULSES``, ``BLIP``, ``SNOW``) stays, so that further
samples of the kind prove nothing: it keeps the run, and the first sample that does not look so decides.

*Over* and *clear* by comparison: ``at_least``: value >= threshold, value < clear; ``below``: value < threshold,
value >= clear; ``equals``: value == threshold, value != threshold.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from edge.contract.readings import ARTEFACTS, Flag, Reading
from edge.contract.rules import DeviceRule

Peak = float | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Level(Struct, kw_only=True):
    """All that is remembered of one rule while an event of its ladder is open."""

    run: int = 0  # samples that meet the condition, in a row, until it is on
    since: int = 0  # the first of them
    is_trusted: bool = False  # at least one of them was not flagged 3
    is_on: bool = False
    clear_since: int | None = None  # first of the present run of clear samples
    peak: Peak | None = None  # since the event began: the highest, of `below` the lowest

    @property
    def is_active(self) -> bool:
        """Whether it runs or is on."""
        return self.is_on or self.run > 0

    def begin_anew(self) -> None:
        """Forget what was, as the event is over."""
        self.run, self.is_trusted, self.is_on, self.clear_since, self.peak = 0, False, False, None, None

    def feed(self, rule: DeviceRule, value: float, reading: Reading) -> None:
        """Take what the rule looks at, as it is with this reading."""
        if self.is_on:
            self._follow(rule, value, reading.taken_at)
        elif is_over(rule, value):
            self._count(rule, reading)
        else:
            self.run, self.is_trusted = 0, False

    def note_peak(self, rule: DeviceRule, value: float) -> None:
        """Take a value of an open event into account."""
        worst = min if rule.comparison == "below" else max
        self.peak = value if self.peak is None else worst(self.peak, value)

    def _count(self, rule: DeviceRule, reading: Reading) -> None:
        if self.run == 0:
            self.since = reading.taken_at
        self.run += 1
        self.is_trusted |= reading.flag != Flag.SUSPECT
        enough = self.run >= rule.samples + (not self.is_trusted) and not reading.tests & ARTEFACTS
        if enough and reading.taken_at - self.since >= 1000 * rule.hold_s:
            self.run, self.is_trusted, self.is_on, self.clear_since = 0, False, True, None

    def _follow(self, rule: DeviceRule, value: float, taken_at: int) -> None:
        if not is_clear(rule, value):
            self.clear_since = None
            return
        if self.clear_since is None:
            self.clear_since = taken_at
        if taken_at - self.clear_since >= 1000 * rule.clear_hold_s:
            self.is_on, self.clear_since = False, None


def is_over(rule: DeviceRule, value: float) -> bool:
    """Say whether the value meets the rule's condition."""
    if rule.comparison == "at_least":
        return value >= rule.threshold
    if rule.comparison == "below":
        return value < rule.threshold
    return value == rule.threshold


def is_clear(rule: DeviceRule, value: float) -> bool:
    """Say whether the value is on the safe side of the hysteresis."""
    if rule.comparison == "at_least":
        return value < rule.clear
    if rule.comparison == "below":
        return value >= rule.clear
    return value != rule.threshold
