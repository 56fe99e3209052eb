"""Faults that really were: points of the Logan River that technicians removed, or moved against their neighbours.

A *fault* is a run of such points. It is found when one of them is flagged 3, 4 or 9, or the two samples after it. The
whole series counts, also its first 20 %: nobody knows of a fault-free part.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tests.evaluate.episodes import BAD, Flags
from tests.evaluate.series import Series

GRACE = 2


def count_real(raw: Series, wrong: Sequence[bool], said: Flags) -> tuple[int, int, int, int]:
    """Return how many faults there are and were found, how many points were flagged and how many rightly."""
    flagged = [flag in BAD and value is not None for flag, value in zip(said.flags, raw.values, strict=True)]
    runs = found = at = 0
    for is_wrong, group in itertools.groupby(wrong):
        length = len(list(group))
        if is_wrong:
            runs += 1
            found += any(flagged[at : at + length + GRACE])
        at += length
    right = sum(flag and is_wrong for flag, is_wrong in zip(flagged, wrong, strict=True))
    return runs, found, sum(flagged), right
