"""The last day of a point as a small drawing beside its name: where each piece of the curve runs; pure."""

from collections.abc import Sequence

from msgspec import Struct

from cloud.series import Bucket

WIDTH, HEIGHT = 192, 32
EDGE = 3  # free above and below
DAY_MS = 86_400_000


class DayLine(Struct, frozen=True, kw_only=True):
    """A drawing of WIDTH by HEIGHT as two SVG paths: between lowest and highest, and along the highest values."""

    band: str
    line: str
    low: float
    high: float


def day_line(buckets: Sequence[Bucket], *, start: int, width_ms: int, beat_ms: int) -> DayLine | None:
    """Draw the parts of a day, in order; None where there is no value that can be trusted.

    Where longer than a part and a beat nothing came, the curve has a gap.
    """
    valued = [(one, float(one.low), float(one.high)) for one in buckets if one.low is not None and one.high is not None]
    if not valued:
        return None
    low, high = min(one[1] for one in valued), max(one[2] for one in valued)
    span = high - low or 1.0
    step = WIDTH * width_ms / DAY_MS

    def y(value: float) -> str:
        share = 0.5 if high == low else (value - low) / span
        return f"{HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE):.1f}"

    runs: list[list[tuple[str, str, str, str]]] = []
    before = None
    for bucket, least, most in valued:
        left = (bucket.start - start) / width_ms * step
        if before is None or bucket.start - before > width_ms + beat_ms:
            runs.append([])
        runs[-1].append((f"{left:.1f}", f"{left + step:.1f}", y(least), y(most)))
        before = bucket.start
    return DayLine(band="".join(map(_band, runs)), line="".join(map(_line, runs)), low=low, high=high)


def _line(run: Sequence[tuple[str, str, str, str]]) -> str:
    points = [f"{left} {top} {right} {top}" for left, right, _, top in run]
    return f"M{'L'.join(points)}"


def _band(run: Sequence[tuple[str, str, str, str]]) -> str:
    there = [f"{left} {top} {right} {top}" for left, right, _, top in run]
    back = [f"{right} {bottom} {left} {bottom}" for left, right, bottom, _ in reversed(run)]
    return f"M{'L'.join([*there, *back])}Z"
