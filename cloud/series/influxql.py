"""What is asked of InfluxDB in InfluxQL, and what its answers say.

An answer is a list of series as InfluxDB describes them, with every number still a string, because only the type of its
field says what a JSON number was: -0 and 1 may be floats. Names and texts come from people, and are quoted here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from cloud.series import Bucket, LastHeard, SeriesId, Slot
from cloud.series.columns import SeriesColumn
from edge.contract.messages import Flag, Reading
from edge.contract.readings import RESERVED_ENDINGS
from edge.contract.tables import Column

Number = float | int
SeriesKey = tuple[str, str, str]  # gateway, device, point
Found = list[dict[str, Any]]  # the answer to one statement
NO_COUNT = (None, "0")
MISSING = f"{Flag.MISSING:d}"
NEWEST = "ORDER BY time DESC LIMIT 1"
FLAGGED = (Flag.NOT_EVALUATED, Flag.SUSPECT, Flag.MISSING)  # flags that only the field <point>_flag tells


class FieldTypes(Struct, frozen=True):
    """The type of each (measurement, field); where shards disagree, InfluxQL answers with floats."""

    by_field: dict[tuple[str, str], type[float] | type[int]]

    @classmethod
    def of(cls, field_keys: Found) -> "FieldTypes":
        """Read the answer to SHOW FIELD KEYS."""
        types: dict[tuple[str, str], type[float] | type[int]] = {}
        for series in field_keys:
            for field, type_name in series["values"]:
                key = (series["name"], field)
                types[key] = int if type_name == "integer" and types.get(key) is not float else float
        return cls(types)

    def number(self, measurement: str, field: str, written: str | None) -> Number | None:
        """Return a number as the type that its field has."""
        return None if written is None else self.of_field(measurement, field)(written)

    def of_field(self, measurement: str, field: str) -> type[float] | type[int]:
        """Return the type that a field has."""
        return self.by_field.get((measurement, field), float)

    def measurements(self) -> dict[str, list[str]]:
        """Return the measurements that hold each point, by point."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for measurement, field in self.by_field:
            found[point_of(field)].add(measurement)
        return {point: sorted(measurements) for point, measurements in sorted(found.items())}


class Span(Struct, frozen=True):
    """A span of time in parts of equal length, counted from its start."""

    start_ms: int
    end_ms: int
    part_ms: int

    @property
    def during(self) -> str:
        """The condition that a time is in the span."""
        return during(self.start_ms, self.end_ms)

    @property
    def by_part(self) -> str:
        """What asks for one row for each part that is not empty."""
        return f"GROUP BY time({self.part_ms:d}ms, {self.start_ms % self.part_ms:d}ms) FILL(none)"


# --- what is asked ----------------------------------------------------------------------------------------------------


def quoted_text(value: str) -> str:
    """Return a text as InfluxQL writes it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def quoted_name(value: str) -> str:
    """Return the name of a database, a measurement or a field as InfluxQL writes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def is_device(gateway: str, device: str) -> str:
    """Return the condition that finds one device."""
    return f"gateway = {quoted_text(gateway)} AND device = {quoted_text(device)}"


def of_gateway(gateway: str | None) -> str:
    """Return what limits a question to one gateway, or nothing for all."""
    return "" if gateway is None else f"WHERE gateway = {quoted_text(gateway)}"


def select_readings(point: str, measurements: Sequence[str] = ()) -> str:
    """Return what begins a question for whole readings; without measurements, of all."""
    fields = ", ".join(quoted_name(point + ending) for ending in ("", *RESERVED_ENDINGS))
    return f"SELECT {fields} FROM {_from(measurements)}"  # noqa: S608  # quoted


def select_values(point: str, measurements: Sequence[str] = ()) -> str:
    """Return what begins a question for readings that have a value; without measurements, of all."""
    return f"SELECT {quoted_name(point)}, {quoted_name(point + '_failed')} FROM {_from(measurements)}"  # noqa: S608


def select_first_missing(point: str, where: str, after_ms: int) -> str:
    """Return the question for the first missing reading after a time."""
    flag = quoted_name(f"{point}_flag")
    when = f"time > {after_ms:d}ms ORDER BY time LIMIT 1"
    return f"SELECT {flag} FROM /.*/ WHERE {where} AND {flag} = {Flag.MISSING:d} AND {when}"  # noqa: S608


