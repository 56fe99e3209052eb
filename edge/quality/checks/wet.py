"""A wet contact against the depth that the same device measures.

A contact hangs at some height; it is learned as the lowest depth at which it has been wet. *Wet on a dry road* for half
an hour: one of both is wrong, and both are flagged. *Dry in deep water*: as long as nobody has seen the contact get
wet, it is the one that is flagged; one that has worked before speaks against the depth too, which may be a box under
the sensor. Both must have lasted some polls: by then the event of a flood has been raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.contract.limits import LearnedLimit
from edge.contract.readings import Test
from edge.quality.kept import Count, Kept, Moment, Number

DRY_MM: Final = 10.0
DEEP_MM: Final = 100.0  # unless it is known where the contact hangs
ABOVE_MM: Final = 30.0  # waves and tilt
POLLS: Final = 3
DEEP_MS: Final = 3 * 60_000
WET_MS: Final = 30 * 60_000


class _State(msgspec.Struct):
    height: Number | None = None  # lowest depth at which the contact was wet
    wrong: Annotated[int, Meta(ge=-1, le=1)] = 0  # 1: wet on a dry road, -1: dry in deep water
    polls: Count = 0
    since_ms: Moment = 0


class WetContact(Kept[_State]):
    """Compares one contact with one depth, mm."""

    def __init__(self, contact: str, depth: str) -> None:
        self.name = f"wet/{contact}"
        self._contact, self._depth = contact, depth
        super().__init__(_State())

    @property
    def _deep(self) -> float:
        height = self._state.height
        return DEEP_MM if height is None else height + ABOVE_MM

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Take one poll."""
        contact, depth = values.get(self._contact), values.get(self._depth)
        if contact is None or depth is None:
            return {}
        state = self._state
        if contact and depth > DRY_MM:
            state.height = depth if state.height is None else min(depth, state.height)
        wrong = 0
        if contact and depth <= DRY_MM:
            wrong = 1
        elif not contact and depth > self._deep:
            wrong = -1
        if wrong != state.wrong:
            state.wrong, state.polls, state.since_ms = wrong, 0, at_ms
        state.polls += 1
        lasts_ms = WET_MS if wrong > 0 else DEEP_MS
        if not wrong or state.polls < POLLS or at_ms - state.since_ms < lasts_ms:
            return {}
        if wrong < 0 and state.height is None:
            return {self._contact: Test.WET}
        return {self._contact: Test.WET, self._depth: Test.WET}

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """From which depth on the contact must be wet."""
        is_learned = self._state.height is not None
        note = "the contact has been wet at less" if is_learned else "nobody has seen the contact get wet"
        limit = LearnedLimit(test=Test.WET, high=self._deep, source="learned" if is_learned else "default", note=note)
        return {self._depth: [limit]}

    def shift(self, by_ms: int) -> None:
        """Move with the clock."""
        self._state.since_ms += by_ms
