"""Whether voltage, current and power factor go with the power: no more than V·A, with a power factor just as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from edge.contract.limits import LearnedLimit
from edge.contract.quality_config import SanityChoice
from edge.contract.readings import Test
from edge.quality.checks.streak import SanityCheck, share_limit

SHARE: Final = 0.1
LEAST_VA: Final = 50.0  # below, a meter of 100 A need not know its current
DIGITS: Final = 2
PERCENT_FROM: Final = 1.5  # a power factor above is one in per cent


class Triangle(SanityCheck):
    """The points of one phase, or of all together; each may be absent but the power."""

    def __init__(
        self,
        active_power: str,
        *,
        voltage: str = "",
        current: str = "",
        apparent_power: str = "",
        power_factor: str = "",
        digit: float = 0.0,
        choice: SanityChoice | None = None,
    ) -> None:
        super().__init__(f"triangle/{active_power}", choice, SHARE)
        self._power, self._voltage, self._current = active_power, voltage, current
        self._apparent, self._factor = apparent_power, power_factor
        self._least = DIGITS * digit

    def feed(self, at_ms: int, values: Mapping[str, float]) -> Mapping[str, Test]:
        """Take one poll."""
        power = values.get(self._power)
        if power is None:
            return {}
        volts, amperes = values.get(self._voltage), values.get(self._current)
        shown = values.get(self._apparent)
        found = list[tuple[float, tuple[str, ...]]]()
        if volts is not None and amperes is not None:
            found.append((abs(volts * amperes), (self._voltage, self._current)))
        if shown is not None:
            found.append((abs(shown), (self._apparent,)))
        factor = values.get(self._factor)
        if factor is not None and abs(factor) > PERCENT_FROM:
            factor /= 100
        largest = max((apparent for apparent, _ in found), default=0.0)
        largest = max(largest, abs(power))
        if not found or not self._state.is_large(largest) or largest < LEAST_VA:
            return {}
        wrong = [points for apparent, points in found if self._is_wrong(abs(power), apparent, factor)]
        if not self._state.feed(at_ms, is_wrong=bool(wrong)):
            return {}
        points = {self._power, *(point for points in wrong for point in points)}
        return dict.fromkeys(points if factor is None else points | {self._factor}, Test.SANITY)

    def _is_wrong(self, power: float, apparent: float, factor: float | None) -> bool:
        room = self._least + self._share * max(apparent, power)
        if power > apparent + room:
            return True
        return bool(factor) and abs(power - apparent * abs(factor or 0.0)) > room

    def limits(self) -> Mapping[str, Sequence[LearnedLimit]]:
        """By how much they may differ."""
        return {self._power: [share_limit(self._choice, self._share, "between the power and volts times amperes")]}
