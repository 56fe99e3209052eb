"""How high a value ever goes, learned from the tops of days.

The second highest day counts, so that one wrong day does not, times a margin that is wider while few days are known.
What was flagged is not learned from, unless it comes again on several days within two weeks and is not out of all
proportion: then somebody has bought a bigger heater.
"""

from __future__ import annotations

from typing import Final

import msgspec

DAY_MS: Final = 86_400_000
MARGIN: Final = 1.6
FEW_DAYS: Final = 20.0  # of known days: the margin is wider by this over them
OF_ALL_PROPORTION: Final = 4.0  # times the limit
AGAIN_MS: Final = 14 * DAY_MS
DECAY: Final = 0.999  # a day


class TopsState(msgspec.Struct):
    """What is remembered."""

    highest: float = 0.0  # of all days
    second: float = 0.0
    today: float = 0.0
    day: int | None = None
    days: int = 0
    refused: list[tuple[int, float]] = msgspec.field(default_factory=list)  # day and height: the latest few


class Tops:
    """``again``: on how many days something that was flagged must come to be believed."""

    __slots__ = ("_again", "limit", "state")

    def __init__(self, again: int) -> None:
        self._again = again
        self.restore(TopsState())

    def restore(self, state: TopsState) -> None:
        """Go on from a state."""
        self.state = state
        self.limit = self._limit()

    def _limit(self) -> float:
        """Above it a value is strange; 0 while nothing is known."""
        state = self.state
        return state.second * (MARGIN + FEW_DAYS / state.days) if state.days else 0.0

    def learn(self, day: int, height: float) -> None:
        """Take a height that was not flagged."""
        state = self.state
        if day != state.day:
            if state.day is not None and state.today > 0:
                self._close(state.today)
            state.day, state.today = day, 0.0
        state.today = max(state.today, height)

    def _close(self, top: float) -> None:
        state = self.state
        state.days += 1
        state.highest *= DECAY
        state.second *= DECAY
        if top > state.highest:
            state.highest, state.second = top, state.highest
        elif top > state.second:
            state.second = top
        self.limit = self._limit()

    def refuse(self, day: int, height: float) -> None:
        """Take a height that was flagged."""
        state = self.state
        if height > OF_ALL_PROPORTION * self.limit:
            return
        kept = [(one, high) for one, high in state.refused if 0 < day - one < AGAIN_MS // DAY_MS][-8:]
        kept.append((day, height))
        if len(kept) >= self._again:
            state.second = max(state.second, sorted(high for _, high in kept)[-2])
            state.highest = max(state.highest, state.second)
            self.limit = self._limit()
            kept = []
        state.refused = kept
