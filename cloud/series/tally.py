"""What two stores hold of one span: told apart reading by reading, counted and summed up exactly.

Two readings are the same when time, flag, tests and value are, the value bit for bit: 1 and 1.0, 0.0 and -0.0 are not.
Only what the source has is looked for in the target: a target that a cloud writes to meanwhile may hold more. What is
older than the target keeps readings is not looked for.
"""

import math
from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from itertools import chain, compress

from msgspec import Struct

from edge.contract.messages import Batch, Flag
from edge.contract.tables import Column

Number = float | int
SeriesKey = tuple[str, str, str]  # gateway, device, point
Entry = tuple[int, Number | None, int]  # flag, value, tests


class Sums(Struct, frozen=True):
    """How many readings there are of each flag, and the exact sums of their values."""

    flags: dict[Flag, int] = {}
    integers: int = 0
    floats: Fraction = Fraction()

    @property
    def readings(self) -> int:
        """How many readings there are of all flags."""
        return sum(self.flags.values())

    def __add__(self, other: "Sums") -> "Sums":
        flags = {flag: self.flags.get(flag, 0) + other.flags.get(flag, 0) for flag in Flag}
        return Sums(flags, self.integers + other.integers, self.floats + other.floats)

    def differences(self, other: "Sums") -> list[str]:
        """Return, in words, by how much the counts and sums of the other are more or less than these."""
        found = [
            f"{label(flag)} {count:+,}"
            for flag in Flag
            if (count := other.flags.get(flag, 0) - self.flags.get(flag, 0))
        ]
        if self.integers != other.integers:
            found.append(f"sum of integers {other.integers - self.integers:+,}")
        if self.floats != other.floats:
            found.append(f"sum of floats {shown(other.floats - self.floats, signed=True)}")
        return found


class Difference(Struct, frozen=True):
    """A series of which the target does not hold, on one day or a part of it, what the source holds."""

    day: str
    series: SeriesKey
    readings: int
    absent: int
    altered: int
    first: str
    sums: list[str]

    def __str__(self) -> str:
        found = [
            f"{count} of {self.readings} {'readings are' if count > 1 else 'readings is'} {what}"
            for count, what in ((self.absent, "not in the target"), (self.altered, "not the same"))
            if count
        ]
        sums = ", ".join(self.sums) or "counts and sums are equal"
        return f"{self.day} {'/'.join(self.series)}: {' and '.join(found)}, first {self.first}; {sums}"


class Comparison(Struct, frozen=True):
    """What was found in one span: what the source has, what of it the target has, and what differs.

    `more` is how many readings only the target has, `expired` how many are older than the target keeps them.
    """

    source: Sums
    target: Sums
    more: int
    expired: int
    differences: list[Difference]


class _Rows(Struct, frozen=True):
    """A series: a time and a flag each reading, a value each that is not missing, a mask each that did not pass."""

    times: list[int]
    flags: bytes
    values: Sequence[Number]
    tests: Sequence[int]

    @property
    def bits(self) -> tuple[object, ...]:
        """What is equal exactly when all readings are."""
        return self.times, self.flags, self.tests, _bits(self.values)

    def entries(self) -> dict[int, Entry]:
        """Return the readings by their times."""
        values, tests = iter(self.values), iter(self.tests)
        return {
            taken_at: (
                flag,
                None if flag == Flag.MISSING else next(values),
                0 if flag == Flag.PASS else next(tests),
            )
            for taken_at, flag in zip(self.times, self.flags, strict=True)
        }

    @classmethod
    def of(cls, entries: dict[int, Entry]) -> "_Rows":
        """Return readings in order of time."""
        ordered = sorted(entries.items())
        return cls(
            [taken_at for taken_at, _ in ordered],
            bytes(flag for _, (flag, _, _) in ordered),
            [value for _, (_, value, _) in ordered if value is not None],
            [tests for _, (flag, _, tests) in ordered if flag != Flag.PASS],
        )

    def of_times(self, times: Sequence[int]) -> "_Rows":
        """Return the readings of these times."""
        entries = self.entries()
        return _Rows.of({taken_at: entries[taken_at] for taken_at in times if taken_at in entries})

    def since(self, start_ms: int) -> "_Rows":
        """Return the readings from a time on."""
        return self if self.times[0] >= start_ms else self.of_times([at for at in self.times if at >= start_ms])

    def sums(self) -> Sums:
        """Count and sum up."""
        floats = [value for value in self.values if type(value) is float]
        integers = 0 if len(floats) == len(self.values) else sum(v for v in self.values if type(v) is int)
        return Sums({flag: self.flags.count(flag) for flag in Flag}, integers, exact_sum(floats))


