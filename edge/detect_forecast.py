"""Pure: when the next level will be reached, should it go on as it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edge.contract.messages import Forecast
from edge.contract.rules import DeviceRule

RECENT: Final = 12  # samples


def forecast_of(recent: Sequence[tuple[int, float]], rule: DeviceRule) -> Forecast | None:
    """Return when samples that rise so will reach the rule's threshold; None where nobody can tell."""
    return None


def is_news(new: Forecast | None, told: Forecast | None, *, passed_ms: int) -> bool:
    """Whether a forecast is worth a revision, so long after another was told."""
    return False
