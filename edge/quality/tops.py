"""How high a value ever goes, learned from the tops of days.

The second highest day counts, so that one wrong day does not, times a margin that is wider while few days are known.
What was flagged is not learned from, unless it comes again on several days within two weeks and is not out of all
proportion: then somebody has bought a bigger heater.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Day, Size

DAY_MS: Final = 86_400_000
MARGIN: Final = 1.6
FEW_DAYS: Final = 20.0  # of known days: the margin is wider by this over them
OF_ALL_PROPORTION: Final = 4.0  # times the limit
AGAIN_MS: Final = 14 * DAY_MS
DECAY: Final = 0.999  # a day
_REFUSED: Final = 9  # the latest of them


class Tops(msgspec.Struct):
    """The highest values of days, and the limit that follows from them."""

    highest: Size = 0.0  # of all days
    second: Size = 0.0
    today: Size = 0.0
    day: Day | None = None
    days: Count = 0
    refused: Annotated[list[tuple[Day, Size]], Meta(max_length=_REFUSED)] = msgspec.field(default_factory=list)
    limit: Size = 0.0  # above it a value is strange; 0 while nothing is known

    def learn(self, day: int, height: float) -> None:
        """Take a height that was not flagged."""
        if day != self.day:
            if self.day is not None and self.today > 0:
                self._close(self.today)
            self.day, self.today = day, 0.0
        self.today = max(self.today, height)

    def _close(self, top: float) -> None:
        self.days += 1
        self.highest *= DECAY
        self.second *= DECAY
        if top > self.highest:
            self.highest, self.second = top, self.highest
        elif top > self.second:
            self.second = top
        self._set_limit()

    def _set_limit(self) -> None:
        self.limit = self.second * (MARGIN + FEW_DAYS / self.days) if self.days else 0.0

    def refuse(self, day: int, height: float, *, again: int) -> None:
        """Take a height that was flagged; on so many days it must come again to be believed."""
        if height > OF_ALL_PROPORTION * self.limit:
            return
        kept = [(one, high) for one, high in self.refused if 0 < day - one < AGAIN_MS // DAY_MS][1 - _REFUSED :]
        kept.append((day, height))
        if len(kept) >= again:
            self.second = max(self.second, sorted(high for _, high in kept)[-2])
            self.highest = max(self.highest, self.second)
            self._set_limit()
            kept = []
        self.refused = kept