_NOTHING = _Rows([], b"", [], [])


def compare(
    day: str, source: Sequence[Batch], target: Sequence[Batch], kept_since: Callable[[str], int] = lambda _device: 0
) -> Comparison:
    """Compare what either store holds of one span; the target keeps readings of a device since some time."""
    ours, theirs = _by_series(source), _by_series(target)
    sums_of_source = sums_of_target = Sums()
    more, expired = sum(len(rows.times) for rows in theirs.values()), 0
    differences = []
    for series, every in ours.items():
        rows, found = every.since(kept_since(series[1])), theirs.get(series, _NOTHING)
        expired += len(every.times) - len(rows.times)
        if rows.bits != found.bits:
            found = found.of_times(rows.times)
            if rows.bits != found.bits:
                differences.append(_difference(day, series, rows, found))
        more -= len(found.times)
        sums_of_source += rows.sums()
        sums_of_target += found.sums()
    return Comparison(sums_of_source, sums_of_target, more, expired, differences)


def exact_sum(floats: Sequence[float]) -> Fraction:
    """Return a sum that no rounding has touched."""
    rests: list[float] = []
    try:
        while rest := math.fsum(chain(floats, rests)):  # rounded once; what that took away is in the next round
            rests.append(-rest)
    except OverflowError:
        return sum(map(Fraction, floats), Fraction())
    return -sum(map(Fraction, rests), Fraction())


def label(flag: Flag) -> str:
    """Return a flag as people read it."""
    return {Flag.PASS: "passed", Flag.FAIL: "failed"}.get(flag, flag.name.lower().replace("_", " "))


def shown(total: Fraction, *, signed: bool = False) -> str:
    """Return an exact sum as people read it: as the nearest float, with all of its digits."""
    try:
        text = repr(float(total))
    except OverflowError:
        text = str(round(total))
    return f"+{text}" if signed and total > 0 else text


def _by_series(batches: Sequence[Batch]) -> dict[SeriesKey, _Rows]:
    found: dict[SeriesKey, _Rows] = {}
    for batch in batches:
        for table in batch.tables:
            for column in table.columns:
                key = (batch.gateway, table.device, column.point)
                rows = _rows_of(column, table.times)
                if key in found:  # a device whose kind was corrected has a table of each
                    rows = _Rows.of(found[key].entries() | rows.entries())
                found[key] = rows
    return {key: rows for key, rows in found.items() if rows.times}


def _rows_of(column: Column, times: list[int]) -> _Rows:
    flags = column.flags or bytes([Flag.PASS]) * len(times)
    if 0 in flags:
        times = list(compress(times, flags))
        flags = flags.replace(b"\0", b"")
    return _Rows(times, flags, column.values, column.tests)


def _difference(day: str, series: SeriesKey, source: _Rows, target: _Rows) -> Difference:
    ours, theirs = source.entries(), target.entries()
    absent = [taken_at for taken_at in ours if taken_at not in theirs]
    altered = [at for at, entry in ours.items() if at in theirs and not _is_same(entry, theirs[at])]
    first = min(absent + altered)
    became = _said(theirs[first]) if first in theirs else "nothing"
    return Difference(
        day=day,
        series=series,
        readings=len(ours),
        absent=len(absent),
        altered=len(altered),
        first=f"at {datetime.fromtimestamp(first / 1000, UTC):%H:%M:%S}: {_said(ours[first])} became {became}",
        sums=source.sums().differences(target.sums()),
    )


def _is_same(one: Entry, other: Entry) -> bool:
    return one == other and repr(one[1]) == repr(other[1])


def _said(entry: Entry) -> str:
    flag, value, tests = entry
    judged = label(Flag(flag))
    return " ".join(
        part for part in ("" if value is None else repr(value), judged, f"({tests})" if tests else "") if part
    )


def _bits(values: Sequence[Number]) -> bytes | list[str]:
    kinds = set(map(type, values))
    if kinds == {float}:
        return array("d", values).tobytes()
    return list(map(repr, values))  # integers, or both: repr gives every digit, the sign of zero and the type
