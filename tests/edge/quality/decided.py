"""What a judge says of each value once it has decided."""

from __future__ import annotations

from collections.abc import Iterable

from edge.quality import Judge, Verdict


def judged(judge: Judge, series: Iterable[tuple[int, float]]) -> list[Verdict]:
    """The verdict of each value in the end."""
    verdicts: list[Verdict] = []
    for at_ms, value in series:
        held, now = judge.feed(at_ms, value)
        if held is not None:
            verdicts[-1] = held
        verdicts.append(judge.doubt if now is None else now)
    return verdicts
