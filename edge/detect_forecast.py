"""Pure: when the next level will be reached, should it go on as it does.

The latest samples say how fast it rises, by the median of their slopes. A rise is told only where it is one: most
slopes go up, and by more than three digits of the sensor together. Nobody can see further ahead than the samples reach
back, so a level that is further off than that is not told.

How wrong the pace may be, the slopes say (the slowest and the fastest tenth of them are left out); but water also
changes its pace, which no sample of the past says: it may go on ``FASTER`` times as fast, or ``SLOWER`` times as slow.
So the interval holds about four of five crossings of recorded street floods, where the level is reached at all;
tests/edge/test_forecasts.py counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

from edge.contract.messages import Forecast
from edge.contract.rules import DeviceRule
from edge.detect_measures import digit_of, median_slope

RECENT: Final = 6  # samples
LEAST: Final = 4  # of them
DIGITS: Final = 3
FASTER: Final = 1.5
SLOWER: Final = 2.5
LEFT_OUT: Final = 0.1  # of the slopes, at either end
FURTHEST_MS: Final = 12 * 3_600_000


def forecast_of(recent: Sequence[tuple[int, float]], rule: DeviceRule) -> Forecast | None:
    """Return when samples that rise so will reach the rule's threshold; None where nobody can tell."""
    if len(recent) < LEAST or recent[-1][1] <= recent[0][1]:
        return None
    pace, span_ms = median_slope(recent), recent[-1][0] - recent[0][0]
    if pace <= 0 or pace * span_ms < DIGITS * digit_of(recent):
        return None
    slopes = sorted((b - a) / (then - at) for (at, a), (then, b) in combinations(recent, 2))
    left_out = round(LEFT_OUT * len(slopes))
    slowest, fastest = slopes[left_out], slopes[-1 - left_out]
    to_go = rule.threshold - recent[-1][1]
    likely_ms = to_go / pace
    if slowest <= 0 or likely_ms > min(span_ms, FURTHEST_MS):
        return None
    return Forecast(
        class_code=rule.class_code,
        threshold=rule.threshold,
        unit=rule.unit,
        likely_s=round(likely_ms / 1000),
        early_s=round(to_go / max(fastest, pace * FASTER) / 1000),
        late_s=min(round(to_go / min(slowest, pace / SLOWER) / 1000), 2 * FURTHEST_MS // 1000),
    )


def is_news(new: Forecast | None, told: Forecast | None, *, passed_ms: int) -> bool:
    """Whether a forecast is worth a revision, so long after another was told: it says what that one does not hold."""
    if new is None or told is None:
        return new is not told
    passed_s = passed_ms / 1000
    return new.class_code != told.class_code or not told.early_s <= new.likely_s + passed_s <= told.late_s