def select_buckets(point: str, where: str, span: Span) -> list[str]:
    """Return the questions that `buckets` reads the answers of."""
    flag, during = quoted_name(f"{point}_flag"), f"{where} AND {span.during}"
    # Values last: of what is written meanwhile, no flag is counted whose value is not.
    return [
        f"SELECT count({flag}) FROM /.*/ WHERE {during} AND {flag} = {one:d} {span.by_part}"  # noqa: S608
        for one in FLAGGED
    ] + [
        f"SELECT count({field}), min({field}), max({field}) FROM /.*/ WHERE {during} {span.by_part}"  # noqa: S608
        for field in (quoted_name(point + "_failed"), quoted_name(point))
    ]


def select_beats(point: str, where: str, span: Span) -> str:
    """Return the question that `slots` reads the answer of."""
    counts = ", ".join(f"count({quoted_name(point + ending)})" for ending in ("", "_failed", "_flag"))
    return f"SELECT {counts} FROM /.*/ WHERE {where} AND {span.during} {span.by_part}"  # noqa: S608


SELECT_EXTENT = ("SELECT * FROM /.*/ ORDER BY time LIMIT 1", "SELECT * FROM /.*/ ORDER BY time DESC LIMIT 1")


def during(start_ms: int, end_ms: int) -> str:
    """Return the condition that a time is in a span."""
    return f"time >= {start_ms:d}ms AND time < {end_ms:d}ms"


def select_counts(start_ms: int, end_ms: int) -> str:
    """Return the question that `count` reads the answer of."""
    return f"SELECT count(*) FROM /.*/ WHERE {during(start_ms, end_ms)}"  # noqa: S608


def select_all(measurement: str, start_ms: int, end_ms: int) -> str:
    """Return the question that `columns` reads the answer of."""
    when = during(start_ms, end_ms)
    return f"SELECT * FROM {quoted_name(measurement)} WHERE {when} GROUP BY gateway, device"  # noqa: S608


def _from(measurements: Sequence[str]) -> str:
    return ", ".join(map(quoted_name, measurements)) or "/.*/"


# --- what is answered -------------------------------------------------------------------------------------------------


def point_of(field: str) -> str:
    """Return the point that a field belongs to."""
    return next((field.removesuffix(ending) for ending in RESERVED_ENDINGS if field.endswith(ending)), field)


def readings(device: str, point: str, found: Found, types: FieldTypes) -> list[Reading]:
    """Return the readings that a question of `select_readings` found."""
    read = []
    for series in found:
        for taken_at, written, failed, flag, tests in series["values"]:
            field, value = (point, written) if failed is None else (f"{point}_failed", failed)
            number = types.number(series["name"], field, value)
            read.append(Reading(device, point, int(taken_at), number, Flag(int(flag or Flag.PASS)), int(tests or 0)))
    return read


def times(found: Found) -> list[int]:
    """Return the time of every row."""
    return [at for at, *_ in _rows(found)]


def last_heard(founds: Mapping[str, Found], types: FieldTypes) -> dict[SeriesKey, LastHeard]:
    """Return the newest reading of each series, from the newest of each point, device and measurement."""
    newest: dict[SeriesKey, LastHeard] = {}
    for point, found in founds.items():
        for series in found:
            key = (series["tags"]["gateway"], series["tags"]["device"], point)
            (reading,) = readings(key[1], point, [series], types)
            if key not in newest or newest[key].taken_at < reading.taken_at:
                valued_at = None if reading.flag == Flag.MISSING else reading.taken_at
                newest[key] = LastHeard(
                    *key, series["name"], reading.taken_at, reading.value, reading.flag, reading.tests, valued_at
                )
    return newest


def newest_times(founds: Mapping[str, Found]) -> dict[SeriesKey, int]:
    """Return the newest time of each series, from the newest of each point, device and measurement."""
    newest: dict[SeriesKey, int] = {}
    for point, found in founds.items():
        for series in found:
            key = (series["tags"]["gateway"], series["tags"]["device"], point)
            newest[key] = max(newest.get(key, 0), *times([series]))
    return newest


def count(found: Found) -> int:
    """Return how many readings a question of `select_counts` found; those of flags 2, 3 and 4 are counted twice."""
    return sum(
        _count(written)
        for series in found
        for row in series["values"]
        for name, written in zip(series["columns"], row, strict=True)
        if name != "time" and not name.endswith("_tests")
    )


def columns(found: Found, types: FieldTypes) -> Iterator[SeriesColumn]:
    """Give what a question of `select_all` found, series by series."""
    for device in found:
        by_field = dict(zip(device["columns"], zip(*device["values"], strict=True), strict=True))
        when = list(map(int, by_field.pop("time")))
        for point in dict.fromkeys(map(point_of, by_field)):
            series = SeriesId(device["tags"]["gateway"], device["tags"]["device"], point, device["name"])
            one = _series_column(series, when, by_field, types)
            if one.times:
                yield one


