"""The flags of a span of one point as people look at them: by test over time, and as stretches to be judged; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from cloud.quality.reviews import JUDGED, Review, Reviews, Verdict, bits_of
from edge.contract.messages import Flag, Reading

CELLS = 120  # of a strip
MOST_STRETCHES = 12
MOST_NAMED = 3  # tests, where there is room for no more
LEAST_PAUSE_MS = 120_000
MARKS = ("overruled", "missing", "suspect", "failed")
"""What a cell of a strip can show, the worst last."""
MARK_OF = {Flag.MISSING: "missing", Flag.SUSPECT: "suspect", Flag.FAIL: "failed"}


class Part(Struct, frozen=True):
    """Cells beside each other that show the same, as shares of the strip."""

    mark: str
    left: float
    width: float


class TestLine(Struct, frozen=True, kw_only=True):
    """What one test flagged in the span, and how much of that people judged; `stretch_ms` is its longest stretch."""

    __test__ = False  # pytest: not a test class

    test: int
    flag: Flag
    count: int
    first_at: int
    last_at: int
    stretch_ms: int
    parts: list[Part]
    overruled: int
    confirmed: int
    by: list[str]  # logins of those who did

    @property
    def open(self) -> int:
        """How many of its flags nobody has judged; a missing reading is nothing to judge."""
        return self.count - self.overruled - self.confirmed if self.flag in JUDGED else 0


class Stretch(Struct, frozen=True, kw_only=True):
    """Flagged values close to each other in time; `review` is what counts of the last one, None where it is open."""

    first_at: int
    last_at: int
    count: int
    flag: Flag
    tests: int
    low: float | int
    high: float | int
    overruled: int
    confirmed: int
    review: Review | None

    @property
    def open(self) -> int:
        """How many of its flags nobody has judged."""
        return self.count - self.overruled - self.confirmed


class FlagSheet(Struct, frozen=True, kw_only=True):
    """The flags of a span; stretches are the newest ones, newest first, `more` is how many there are beside them."""

    lines: list[TestLine]
    stretches: list[Stretch]
    more: int
    is_complete: bool  # false where there were too many flagged readings to look at each


def sheet_of(
    flagged: Sequence[Reading], reviews: Reviews, *, start: int, end: int, beat_ms: int, is_complete: bool = True
) -> FlagSheet:
    """Return the sheet of flagged readings, oldest first; those within three beats belong together."""
    pause_ms = max(3 * beat_ms, LEAST_PAUSE_MS, (end - start) // CELLS)
    tests = sorted({bit for one in flagged for bit in bits_of(one.tests)})
    lines = [_line(test, flagged, reviews, start=start, end=end, pause_ms=pause_ms) for test in tests]
    stretches = [_stretch(some, reviews) for some in _close(_judged(flagged), pause_ms)]
    return FlagSheet(
        lines=sorted(lines, key=lambda line: (-MARKS.index(MARK_OF[line.flag]), -line.count, line.test)),
        stretches=stretches[: -MOST_STRETCHES - 1 : -1],
        more=max(len(stretches) - MOST_STRETCHES, 0),
        is_complete=is_complete,
    )


def worst_tests(flagged: Iterable[Reading], reviews: Reviews) -> list[tuple[int, int]]:
    """Return the tests that failed values, then those that doubted most of them, with how many; at most three.

    What somebody overruled is not counted.
    """
    flags = [
        (bit, one.flag)
        for one in _judged(flagged)
        for bit in bits_of(one.tests)
        if (review := reviews.of_test(one.taken_at, bit)) is None or review.verdict is not Verdict.OVERRULED
    ]
    counts = Counter(bit for bit, _ in flags)
    failed = {bit for bit, flag in flags if flag is Flag.FAIL}
    return sorted(counts.items(), key=lambda one: (one[0] not in failed, -one[1]))[:MOST_NAMED]


def _judged(flagged: Iterable[Reading]) -> list[Reading]:
    return [one for one in flagged if one.flag in JUDGED]


def _close(readings: Sequence[Reading], pause_ms: int) -> Iterator[list[Reading]]:
    """Give readings in groups between which there is a longer pause."""
    group: list[Reading] = []
    for one in readings:
        if group and one.taken_at - group[-1].taken_at > pause_ms:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _line(test: int, flagged: Sequence[Reading], reviews: Reviews, *, start: int, end: int, pause_ms: int) -> TestLine:
    own = [one for one in flagged if one.tests & test]
    said = [reviews.of_test(one.taken_at, test) if one.flag in JUDGED else None for one in own]
    marks = [0] * CELLS
    for one, review in zip(own, said, strict=True):
        is_overruled = review is not None and review.verdict is Verdict.OVERRULED
        mark = 1 if is_overruled else MARKS.index(MARK_OF[one.flag]) + 1
        cell = min((one.taken_at - start) * CELLS // (end - start), CELLS - 1)
        marks[cell] = max(marks[cell], mark)
    verdicts = [review.verdict for review in said if review is not None]
    return TestLine(
        test=test,
        flag=max((one.flag for one in own), key=lambda flag: MARKS.index(MARK_OF[flag])),
        count=len(own),
        first_at=own[0].taken_at,
        last_at=own[-1].taken_at,
        stretch_ms=max(group[-1].taken_at - group[0].taken_at for group in _close(own, pause_ms)),
        parts=list(_parts(marks)),
        overruled=verdicts.count(Verdict.OVERRULED),
        confirmed=verdicts.count(Verdict.CONFIRMED),
        by=sorted({review.who for review in said if review is not None}),
    )


def _parts(marks: Sequence[int]) -> Iterator[Part]:
    place = 0
    for mark, some in groupby(marks):
        width = len(list(some))
        if mark:
            yield Part(MARKS[mark - 1], place / CELLS, width / CELLS)
        place += width


def _stretch(readings: Sequence[Reading], reviews: Reviews) -> Stretch:
    said = [reviews.of(one) for one in readings]
    verdicts = [review.verdict for review in said if review is not None]
    values = [one.value for one in readings if one.value is not None]
    tests = 0
    for one in readings:
        tests |= one.tests
    return Stretch(
        first_at=readings[0].taken_at,
        last_at=readings[-1].taken_at,
        count=len(readings),
        flag=max(one.flag for one in readings),
        tests=tests,
        low=min(values),
        high=max(values),
        overruled=verdicts.count(Verdict.OVERRULED),
        confirmed=verdicts.count(Verdict.CONFIRMED),
        review=said[-1],
    )
