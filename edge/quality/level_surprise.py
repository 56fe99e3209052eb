"""How far from its forecast a sample may be: learned from how far others were, and never below two digits.

Three limits, of which the widest holds: two digits; a factor times the *local* scale of the last samples, so that a
river in flood may do more than one at rest; and what the whole series does in one sample of a hundred, and half of it
more. The factor is learned too: it covers one sample of fifty and as much again and half of it. Quantiles are hardly
moved by faults, so every surprise may teach them.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from edge.quality.kept import Count, Moment, Size
from edge.quality.scale import Quantiles, Spread

_DIGITS = 2.05  # two, and what rounding makes of them
_AT_FIRST = 20  # samples: nothing is known
_YOUNG = 200
_FACTOR, _FACTOR_OF, _LEAST_FACTOR, _MOST_FACTOR = 2.5, 0.98, 6.0, 30.0
_USUAL, _USUAL_OF = 1.5, 0.99
_UNREST_HALF_MS = 24 * 3_600_000
_MOST_UNREST = 2.0


class Surprises(msgspec.Struct):
    """Learns the limit of surprises."""

    fast: Spread = msgspec.field(default_factory=lambda: Spread(16.0))
    slow: Spread = msgspec.field(default_factory=lambda: Spread(400.0))
    ratios: Quantiles = msgspec.field(default_factory=lambda: Quantiles(5000.0))
    sizes: Quantiles = msgspec.field(default_factory=lambda: Quantiles(8000.0))
    factor: Size = 10.0
    usual: Size = 0.0
    count: Count = 0
    noted: Count = 0
    local: Size = 0.0  # as of the last limit that was asked for
    unrest: Annotated[float, Meta(ge=0, le=_MOST_UNREST)] = 0.0
    unrest_ms: Moment = 0

    def limit(self, at_ms: int, digit: float, lateness: float) -> float:
        """The widest surprise that is none, of a sample that came so many intervals after the one before it."""
        fast, slow = self.fast.mean, self.slow.mean / 2
        local = self.local = max(fast, slow, digit / 4)
        limit = max(_DIGITS * digit, self.factor * local, self.usual)
        if self.count < _YOUNG:
            if self.count < _AT_FIRST:
                return float("inf")
            limit *= 2
        if self.unrest > 0.05:
            self._calm_down(at_ms)
            limit *= 1 + self.unrest
        return limit * lateness**0.7 if lateness > 1.5 else limit

    def learn(self, size: float, digit: float) -> None:
        """Take the surprise of a sample that was let pass."""
        self.fast.add(size, digit)
        self.slow.add(size, digit)
        self.count += 1
        self.note(size)
        if self.count % 32 == 0 and self.count >= _YOUNG:
            self.usual = _USUAL * self.sizes.quantile(_USUAL_OF)
            self.factor = min(_MOST_FACTOR, max(_LEAST_FACTOR, _FACTOR * self.ratios.quantile(_FACTOR_OF)))

    def note(self, size: float) -> None:
        """Count one surprise, whatever it was; every second one tells as well."""
        self.noted += 1
        if self.noted & 1:
            return
        if self.local:
            self.ratios.add(size / self.local)
        self.sizes.add(size)

    def stir(self, at_ms: int) -> None:
        """The water itself leapt: ice, a gate, a flood. It will again."""
        self._calm_down(at_ms)
        self.unrest = min(_MOST_UNREST, self.unrest + 0.5)

    def _calm_down(self, at_ms: int) -> None:
        self.unrest *= 0.5 ** (max(0, at_ms - self.unrest_ms) / _UNREST_HALF_MS)
        self.unrest_ms = at_ms

    def shift(self, by_ms: int) -> None:
        """Take what follows as of a clock that was set on by so much."""
        self.unrest_ms += by_ms
