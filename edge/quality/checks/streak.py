"""What is common to checks of one poll: a contradiction counts once it has lasted, while the values are large."""

from __future__ import annotations

from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import SanityChoice
from edge.contract.readings import Test

POLLS: Final = 3  # in a row
LASTS_MS: Final = 60_000
LARGE: Final = 0.02  # of the largest that was ever seen: below, a meter may be as wrong as it likes
FADES: Final = 0.9999  # of the largest, a poll


class StreakState(msgspec.Struct):
    """What is remembered."""

    largest: float = 0.0
    polls: int = 0
    since: int = 0


class Streak:
    """Counts polls that contradict, in a row."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = StreakState()

    def is_large(self, size: float) -> bool:
        """Whether a size is worth a look, compared with the largest that was seen."""
        state = self.state
        state.largest = max(size, state.largest * FADES)
        return size >= LARGE * state.largest

    def feed(self, at_ms: int, *, is_wrong: bool) -> bool:
        """Return whether it has been wrong for long enough to say so."""
        state = self.state
        if not is_wrong:
            state.polls = 0
            return False
        if not state.polls:
            state.since = at_ms
        state.polls += 1
        return state.polls >= POLLS and at_ms - state.since >= LASTS_MS


class SanityCheck:
    """A check of figures that may differ by a share, and that remembers nothing but its streak."""

    def __init__(self, name: str, choice: SanityChoice | None, share: float) -> None:
        """``share``: where nobody says otherwise."""
        self.name = name
        self._choice, self._share = choice, share_of(choice, share)
        self._streak = Streak()

    def state(self) -> bytes:
        """As bytes."""
        return msgspec.msgpack.encode(self._streak.state)

    def restore(self, state: bytes) -> None:
        """From bytes; raises ValueError for those that are none."""
        try:
            self._streak.state = msgspec.msgpack.decode(state, type=StreakState)
        except msgspec.MsgspecError as error:
            raise ValueError(f"no state of a check: {error}") from None

    def shift(self, by_ms: int) -> None:
        """Move with the clock."""
        self._streak.state.since += by_ms


def share_of(choice: SanityChoice | None, default: float) -> float:
    """By which share two figures may differ."""
    return default if choice is None or choice.share is None else choice.share


def share_limit(choice: SanityChoice | None, share: float, note: str) -> LearnedLimit:
    """What may be between two figures, for people."""
    source = "default" if choice is None or choice.share is None else choice.source
    return LearnedLimit(test=Test.SANITY, high=100 * share, unit="%", source=source, note=note)
