"""Whether the phases of a meter make its total, and whether one of them runs backwards.

A current transformer that was put on the wrong way round shows the use of its phase as negative, always. A solar roof
on one phase does so too, but not at night: only a phase that was negative throughout a whole day, while others
imported, is said to be reversed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import SanityChoice
from edge.contract.readings import Test
from edge.quality.checks.streak import SanityCheck, share_limit

SHARE: Final = 0.05
DIGITS: Final = 2
LEAST_W: Final = 20.0
DAY_MS: Final = 86_400_000
GAP_MS: Final = 2 * 3_600_000
NIGHT_MS: Final = 4 * 3_600_000  # so long a phase may show nothing; a night without sun is longer
LEAST_POLLS: Final = 24
LARGE: Final = 0.02


class Phases(SanityCheck):
    """Compares the sum of the phases with the total; some meters show the total without a sign."""

    def __init__(
        self, parts: Sequence[str], total: str, *, digit: float = 0.0, choice: SanityChoice | None = None
    ) -> None:
        super().__init__(f"phases/{total}", choice, SHARE)
        self._parts, self._total = tuple(parts), total
        self._least = max(LEAST_W, DIGITS * digit * (len(parts) + 1))

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Take one poll."""
        total = values.get(self._total)
        parts = [values[part] for part in self._parts if part in values]
        if total is None or len(parts) < len(self._parts):
            return {}
        added, size = sum(parts), sum(map(abs, parts))
        apart = min(abs(added - total), abs(abs(added) - abs(total)), abs(size - abs(total)))
        if not self._streak.is_large(max(size, abs(total))):
            return {}
        is_wrong = apart > self._least + self._share * max(size, abs(total))
        if not self._streak.feed(at_ms, is_wrong=is_wrong):
            return {}
        return dict.fromkeys((self._total, *self._parts), Test.SANITY)

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """By how much they may differ."""
        return {self._total: [share_limit(self._choice, self._share, "between the total and the sum of the phases")]}


class _Signs(msgspec.Struct):
    largest: float = 0.0
    last_at: int = 0
    since: dict[str, int] = msgspec.field(default_factory=dict)  # negative, and nothing else, since then
    latest: dict[str, int] = msgspec.field(default_factory=dict)
    polls: dict[str, int] = msgspec.field(default_factory=dict)


class Reversed:
    """Looks for a phase that is negative for a day while the others import."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.name = f"reversed/{parts[0]}"
        self._parts = tuple(parts)
        self._signs = _Signs()

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Take one poll."""
        signs = self._signs
        parts = {part: values[part] for part in self._parts if part in values}
        if len(parts) < len(self._parts):
            return {}
        if at_ms - signs.last_at > GAP_MS:
            signs.since.clear()
        signs.last_at = at_ms
        signs.largest = max(signs.largest * 0.9999, *map(abs, parts.values()))
        least = max(LEAST_W, LARGE * signs.largest)
        negative = [part for part, value in parts.items() if value < -least]
        for part, value in parts.items():
            if value > least or len(negative) > 1:
                signs.since.pop(part, None)
        for part in negative if len(negative) == 1 else ():
            if any(value > least for other, value in parts.items() if other != part):
                self._note(part, at_ms)
        return {part: Test.REVERSED for part in negative if self._is_reversed(part, at_ms)}

    def _note(self, part: str, at_ms: int) -> None:
        signs = self._signs
        if part not in signs.since or at_ms - signs.latest[part] > NIGHT_MS:
            signs.since[part], signs.polls[part] = at_ms, 0
        signs.latest[part] = at_ms
        signs.polls[part] += 1

    def _is_reversed(self, part: str, at_ms: int) -> bool:
        since = self._signs.since.get(part)
        return since is not None and at_ms - since >= DAY_MS and self._signs.polls[part] >= LEAST_POLLS

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """Nothing is learned."""
        return {}

    def state(self) -> bytes:
        """As bytes."""
        return msgspec.msgpack.encode(self._signs)

    def restore(self, state: bytes) -> None:
        """From bytes; raises ValueError for those that are none."""
        try:
            self._signs = msgspec.msgpack.decode(state, type=_Signs)
        except msgspec.MsgspecError as error:
            raise ValueError(f"no state of a check: {error}") from None

    def shift(self, by_ms: int) -> None:
        """Move with the clock."""
        signs = self._signs
        signs.last_at += by_ms
        signs.since = {part: at + by_ms for part, at in signs.since.items()}
        signs.latest = {part: at + by_ms for part, at in signs.latest.items()}
