"""What long work says of itself: a line every few seconds, and none where it is short."""

import time
from collections.abc import Callable

Say = Callable[[str], object]

EVERY_S = 5.0


class Progress:
    """Says how far the work is, at most every `every_s` seconds; what is worth a line of its own goes to `say`."""

    def __init__(self, say: Say, *, every_s: float = EVERY_S) -> None:
        self.say = say
        self._every_s = every_s
        self._said_at = time.monotonic()

    def at(self, thing: str, number: int, of: str) -> None:
        """Note how many of something are done: `ledger: 120,000 rows`."""
        now = time.monotonic()
        if now - self._said_at >= self._every_s:
            self._said_at = now
            self.say(f"{thing}: {number:,} {of}")
