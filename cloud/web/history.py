"""Readings as somebody pages through them, takes them away and counts them: newest first, and never all at once."""

import asyncio
import csv
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from io import StringIO

from msgspec import Struct

from cloud.quality.reviews import Reviews, bits_of
from cloud.series import Bucket, LastHeard, SeriesStore
from cloud.web.formats import Formats
from cloud.web.words import Words
from edge.contract.messages import Flag, Reading
from edge.contract.readings import EARLIEST

READ_AT_ONCE = 5000
WRITTEN_AT_ONCE = 250
FIRST_LOOK_MS = 60 * 60_000  # how far back the newest readings are looked for at first; then further and further
LOOKED_AT = 5000  # flagged readings at most, to count their tests
PARTS = 400
LOOKED_BACK = 500  # readings at most, for one that is good
FIRST_COLUMNS = ("taken_at", "taken_at_ms", "value", "unit", "flag", "tests", "flag_text", "tests_text", "review")


class SeriesName(Struct, frozen=True):
    """Which point of which device."""

    gateway: str
    device: str
    point: str


class FlagCounts(Struct, frozen=True, kw_only=True):
    """How many readings of a span have which flag; those that did not pass, and which tests set their flags.

    `is_complete` is false where there were too many of the latter to look at each one: these are the newest.
    """

    flags: dict[Flag, int]
    tests: dict[int, int]
    flagged: list[Reading]
    is_complete: bool

    @property
    def all(self) -> int:
        """How many readings there are."""
        return sum(self.flags.values())


async def newest_first(
    store: SeriesStore, name: SeriesName, *, start: int, end: int, most: int
) -> tuple[list[Reading], bool]:
    """Return the newest readings of a span, and whether there are more. Raises SeriesError."""
    found: list[Reading] = []
    until, width = end, FIRST_LOOK_MS
    while len(found) <= most and until > start:
        begin = max(until - width, start)
        some = await _read(store, name, begin, until)
        if len(some) == READ_AT_ONCE and width > 1:  # there may be newer ones that were left out
            width = max(width // 8, 1)
            continue
        found = some + found
        until, width = begin, width * 4
    return found[: -most - 1 : -1], len(found) > most


async def count_flags(store: SeriesStore, name: SeriesName, *, start: int, end: int) -> FlagCounts:
    """Count the readings of a span by flag and test. Raises SeriesError."""
    width_ms = max(-(-(end - start) // PARTS), 1)
    of_series = (name.gateway, name.device, name.point)
    buckets = await store.summarise(*of_series, start_ms=start, end_ms=end, width_ms=width_ms)
    return await count_in(store, name, buckets, width_ms=width_ms, end=end, most=LOOKED_AT)


async def count_in(
    store: SeriesStore, name: SeriesName, buckets: Sequence[Bucket], *, width_ms: int, end: int, most: int
) -> FlagCounts:
    """Count the readings of a span that was summarised; at most so many flagged ones are looked at. SeriesError."""
    tests: Counter[int] = Counter()
    looked_at, read, found = 0, 0, list[Reading]()
    flagged = [one for one in buckets if one.suspect or one.failed or one.missing]
    for bucket in reversed(flagged):
        if looked_at + _size(bucket) > most:
            break
        readings = await _read(store, name, bucket.start, min(bucket.start + width_ms, end))
        doubtful = [one for one in readings if one.flag >= Flag.SUSPECT]
        tests.update(bit for one in doubtful for bit in bits_of(one.tests))
        found = doubtful + found
        looked_at += _size(bucket)
        read += len(readings)  # fewer where only the hour is kept
    names = {Flag.PASS: "passed", Flag.NOT_EVALUATED: "not_evaluated", Flag.SUSPECT: "suspect"}
    names |= {Flag.FAIL: "failed", Flag.MISSING: "missing"}
    return FlagCounts(
        flags={flag: sum(getattr(one, column) for one in buckets) for flag, column in names.items()},
        tests=dict(sorted(tests.items())),
        flagged=found,
        is_complete=read == sum(map(_size, flagged)),
    )


async def last_good(store: SeriesStore, name: SeriesName, *, heard: LastHeard | None) -> Reading | None:
    """Return the newest reading that nothing is said against, of the last ones up to the newest value."""
    if heard is None or heard.valued_at is None:
        return None
    newest, _ = await newest_first(store, name, start=EARLIEST, end=heard.valued_at + 1, most=LOOKED_BACK)
    return next((one for one in newest if one.flag < Flag.SUSPECT), None)


async def as_csv(
    store: SeriesStore,
    name: SeriesName,
    *,
    start: int,
    end: int,
    reviews: Reviews,
    unit: str,
    words: Words,
    formats: Formats,
) -> AsyncIterator[str]:
    """Give all readings of a span as CSV, oldest first, in pieces; spreadsheets read it as UTF-8.

    Numbers and our own words alone: there is nothing in it that a spreadsheet could take for a formula.
    """
    yield "\N{ZERO WIDTH NO-BREAK SPACE}" + _lines([FIRST_COLUMNS])
    while start < end:
        readings = await _read(store, name, start, end)
        for first in range(0, len(readings), WRITTEN_AT_ONCE):
            yield _lines(
                [_row(one, reviews, unit, words, formats) for one in readings[first : first + WRITTEN_AT_ONCE]]
            )
            await asyncio.sleep(0)  # a long download lets others in
        if len(readings) < READ_AT_ONCE:
            return
        start = readings[-1].taken_at + 1


def _row(reading: Reading, reviews: Reviews, unit: str, words: Words, formats: Formats) -> Sequence[object]:
    value = "" if reading.value is None else reading.value
    said = "; ".join(words.tests(reading.tests))
    times = (formats.iso(reading.taken_at), reading.taken_at)
    review = reviews.of(reading)
    verdict = review.verdict.value if review else ""
    return (*times, value, unit, int(reading.flag), reading.tests, words.flag(reading.flag), said, verdict)


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


async def _read(store: SeriesStore, name: SeriesName, start: int, end: int) -> list[Reading]:
    of_series = (name.gateway, name.device, name.point)
    return await store.read(*of_series, start_ms=start, end_ms=end, limit=READ_AT_ONCE)


def _size(bucket: Bucket) -> int:
    return bucket.passed + bucket.not_evaluated + bucket.suspect + bucket.failed + bucket.missing
