"""Pure: judges a contact that is 0 (dry) or 1 (wet): a water switch, or the leak alarm of a meter.

=======  =====================================================================================================
test     flags (3)
=======  =====================================================================================================
spike    one that chatters: four changes in ten minutes, and until it has kept still for as long
flat     one that is wet for three days on end: no street is; it is stuck, dirty or short-circuited
gap (2)  the first sample after some that did not come
=======  =====================================================================================================

Nothing is held back. A contact that is dry for years is as it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import QualityChoice
from edge.contract.readings import Flag, Test
from edge.quality.judge import PASS, PASSED, Step, Verdict
from edge.quality.kept import Kept, Moment

CHANGES: Final = 4
WITHIN_MS: Final = 10 * 60_000
WET_MS: Final = 72 * 3_600_000
LATE: Final = 3  # intervals


class _State(msgspec.Struct):
    at_ms: Moment | None = None
    is_wet: bool = False
    since_ms: Moment = 0  # it is so
    changes: Annotated[list[Moment], Meta(max_length=CHANGES)] = msgspec.field(default_factory=list)  # the latest
    is_chattering: bool = False


class ContactJudge(Kept[_State]):
    """Judges one contact."""

    __slots__ = ("_choice", "_late_ms", "_off", "_wet_ms")

    def __init__(self, *, interval_ms: int | None = None, choice: QualityChoice | None = None) -> None:
        """Know of no sample yet."""
        self._choice = choice or QualityChoice()
        flat, gap = self._choice.flat, self._choice.gap
        self._wet_ms = 1000 * flat.after_s if flat is not None and flat.after_s else WET_MS
        self._late_ms = 1000 * gap.after_s if gap is not None and gap.after_s else LATE * (interval_ms or WET_MS)
        off = {"spike": Test.SPIKE, "flat": Test.FLAT, "gap": Test.GAP}
        self._off = sum(test for name, test in off.items() if self._choice.is_off(name))
        super().__init__(_State())

    @property
    def doubt(self) -> Verdict:
        """Nothing is held."""
        return PASS

    def feed(self, at_ms: int, value: float) -> Step:
        """See :class:`edge.quality.judge.Judge`."""
        state, is_wet = self._state, value != 0
        passed_ms = 0 if state.at_ms is None else at_ms - state.at_ms
        if state.at_ms is None:
            state.is_wet, state.since_ms = is_wet, at_ms
        state.at_ms = at_ms
        if is_wet is not state.is_wet:
            state.is_wet, state.since_ms = is_wet, at_ms
            state.changes = [*state.changes[1 - CHANGES :], at_ms]
            state.is_chattering |= len(state.changes) == CHANGES and at_ms - state.changes[0] <= WITHIN_MS
        elif state.is_chattering:
            state.is_chattering = at_ms - state.since_ms < WITHIN_MS
        tests = Test.SPIKE if state.is_chattering else 0
        if is_wet and at_ms - state.since_ms > self._wet_ms:
            tests |= Test.FLAT
        tests &= ~self._off
        if tests:
            return Step(None, Verdict(Flag.SUSPECT, tests))
        if passed_ms > self._late_ms and not self._off & Test.GAP:
            return Step(None, Verdict(Flag.NOT_EVALUATED, Test.GAP))
        return PASSED

    def miss(self, at_ms: int) -> Verdict | None:  # noqa: ARG002 -- as every judge
        """Nothing is held."""
        return None

    def limits(self) -> Sequence[LearnedLimit]:
        """How long it may be wet."""
        flat = self._choice.flat
        source = "default" if flat is None or not flat.after_s else flat.source
        limit = LearnedLimit(test=Test.FLAT, high=self._wet_ms / 1000, unit="s", source=source, note="wet for so long")
        return [] if self._off & Test.FLAT else [limit]

    def shift(self, by_ms: int) -> None:
        """See :class:`edge.quality.judge.Judge`."""
        state = self._state
        if state.at_ms is not None:
            state.at_ms += by_ms
            state.since_ms += by_ms
            state.changes = [one + by_ms for one in state.changes]
