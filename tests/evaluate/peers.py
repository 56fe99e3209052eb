"""What others would flag: IOOS's implementation of the QARTOD tests, well tuned, and a Hampel filter.

Both are tuned per series on the same first 20 % that Anlan learns from, and better than a site could do it: faults of
the very kinds and sizes that are scored later, drawn with another seed, are injected into a copy of that part, and of a
grid of limits those are taken that have the best F1 of recall by episodes and precision by samples; of those that are
within 0.02 of it the most lenient ones, because seasons change. Limits are quantiles of what the test looks at, times a
margin, never below two digits. A test that flags more that is right than faults there is left out.

QARTOD (`ioos-qc`): spike (average and differential), rate of change, flat line, attenuated signal (standard deviation),
gross range, time gap; every sample gets the worst flag of all tests. Hampel: median and 1.4826 MAD of a centred window.
"""

from __future__ import annotations

import itertools
import logging
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from ioos_qc import qartod

from tests.evaluate.episodes import Flags, Score, score
from tests.evaluate.faults import HOUR_MS, PLANS, Nature, inject, nature_of
from tests.evaluate.series import Series

logging.getLogger("ioos_qc").setLevel(logging.ERROR)  # it would say of each window that it has gaps

Array = Any  # a numpy array, or a masked one
Apply = Callable[[Array, Array], Array]
"""Values and times (datetime64) -> flags."""

TUNING_SEED = 7_919  # no seed that is scored
PART = 0.999, 0.9999, 1.0
MARGINS = 1.0, 1.5, 2.0, 3.0, 5.0, 10.0
WINDOWS = 3, 5, 9, 15  # samples on each side
SIGMAS = 3.0, 4.5, 6.0, 9.0, 14.0, 20.0
FLAT_HOURS = 1, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48, 72, 120


class Method(NamedTuple):
    """A method with the limits that it learned for one series; each test with the faults that it is meant for."""

    tests: list[tuple[tuple[str, ...], Apply]]

    def flag(self, series: Series, fault: str | None = None) -> Flags:
        """Flag every sample with the worst that a test says; an empty value, or its word, is 9.

        With a fault, only the tests that are meant for it say something.
        """
        values, times = arrays(series)
        worst = np.where(np.isnan(values), 9, 1)
        for faults, apply in self.tests:
            if fault is None or fault in faults:
                said = np.asarray(np.ma.filled(apply(values, times), 9))
                worst = np.where((said >= 3) & (worst != 9) & (said > worst), said, worst)
        return Flags(worst.tolist())


def arrays(series: Series) -> tuple[Array, Array]:
    """Values with NaN for what did not come, the sensor's word for it too; and times."""
    values = np.array([math.nan if value in {None, -9999.0} else value for value in series.values], dtype=float)
    return values, np.array(series.times, dtype="datetime64[ms]")


def tune_qartod(clean: Series) -> Method:
    """Choose the limits of each test."""
    start, nature = learning(clean), nature_of(clean)
    values, at = arrays(start)
    there = values[~np.isnan(values)]
    least = 2 * nature_of(start).digit
    seconds = np.diff(at).astype("timedelta64[ms]").astype(float) / 1000
    rates = np.abs(np.diff(values)) / seconds
    floor_rate = least / float(np.median(seconds))
    digit = nature_of(start).digit
    chosen = [
        _best(start, nature, ("spike",), spikes(values, least)),
        _best(start, nature, ("step", "spike"), map(rate, limits(rates, floor_rate))),
        _best(start, nature, ("flat",), flats(start, digit)),
        _best(start, nature, ("flat", "bypass"), attenuated(start)),
        _best(start, nature, ("range", "drift", "bypass"), ranges(there), judged_by=("range",)),
        _best(start, nature, ("dropout",), (gap(times * start.interval_ms) for times in (1.5, 3.0, 6.0, 12.0))),
    ]
    return Method([test for test in chosen if test is not None])


def tune_hampel(clean: Series) -> Method:
    """Choose the window and the number of sigmas."""
    start, nature = learning(clean), nature_of(clean)
    floor = 2 * nature_of(start).digit
    found = _best(
        start, nature, ("spike", "range"), (hampel(side, sigmas, floor) for sigmas in SIGMAS for side in WINDOWS)
    )
    return Method([] if found is None else [found])


def learning(clean: Series) -> Series:
    """The first 20 %."""
    return clean._replace(times=clean.times[: clean.learn], values=clean.values[: clean.learn])


