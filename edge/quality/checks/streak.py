"""What is common to checks of one poll: a contradiction counts once it has lasted, while the values are large."""

from __future__ import annotations

from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import SanityChoice
from edge.contract.readings import Test
from edge.quality.kept import Count, Kept, Moment, Size

POLLS: Final = 3  # in a row
LASTS_MS: Final = 60_000
LARGE: Final = 0.02  # of the largest that was ever seen: below, a meter may be as wrong as it likes
FADES: Final = 0.9999  # of the largest, a poll


class Streak(msgspec.Struct):
    """Counts polls that contradict, in a row."""

    largest: Size = 0.0
    polls: Count = 0
    since: Moment = 0

    def is_large(self, size: float) -> bool:
        """Whether a size is worth a look, compared with the largest that was seen."""
        self.largest = max(size, self.largest * FADES)
        return size >= LARGE * self.largest

    def feed(self, at_ms: int, *, is_wrong: bool) -> bool:
        """Return whether it has been wrong for long enough to say so."""
        if not is_wrong:
            self.polls = 0
            return False
        if not self.polls:
            self.since = at_ms
        self.polls += 1
        return self.polls >= POLLS and at_ms - self.since >= LASTS_MS


class SanityCheck(Kept[Streak]):
    """A check of figures that may differ by a share, and that remembers nothing but its streak."""

    def __init__(self, name: str, choice: SanityChoice | None, share: float) -> None:
        """``share``: where nobody says otherwise."""
        self.name = name
        self._choice, self._share = choice, share_of(choice, share)
        super().__init__(Streak())

    def shift(self, by_ms: int) -> None:
        """Move with the clock."""
        self._state.since += by_ms


def share_of(choice: SanityChoice | None, default: float) -> float:
    """By which share two figures may differ."""
    return default if choice is None or choice.share is None else choice.share


def share_limit(choice: SanityChoice | None, share: float, note: str) -> LearnedLimit:
    """What may be between two figures, for people."""
    source = "default" if choice is None or choice.share is None else choice.source
    return LearnedLimit(test=Test.SANITY, high=100 * share, unit="%", source=source, note=note)
