"""Judges a counter that only grows by what it gains in each half hour.

Half hours begin on the clock. The first count in a new one closes the last: what was gained between the first counts of
two neighbouring half hours, scaled to 30 minutes, is the use that :class:`~edge.quality.meter.UseJudge` looks at; its
verdict stands at the count that closed it. All other counts pass, and none is held: a count is not wrong because much
was used. A fall of the counter, or an hour without any count, begins anew. A meter that is read less often than every
half hour is judged by what it gains from one reading to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice
from edge.quality.judge import PASS, PASSED, Step, Verdict
from edge.quality.kept import Kept, Moment, Number
from edge.quality.meter import UseJudge, UseState

SLOT_MS: Final = 30 * 60_000


class _State(msgspec.Struct):
    use: UseState
    slot: Moment | None = None  # half hours since 1970
    first: Number = 0.0
    first_at: Moment = 0


class CounterJudge(Kept[_State]):
    """Judges one counter."""

    __slots__ = ("_slot_ms", "_use")

    def __init__(self, *, interval_ms: int | None = None, choice: QualityChoice | None = None) -> None:
        self._slot_ms = max(SLOT_MS, interval_ms or 0)
        self._use = UseJudge(choice=choice)
        super().__init__(_State(UseState(interval_ms=self._slot_ms)))
        self._use.go_on(self._state.use)

    @property
    def doubt(self) -> Verdict:
        """Nothing is ever held."""
        return PASS

    def feed(self, at_ms: int, value: float) -> Step:
        """Take the next count."""
        state, slot = self._state, at_ms // self._slot_ms
        before, first, first_at = state.slot, state.first, state.first_at
        if slot == before and value >= first:
            return PASSED
        state.slot, state.first, state.first_at = slot, value, at_ms
        if before is None:
            return PASSED
        if value < first or not 0 < at_ms - first_at < 2 * self._slot_ms:
            self._use.miss(at_ms)
            return PASSED
        # the use belongs to the half hour that is over
        step = self._use.feed(first_at, (value - first) * self._slot_ms / (at_ms - first_at))
        if step is PASSED:
            return PASSED
        said = self._use.doubt if step.now is None else step.now
        return PASSED if said is PASS else Step(None, said)

    def miss(self, at_ms: int) -> Verdict | None:  # noqa: ARG002 -- of the seam
        """A count that did not come changes nothing: the next one has all that was used."""
        return None

    def limits(self) -> Sequence[LearnedLimit]:
        """What is known of the use of half hours."""
        return self._use.limits()

    def go_on(self, state: _State) -> None:
        """Everything."""
        self._use.go_on(state.use)
        self._state = state

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much; the half hour that was broken off is left out."""
        self._use.shift(by_ms)
        self._state.slot = None