def limits(seen: Array, least: float) -> list[float]:
    """Quantiles of what was seen, with margins."""
    seen = seen[np.isfinite(seen)]
    return sorted({max(least, float(np.quantile(seen, part)) * margin) for part in PART for margin in MARGINS})


def spikes(values: Array, least: float) -> Iterable[Apply]:
    """The spike test with each limit and method."""

    def test(limit: float, method: str) -> Apply:
        return lambda inp, _: qartod.spike_test(inp, suspect_threshold=limit, method=method)

    away = np.abs(values[1:-1] - (values[:-2] + values[2:]) / 2)
    return itertools.starmap(test, itertools.product(limits(away, least), ("average", "differential")))


def rate(limit: float) -> Apply:
    """The test of the rate of change, in units a second."""
    return lambda inp, times: qartod.rate_of_change_test(inp, times, limit)


def flats(start: Series, digit: float) -> Iterable[Apply]:
    """The flat line test with each length and tolerance."""

    def test(hours: int, tolerance: float) -> Apply:
        return lambda inp, times: qartod.flat_line_test(
            inp, times, suspect_threshold=hours * 3600, fail_threshold=10**9, tolerance=tolerance
        )

    interval, count = start.interval_ms, len(start.times)
    hours = [each for each in FLAT_HOURS if 3 * interval <= each * HOUR_MS < count * interval / 4]
    return itertools.starmap(test, itertools.product(hours, (0.5 * digit, 1.5 * digit)))


def attenuated(start: Series) -> Iterable[Apply]:
    """The attenuated signal test with each window and part of its usual deviation."""

    def test(limit: float, hours: int, least: int) -> Apply:
        return lambda inp, times: qartod.attenuated_signal_test(
            inp, times, limit, 0, test_period=hours * 3600, min_obs=least
        )

    values, _ = arrays(start)
    for hours, part in itertools.product((3, 6, 12, 24), (0.3, 0.1, 0.02)):
        per_window = round(hours * HOUR_MS / start.interval_ms)
        if 5 <= per_window <= len(values) // 4:
            parts = [values[at : at + per_window] for at in range(0, len(values), per_window)]
            usual = float(np.median([np.nanstd(each) for each in parts if not np.isnan(each).all()]))
            if usual > 0:
                yield test(part * usual, hours, per_window)


def ranges(there: Array) -> Iterable[Apply]:
    """The gross range test around what was seen, wider by multiples of it."""

    def test(margin: float) -> Apply:
        low, high = float(there.min()), float(there.max())
        wider = margin * (high - low) + 1e-9
        return lambda inp, _: qartod.gross_range_test(inp, (low - wider, high + wider))

    return map(test, (1.0, 2.0, 4.0, 8.0))


def hampel(side: int, sigmas: float, floor: float) -> Apply:
    """A Hampel filter: further from the median of its window than so many deviations."""

    def apply(values: Array, _: Array) -> Array:
        padded = np.pad(values, side, constant_values=np.nan)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * side + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a window of nothing but gaps
            middle = np.nanmedian(windows, axis=1)
            spread = 1.4826 * np.nanmedian(np.abs(windows - middle[:, None]), axis=1)
        is_far = np.abs(values - middle) > np.maximum(sigmas * spread, floor)
        return np.where(is_far, 3, 1)

    return apply


def gap(limit_ms: float) -> Apply:
    """The time gap test: the sample after a gap."""
    return lambda _, times: qartod.time_gap_test(times, limit_ms / 3_600_000)


def _best(
    start: Series, nature: Nature, faults: tuple[str, ...], tests: Iterable[Apply], *, judged_by: Sequence[str] = ()
) -> tuple[tuple[str, ...], Apply] | None:
    """The test that does best over the faults that are injected into the learning part; the most lenient come last."""
    trials = [
        inject(start, fault, TUNING_SEED, nature=nature) for fault in judged_by or faults if fault in PLANS[start.kind]
    ]
    rated: list[tuple[float, Apply]] = []
    for test in tests:
        method = Method([(faults, test)])
        total = sum((score(trial, method.flag(trial.series), start) for trial in trials), Score())
        if total.found and total.precision >= 0.5:
            rated.append((2 * total.recall * total.precision / (total.recall + total.precision), test))
    best = max((f1 for f1, _ in rated), default=0.0)
    as_good = [test for f1, test in rated if f1 >= best - 0.02]
    return (faults, as_good[-1]) if as_good else None