def _series_column(
    series: SeriesId, when: Sequence[int], by_field: Mapping[str, Sequence[str | None]], types: FieldTypes
) -> SeriesColumn:
    point, nothing = series.point, [None] * len(when)
    trusted, failed, flags, tests = (by_field.get(point + ending, nothing) for ending in ("", *RESERVED_ENDINGS))
    trusted_type, failed_type = types.of_field(series.kind, point), types.of_field(series.kind, f"{point}_failed")
    if flags.count(None) == len(when):
        passed = [trusted_type(good) for good in trusted if good is not None]
        if len(passed) == len(when):
            return SeriesColumn(series, when, Column(point, passed))
    taken: list[int] = []
    values: list[Number] = []
    judged: list[int] = []
    masks: list[int] = []
    for at, good, bad, flag, mask in zip(when, trusted, failed, flags, tests, strict=True):
        written, number = (good, trusted_type) if bad is None else (bad, failed_type)
        if written is None and flag is None:
            continue
        taken.append(at)
        if written is None or flag == MISSING:
            judged.append(Flag.MISSING)
        else:
            judged.append(int(flag or Flag.PASS))
            values.append(number(written))
        if judged[-1] != Flag.PASS:
            masks.append(int(mask or 0))
    return SeriesColumn(series, taken, Column(point, values, bytes(judged), masks))


class _Valued(Struct, frozen=True):
    """How many values there are in one part of a span, and their extremes."""

    count: int = 0
    low: Number | None = None
    high: Number | None = None


def buckets(point: str, founds: Sequence[Found], types: FieldTypes) -> list[Bucket]:
    """Return the buckets that the questions of `select_buckets` found."""
    not_evaluated, suspect, missing = map(_counts, founds[: len(FLAGGED)])
    failed, trusted = (
        _values_by_part(field, found, types)
        for field, found in zip((f"{point}_failed", point), founds[len(FLAGGED) :], strict=True)
    )
    made = []
    for start in sorted({*trusted, *failed, *missing}):
        of_trusted, of_failed = trusted.get(start, _Valued()), failed.get(start, _Valued())
        made.append(
            Bucket(
                start=start,
                low=of_trusted.low,
                high=of_trusted.high,
                failed_low=of_failed.low,
                failed_high=of_failed.high,
                passed=of_trusted.count - not_evaluated[start] - suspect[start],
                not_evaluated=not_evaluated[start],
                suspect=suspect[start],
                failed=of_failed.count,
                missing=missing[start],
            )
        )
    return made


def slots(found: Found, beats: Span, slot_ms: int) -> list[Slot]:
    """Return the slots whose beats, which are the parts of the span, a question of `select_beats` found."""
    valued, heard = set(), set()
    for start, of_trusted, of_failed, of_flagged in _rows(found):
        if of_trusted not in NO_COUNT or of_failed not in NO_COUNT:
            valued.add(start)
            heard.add(start)
        elif of_flagged not in NO_COUNT:
            heard.add(start)
    with_value = Counter((start - beats.start_ms) // slot_ms for start in valued)
    with_any = Counter((start - beats.start_ms) // slot_ms for start in heard)
    return [
        Slot(beats.start_ms + slot * slot_ms, with_value[slot], count - with_value[slot])
        for slot, count in sorted(with_any.items())
    ]


def _rows(found: Found) -> Iterator[tuple[Any, ...]]:
    """Give the rows of every series, for a device whose kind was corrected has one of each kind."""
    for series in found:
        for at, *values in series["values"]:
            yield int(at), *values


def _count(written: str | None) -> int:
    return int(written or 0)


def _counts(found: Found) -> Counter[int]:
    counts: Counter[int] = Counter()
    for start, count in _rows(found):
        counts[start] += _count(count)
    return counts


def _values_by_part(field: str, found: Found, types: FieldTypes) -> dict[int, _Valued]:
    parts: dict[int, _Valued] = {}
    for series in found:
        for at, count, *extremes in series["values"]:
            start, numbers = int(at), [types.number(series["name"], field, extreme) for extreme in extremes]
            before = parts.get(start, _Valued())
            known = [number for number in (before.low, before.high, *numbers) if number is not None]
            if known:
                parts[start] = _Valued(before.count + _count(count), min(known), max(known))
    return parts
