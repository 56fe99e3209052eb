"""A flow of 0 that is none: the pipe is empty, or the meter has no signal, and says so in another point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from edge.contract.limits import LearnedLimit
from edge.contract.readings import Test
from edge.quality.kept import Kept


class _Nothing(msgspec.Struct):
    pass


class NoSignal(Kept[_Nothing]):
    """Believes no flow of 0 while one of the signs stands."""

    def __init__(self, flow: str, signs: Sequence[str]) -> None:
        super().__init__(_Nothing())
        self.name = f"no-signal/{flow}"
        self._flow, self._signs = flow, tuple(signs)

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:  # noqa: ARG002 -- of the seam
        """Take one poll."""
        if values.get(self._flow) == 0 and any(values.get(sign) for sign in self._signs):
            return {self._flow: Test.SANITY}
        return {}

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """There are none."""
        return {}

    def shift(self, by_ms: int) -> None:
        """Nothing is remembered."""
