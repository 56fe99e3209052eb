"""What was injected, what a method flagged, and what that is worth.

An *episode* is one injected fault: from the first sample that is wrong (``begin_ms``) to the last (``end_ms``). It is
**found** by the first sample from ``begin_ms`` to ``end_ms + grace_ms`` that is flagged 3, 4 or 9, or is said to be
missing (9) at a time when nothing came; a by-passed meter must be found within its ``within_ms``. The grace is two
samples, because a fault that ends looks like one that begins.

=========  ==============================================================================================
figure     is
=========  ==============================================================================================
recall     episodes found / episodes
by chance  episodes that the flags of the clean series would have found in the same places / episodes
precision  flagged samples inside episodes / flagged samples (those within the grace after one count as neither)
by runs    the same of runs of flagged samples: a run that touches an episode is right
delay      from ``begin_ms`` to the sample that found it, in samples and in hours; median over those that were found
false      flagged samples per 1000, in the clean series with nothing injected
=========  ==============================================================================================

Samples that had no value in the clean series already are looked at by no figure. Nor is the first 20 % of a series.
"""

from __future__ import annotations

import operator
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from tests.evaluate.series import Series

BAD = (3, 4, 9)


class Episode(NamedTuple):
    """One injected fault."""

    fault: str
    begin_ms: int
    end_ms: int
    grace_ms: int
    shape: str = ""
    size: float = 0.0
    within_ms: int | None = None


class Faulty(NamedTuple):
    """A series with faults of one kind in it."""

    series: Series
    episodes: list[Episode]


class Flags(NamedTuple):
    """What a method said: a flag for each sample, and the times at which one was missing."""

    flags: Sequence[int]
    missing: Sequence[int] = ()


class Score(NamedTuple):
    """Counts of one method, one fault and one or more series; they add up."""

    episodes: int = 0
    found: int = 0
    chance: int = 0
    inside: int = 0  # flagged samples
    outside: int = 0
    right_runs: int = 0
    wrong_runs: int = 0
    delays: tuple[tuple[float, float], ...] = ()  # samples, hours

    def __add__(self, other: Score) -> Score:  # type: ignore[override]  # sums, not a longer tuple
        return Score(*map(operator.add, self, other))

    @property
    def recall(self) -> float:
        return self.found / self.episodes if self.episodes else 0.0

    @property
    def by_chance(self) -> float:
        return self.chance / self.episodes if self.episodes else 0.0

    @property
    def precision(self) -> float:
        return self.inside / (self.inside + self.outside) if self.inside + self.outside else 0.0

    @property
    def by_runs(self) -> float:
        return self.right_runs / (self.right_runs + self.wrong_runs) if self.right_runs + self.wrong_runs else 0.0

    def delay(self, which: int) -> float | None:
        """The median delay in samples (0) or hours (1)."""
        return statistics.median(each[which] for each in self.delays) if self.delays else None


def score(faulty: Faulty, said: Flags, clean: Series, said_of_clean: Flags | None = None) -> Score:
    """Score one method on one series."""
    series, episodes = faulty
    empty = {at for at, value in zip(clean.times, clean.values, strict=True) if value is None}
    start = clean.times[clean.learn]
    own = [at for at in _bad(series, said) if at >= start and at not in empty]
    flagged = sorted({*own, *(at for at in said.missing if _is_absent(episodes, at))})
    found = [(each, at) for each in episodes if (at := _finding(each, flagged)) is not None]
    by_chance = [] if said_of_clean is None else [at for at in _bad(clean, said_of_clean) if at not in empty]
    delays = [((at - each.begin_ms) / series.interval_ms, (at - each.begin_ms) / 3.6e6) for each, at in found]
    sides = [_side(episodes, at) for at in flagged]
    return Score(
        len(episodes),
        len(found),
        sum(_finding(each, by_chance) is not None for each in episodes),
        sides.count(1),
        sides.count(-1),
        *_runs(flagged, sides, series),
        tuple(delays),
    )


def _bad(series: Series, said: Flags) -> list[int]:
    """The times of the samples that were flagged."""
    return [at for at, flag in zip(series.times, said.flags, strict=True) if flag in BAD]


def _finding(episode: Episode, flagged: Sequence[int]) -> int | None:
    """The time of the sample that finds an episode."""
    last = episode.end_ms + episode.grace_ms if episode.within_ms is None else episode.begin_ms + episode.within_ms
    at = bisect_left(flagged, episode.begin_ms)
    return flagged[at] if at < len(flagged) and flagged[at] <= last else None


def _is_absent(episodes: Sequence[Episode], at: int) -> bool:
    """Whether a time that was said to be missing is in a dropout; other gaps are those of the recording."""
    return any(each.begin_ms <= at <= each.end_ms for each in episodes if each.fault == "dropout")


def _side(episodes: Sequence[Episode], at: int) -> int:
    """1: in an episode, 0: in the grace after one, -1: elsewhere."""
    number = bisect_right(episodes, at, key=lambda each: each.begin_ms) - 1
    if number < 0 or at > episodes[number].end_ms + episodes[number].grace_ms:
        return -1
    return 1 if at <= episodes[number].end_ms else 0


def _runs(flagged: Sequence[int], sides: Sequence[int], series: Series) -> tuple[int, int]:
    """Runs that touch an episode or its grace, and runs that touch none."""
    place = {at: number for number, at in enumerate(series.times)}
    right = wrong = 0
    run: list[int] = []
    before = -2
    for at, side in zip(flagged, sides, strict=True):
        number = place.get(at, before + 1)
        if run and number > before + 1:
            right, wrong = right + (max(run) > 0), wrong + (max(run) < 0)
            run = []
        run.append(side)
        before = number
    if run:
        right, wrong = right + (max(run) > 0), wrong + (max(run) < 0)
    return right, wrong


def count_false(clean: Series, said: Flags) -> tuple[int, int]:
    """Return how many of the scored samples of a clean series were flagged, and how many there are."""
    flags = [
        flag
        for flag, value in zip(said.flags[clean.learn :], clean.values[clean.learn :], strict=True)
        if value is not None
    ]
    return sum(flag in BAD for flag in flags), len(flags)
