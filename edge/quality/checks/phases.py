"""Whether the phases of a meter make its total, and whether one of them runs backwards.

A current transformer that was put on the wrong way round shows the use of its phase as negative, always. A solar roof
on one phase does so too, but not at night: only a phase that was negative throughout a whole day, while others
imported, is said to be reversed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import SanityChoice
from edge.contract.readings import Id, Test
from edge.quality.checks.streak import SanityCheck, share_limit
from edge.quality.kept import Count, Kept, Moment, Size

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
        if not self._state.is_large(max(size, abs(total))):
            return {}
        is_wrong = apart > self._least + self._share * max(size, abs(total))
        if not self._state.feed(at_ms, is_wrong=is_wrong):
            return {}
        return dict.fromkeys((self._total, *self._parts), Test.SANITY)

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """By how much they may differ."""
        return {self._total: [share_limit(self._choice, self._share, "between the total and the sum of the phases")]}


class _Negative(msgspec.Struct):
    since: Moment  # and never positive since then
    latest: Moment
    polls: Count = 0


class _Signs(msgspec.Struct):
    largest: Size = 0.0
    last_at: Moment = 0
    negative: Annotated[dict[Id, _Negative], Meta(max_length=3)] = msgspec.field(default_factory=dict)  # phases


class Reversed(Kept[_Signs]):
    """Looks for a phase that is negative for a day while the others import."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.name = f"reversed/{parts[0]}"
        self._parts = tuple(parts)
        super().__init__(_Signs())

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Take one poll."""
        signs = self._state
        parts = {part: values[part] for part in self._parts if part in values}
        if len(parts) < len(self._parts):
            return {}
        if at_ms - signs.last_at > GAP_MS:
            signs.negative.clear()
        signs.last_at = at_ms
        signs.largest = max(signs.largest * 0.9999, *map(abs, parts.values()))
        least = max(LEAST_W, LARGE * signs.largest)
        negative = [part for part, value in parts.items() if value < -least]
        for part, value in parts.items():
            if value > least or len(negative) > 1:
                signs.negative.pop(part, None)
        for part in negative if len(negative) == 1 else ():
            if any(value > least for other, value in parts.items() if other != part):
                self._note(part, at_ms)
        return {part: Test.REVERSED for part in negative if self._is_reversed(part, at_ms)}

    def _note(self, part: str, at_ms: int) -> None:
        known = self._state.negative.get(part)
        if known is None or at_ms - known.latest > NIGHT_MS:
            known = self._state.negative[part] = _Negative(at_ms, at_ms)
        known.latest = at_ms
        known.polls += 1

    def _is_reversed(self, part: str, at_ms: int) -> bool:
        known = self._state.negative.get(part)
        return known is not None and at_ms - known.since >= DAY_MS and known.polls >= LEAST_POLLS

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """Nothing is learned."""
        return {}

    def shift(self, by_ms: int) -> None:
        """Move with the clock."""
        signs = self._state
        signs.last_at += by_ms
        for known in signs.negative.values():
            known.since += by_ms
            known.latest += by_ms
