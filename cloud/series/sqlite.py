"""The series store that needs no installation: one SQLite file, one writing thread, a few reading threads.

A value keeps its type: the column is declared ANY, so that SQLite stores integers as integers and floats as floats,
bit for bit (including -0.0 and denormals).

A sensor may be missing for months, one reading a heartbeat. So that its last value is found without walking through
them, `series.valued_before` is a time that every reading with a value is older than. It only ever grows, in steps, in
the transaction of the readings: repeated, late or replaced readings leave it true.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import accumulate, chain, repeat
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from msgspec import Struct

from cloud.series import (
    Bucket,
    Coverage,
    Expected,
    LastHeard,
    SeriesId,
    Slot,
    beat_of,
    starts_of_parts,
)
from cloud.series import sqlite_hours as hours
from cloud.series.columns import SeriesColumn, batches_of
from cloud.series.retention import Retention, without_expired
from cloud.series.sqlite_file import SeriesFile
from edge.contract.messages import Batch, Block, Flag, Reading
from edge.contract.tables import Column

FORGET_AT_ONCE = 10_000  # readings
MAX_KNOWN = 200_000  # series whose number is remembered: some 70 MB
VALUED_STEP_MS = 6 * 3600 * 1000  # `valued_before` is a multiple: few writes, and few missing readings to walk through
SeriesKey = tuple[str, str, str, str]  # gateway, device, point, kind
Named = tuple[str, Block]  # a block with its gateway
Row = tuple[Any, ...]  # columns of one row, in the order of its statement

_FIND_SERIES = """
INSERT INTO series (gateway, device, point, kind, valued_before) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET kind = excluded.kind, valued_before = max(valued_before, excluded.valued_before)
RETURNING id, valued_before
"""
_WRITE = "INSERT OR REPLACE INTO readings (series, taken_at, value, flag, tests) VALUES (?, ?, ?, ?, ?)"
_READ = """
SELECT device, point, taken_at, value, flag, tests FROM readings JOIN series ON series.id = readings.series
WHERE gateway = ? AND device = ? AND point = ? AND taken_at >= ? AND taken_at < ? ORDER BY taken_at LIMIT ?
"""
_LATEST = """
SELECT device, point, taken_at, value, flag, tests FROM series JOIN readings ON readings.series = series.id
WHERE gateway = ? AND device = ?
AND taken_at = (SELECT max(taken_at) FROM readings AS newer WHERE newer.series = series.id) ORDER BY point
"""
_SERIES = """
SELECT gateway, device, point, kind FROM series
WHERE ? IN (gateway, '') AND EXISTS (SELECT 1 FROM readings WHERE series = series.id) ORDER BY gateway, device, point
"""
_VALUED_AT = """(
    SELECT taken_at FROM readings AS valued
    WHERE valued.series = series.id AND taken_at < valued_before AND flag <> 9 ORDER BY taken_at DESC LIMIT 1
)"""
# CROSS JOIN: without statistics SQLite would begin with the readings.
_LAST_HEARD = f"""
SELECT gateway, device, point, kind, taken_at, value, flag, tests, {_VALUED_AT}
FROM series CROSS JOIN readings ON readings.series = series.id
WHERE ? IN (gateway, '')
AND taken_at = (SELECT max(taken_at) FROM readings AS newer WHERE newer.series = series.id)
ORDER BY gateway, device, point
"""  # noqa: S608  # put together from our own pieces alone
_SILENT_SINCE = f"""
SELECT (
    SELECT taken_at FROM readings WHERE series = id AND taken_at > coalesce(valued_at, 0) ORDER BY taken_at LIMIT 1
) FROM (SELECT id, {_VALUED_AT} AS valued_at FROM series WHERE gateway = ? AND device = ? AND point = ?)
"""  # noqa: S608  # put together from our own pieces alone
_FIND_ID = "SELECT id FROM series WHERE gateway = ? AND device = ? AND point = ?"
_COUNT_BEATS = """
SELECT count(DISTINCT CASE WHEN flag <> 9 THEN (taken_at - ?2) / ?4 END), count(DISTINCT (taken_at - ?2) / ?4)
FROM readings WHERE series = ?1 AND taken_at >= ?2 AND taken_at < ?3
"""
_EXTENT = """
SELECT min(oldest), max(newest) FROM (
    SELECT (SELECT min(taken_at) FROM readings WHERE series = id) AS oldest,
        (SELECT max(taken_at) FROM readings WHERE series = id) AS newest FROM series
)
"""
_COUNT = """
SELECT count(*) FROM series CROSS JOIN readings ON readings.series = series.id WHERE taken_at >= ? AND taken_at < ?
"""
_ALL_SERIES = "SELECT id, gateway, device, point, kind FROM series ORDER BY gateway, device, point"
_READ_COLUMN = """
SELECT taken_at, value, flag, tests FROM readings WHERE series = ? AND taken_at >= ? AND taken_at < ? ORDER BY taken_at
"""
# The series stays, for another process may remember its number.
_FORGET = """
DELETE FROM readings WHERE series = ?1 AND taken_at < ?2 AND taken_at <= (
    SELECT max(taken_at) FROM (
        SELECT taken_at FROM readings WHERE series = ?1 AND taken_at < ?2 ORDER BY taken_at LIMIT ?3
    )
)
"""


class SqliteStore:
    """A `SeriesStore` in the file `path`, for ever or for a time; raises MisconfiguredError when it cannot be opened.

    What is older than `singles` is kept as hours (see `sqlite_hours`), and a reading of such an hour is let go.

    What is past its time is overwritten before its place in the file is used again.
    """

    def __init__(self, path: Path, retention: Retention | None = None, singles: Retention | None = None) -> None:
        self.path = path
        self._file = SeriesFile(path, overwrite=retention is not None)
        self._retention = retention
        self._singles = singles
        self._known: dict[SeriesKey, _Known] = {}  # what is committed; used by the writing thread alone

    async def write(self, batches: Sequence[Batch]) -> dict[int, int]:
        """See `SeriesStore.write`; all batches or, on any error, none of them."""
        expired: dict[int, int] = {}
        if self._retention is not None:
            batches, expired = without_expired(batches, self._retention.oldest_ms)
        for place, readings in (await self._file.change(lambda: self._write(batches))).items():
            expired[place] = expired.get(place, 0) + readings
        return expired

    async def read(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, limit: int
    ) -> list[Reading]:
        """See `SeriesStore.read`."""
        rows = await self._select(_READ, gateway, device, point, start_ms, end_ms, limit)
        return [_reading(row) for row in rows]

    async def latest(self, gateway: str, device: str) -> list[Reading]:
        """See `SeriesStore.latest`."""
        return [_reading(row) for row in await self._select(_LATEST, gateway, device)]

    async def series(self, gateway: str | None = None) -> list[SeriesId]:
        """See `SeriesStore.series`."""
        return [SeriesId(*row) for row in await self._select(_SERIES, gateway or "")]

    async def last_heard(self, gateway: str | None = None) -> list[LastHeard]:
        """See `SeriesStore.last_heard`."""
        return [_last_heard(row) for row in await self._select(_LAST_HEARD, gateway or "")]

    async def silent_since(self, gateway: str, device: str, point: str) -> int | None:
        """See `SeriesStore.silent_since`."""
        rows = await self._select(_SILENT_SINCE, gateway, device, point)
        return rows[0][0] if rows else None

    async def summarise(
        self, gateway: str, device: str, point: str, *, start_ms: int, end_ms: int, width_ms: int
    ) -> list[Bucket]:
        """See `SeriesStore.summarise`."""
        starts = starts_of_parts(start_ms, end_ms, width_ms)
        series = (gateway, device, point)
        return await self._file.ask(
            lambda connection: hours.summarise(connection, series, starts=starts, end_ms=end_ms)
        )

    async def coverage(
        self, gateway: str, expected: Sequence[Expected], *, start_ms: int, end_ms: int, slot_ms: int
    ) -> list[Coverage]:
        """See `SeriesStore.coverage`."""
        starts = starts_of_parts(start_ms, end_ms, slot_ms, series=len(expected))

        def cover(connection: Connection, device: str, point: str, beat_ms: int) -> Iterator[Slot]:
            for series in _ids(connection, gateway, device, point):
                for start in starts:
                    span = (series, start, min(start + slot_ms, end_ms), beat_ms)
                    valued, heard = connection.execute(_COUNT_BEATS, span).fetchone()
                    if heard:
                        yield Slot(start, valued, heard - valued)

        wanted = [(one.device, one.point, beat_of(one.heartbeat_ms, slot_ms)) for one in expected]
        return await self._file.ask(
            lambda connection: [Coverage(*one, list(cover(connection, *one))) for one in wanted]
        )

    async def extent(self) -> tuple[int, int] | None:
        """See `SeriesStore.extent`."""
        ((oldest, newest),) = await self._select(_EXTENT)
        return None if oldest is None or newest < self._oldest_ms else (max(oldest, self._oldest_ms), newest)

    async def estimate(self, *, start_ms: int, end_ms: int) -> int:
        """See `SeriesStore.estimate`; it is exact."""
        ((count,),) = await self._select(_COUNT, max(start_ms, self._oldest_ms), end_ms)
        return int(count)

    async def read_span(self, *, start_ms: int, end_ms: int) -> list[Batch]:
        """See `SeriesStore.read_span`."""
        start = max(start_ms, self._oldest_ms)

        def read(connection: Connection) -> Iterator[SeriesColumn]:
            for series, *names in connection.execute(_ALL_SERIES).fetchall():
                rows = connection.execute(_READ_COLUMN, (series, start, end_ms)).fetchall()
                if rows:
                    yield _column(SeriesId(*names), rows)

        return await self._file.ask(lambda connection: batches_of(read(connection)))

    @property
    def _oldest_ms(self) -> int:
        """Before this, readings are only waiting to be deleted: whoever copies a store shall not take them along."""
        return 0 if self._retention is None else self._retention.oldest_ms

    async def forget_expired(self) -> int:
        """See `SeriesStore.forget_expired`; in small pieces, so that what is to be written does not wait for long."""
        return await self._forget_all() + await self._thin_all()

    async def _forget_all(self) -> int:
        if self._retention is None:
            return 0
        oldest_ms, forgotten = self._retention.oldest_ms, 0
        for series, *_ in await self._select(_ALL_SERIES):
            while found := await self._file.change(partial(self._forget, series, oldest_ms)):
                forgotten += found
        return forgotten

    def _forget(self, series: int, before_ms: int) -> int:
        with self._file.transaction() as connection:
            hours.drop(connection, series, before_ms)
            return connection.execute(_FORGET, (series, before_ms, FORGET_AT_ONCE)).rowcount

    async def _thin_all(self) -> int:
        """Let go of readings that are older than they are kept singly; their hours are summed up first."""
        if self._singles is None:
            return 0
        before = hours.hour_of(self._singles.oldest_ms)
        await self.sum_up(until_ms=before)
        await self._file.change(partial(self._close_before, before))
        thinned = 0
        for series, *_ in await self._select(_ALL_SERIES):
            since, done = 0, -1
            while since != done:
                done = since
                readings, since = await self._file.change(partial(self._thin, series, since))
                thinned += readings
        return thinned

    def _close_before(self, singles_since: int) -> None:
        with self._file.transaction() as connection:
            hours.close_before(connection, singles_since)

    def _thin(self, series: int, since: int) -> tuple[int, int]:
        with self._file.transaction() as connection:
            return hours.thin(connection, series, since, FORGET_AT_ONCE)

    async def closed_hours(self, series: SeriesId) -> list[Row]:
        """Return the hours of a series of which no readings are kept any more, each as a `Bucket` has it."""
        names = (series.gateway, series.device, series.point)
        return await self._file.ask(lambda connection: hours.closed_of(connection, names))

    async def keep_closed(self, found: Sequence[tuple[SeriesId, Row]]) -> None:
        """Keep closed hours of another store, after all of its readings."""
        until = max(hour[0] for _, hour in found) + hours.HOUR_MS
        await self.sum_up(until_ms=until)  # the readings that were kept of them

        def keep() -> None:
            with self._file.transaction() as connection:
                named = (((one.gateway, one.device, one.point), hour) for one, hour in found)
                hours.keep_closed(connection, named, until)

        await self._file.change(keep)

    async def singles_since(self, device: str) -> int:  # noqa: ARG002 -- the interface asks for it
        """See `SeriesStore.singles_since`; it is the same for all devices of a file."""
        return await self._file.ask(lambda connection: hours.Standing.of(connection).singles_since)

    async def sum_up(self, *, until_ms: int) -> None:
        """See `SeriesStore.sum_up`; in small pieces, so that what is to be written does not wait for long."""
        until = hours.hour_of(until_ms)
        waiting = await self._file.ask(lambda connection: hours.unsummed(connection, until))
        while waiting:
            await self._file.change(lambda: self._sum_up(waiting, until))
        while await self._file.change(self._sum_up_stale):
            pass

    def _sum_up(self, waiting: list[int], until: int) -> None:
        with self._file.transaction() as connection:
            hours.sum_up(connection, waiting, until)

    def _sum_up_stale(self) -> bool:
        with self._file.transaction() as connection:
            return hours.sum_up_stale(connection)

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await self._file.close()

    def _write(self, batches: Sequence[Batch]) -> dict[int, int]:
        """Write; return how many readings of which batch were of hours that are closed, and were let go."""
        blocks = [(batch.gateway, block) for batch in batches for block in batch.blocks]
        let_go: Counter[int] = Counter()
        with self._file.transaction() as connection:
            known = {key: self._find_series(key, valued_at) for key, valued_at in _series_of(blocks).items()}
            standing = hours.Standing.of(connection)
            closed = hours.closed(connection, _hours_of(blocks, known, standing.singles_since))
            hours.make_stale(connection, _hours_of(blocks, known, standing.summed_before) - closed)
            rows = _open_rows(batches, known, closed, let_go) if closed else _rows_of(blocks, known)
            connection.executemany(_WRITE, rows)
        if len(self._known) + len(known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(known)
        return dict(let_go)

    def _find_series(self, key: SeriesKey, valued_at: int) -> "_Known":
        known = self._known.get(key)
        if known is not None and valued_at < known.valued_before:
            return known
        valued_before = (valued_at // VALUED_STEP_MS + 1) * VALUED_STEP_MS
        (row,) = self._file.write_connection.execute(_FIND_SERIES, (*key, valued_before)).fetchall()
        return _Known(*row)

    async def _select(self, statement: str, *values: str | int) -> list[Row]:
        return await self._file.ask(lambda connection: connection.execute(statement, values).fetchall())


class _Known(Struct, frozen=True, gc=False):
    id: int
    valued_before: int


def _series_of(blocks: Sequence[Named]) -> dict[SeriesKey, int]:
    """Return the series of the blocks, each with the time of its newest value, 0 where none has one."""
    found: dict[SeriesKey, int] = {}
    for gateway, block in blocks:
        ends = list(accumulate(block.rows))
        for column in block.columns:
            for device, start, end in zip(block.devices, [0, *ends], ends, strict=False):
                if column.flags and not column.flags[start:end].strip(_NOT_THERE):
                    continue
                key = (gateway, device, column.point, block.kind)
                found[key] = max(found.get(key, 0), _valued_at(column, block.times, start, end))
    return found


def _valued_at(column: Column, times: Sequence[int], start: int, end: int) -> int:
    """Return the newest time of a value in some rows, 0 where there is none."""
    valued = len(column.flags[start:end].rstrip(_VALUELESS)) if column.flags else end - start
    return times[start + valued - 1] if valued else 0


_NOT_THERE, _VALUELESS = bytes([0]), bytes([0, Flag.MISSING])


def _hours_of(blocks: Sequence[Named], known: Mapping[SeriesKey, _Known], before_ms: int) -> set[tuple[int, int]]:
    """Return the hours before a time that readings are of, each with the number of its series."""
    found: set[tuple[int, int]] = set()
    for gateway, block in blocks:
        if min(block.times) >= before_ms:
            continue
        hours_here = list(map(hours.hour_of, block.times))
        for column in block.columns:
            touched = zip(_numbers_of(gateway, block, column, known), hours_here, strict=True)
            found.update((number, hour) for number, hour in touched if number and hour < before_ms)
    return found


def _rows_of(blocks: Sequence[Named], known: Mapping[SeriesKey, _Known]) -> Iterator[Row]:
    for gateway, block in blocks:
        for column in block.columns:
            numbers = _numbers_of(gateway, block, column, known)
            if column.flags:
                yield from _flagged_rows(numbers, block.times, column)
            else:
                yield from zip(numbers, block.times, column.values, repeat(int(Flag.PASS)), repeat(0))


def _open_rows(
    batches: Sequence[Batch], known: Mapping[SeriesKey, _Known], closed: Set[tuple[int, int]], let_go: Counter[int]
) -> Iterator[Row]:
    """Give what is not of a closed hour; of the rest count, by the place of their batch, how many they are."""
    for place, batch in enumerate(batches):
        for row in _rows_of([(batch.gateway, block) for block in batch.blocks], known):
            if (row[0], hours.hour_of(row[1])) in closed:
                let_go[place] += 1
            else:
                yield row


def _flagged_rows(numbers: Iterator[int], times: Sequence[int], column: Column) -> Iterator[Row]:
    values, tests = iter(column.values), iter(column.tests)
    for number, taken_at, flag in zip(numbers, times, column.flags, strict=True):
        if flag:
            value = None if flag == Flag.MISSING else next(values)
            yield number, taken_at, value, flag, 0 if flag == Flag.PASS else next(tests)


def _numbers_of(gateway: str, block: Block, column: Column, known: Mapping[SeriesKey, _Known]) -> Iterator[int]:
    """Give the number of the series of each row; 0 where its device has no reading of the column's point."""
    keys = ((gateway, device, column.point, block.kind) for device in block.devices)
    return chain.from_iterable(
        repeat(known[key].id if key in known else 0, rows) for key, rows in zip(keys, block.rows, strict=True)
    )


def _reading(row: Row) -> Reading:
    device, point, taken_at, value, flag, tests = row
    return Reading(device, point, taken_at, value, Flag(flag), tests)


def _column(series: SeriesId, rows: Sequence[Row]) -> SeriesColumn:
    times, values, flags, tests = zip(*rows, strict=True)
    if flags.count(Flag.PASS) == len(flags):
        return SeriesColumn(series, times, Column(series.point, list(values)))
    return SeriesColumn(
        series,
        times,
        Column(
            series.point,
            [value for value, flag in zip(values, flags, strict=True) if flag != Flag.MISSING],
            bytes(flags),
            [mask for mask, flag in zip(tests, flags, strict=True) if flag != Flag.PASS],
        ),
    )


def _last_heard(row: Row) -> LastHeard:
    gateway, device, point, kind, taken_at, value, flag, tests, valued_at = row
    return LastHeard(gateway, device, point, kind, taken_at, value, Flag(flag), tests, valued_at)


def _ids(connection: Connection, gateway: str, device: str, point: str) -> list[int]:
    """Return the number of a series, or nothing where it was never heard."""
    return [series for (series,) in connection.execute(_FIND_ID, (gateway, device, point))]
