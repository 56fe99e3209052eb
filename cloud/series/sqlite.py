"""The series store that needs no installation: one SQLite file, one writing thread, a few reading threads.

A value keeps its type: the column is declared ANY, so that SQLite stores integers as integers and floats as floats,
bit for bit (including -0.0 and denormals).

A sensor may be missing for months, one reading a heartbeat. So that its last value is found without walking through
them, `series.valued_before` is a time that every reading with a value is older than. It only ever grows, in steps, in
the transaction of the readings: repeated, late or replaced readings leave it true.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from msgspec import Struct

from cloud.series import (
    Bucket,
    Coverage,
    Expected,
    LastHeard,
    MisconfiguredError,
    SeriesError,
    SeriesId,
    Slot,
    UnavailableError,
    beat_of,
    starts_of_parts,
)
from cloud.series.columns import SeriesColumn, batches_of
from cloud.series.retention import Retention, without_expired
from edge.contract.messages import Batch, Flag, Reading
from edge.contract.tables import Column

BUSY_TIMEOUT_S = 10.0
FORGET_AT_ONCE = 10_000  # readings
READERS = 3  # a long chart holds up neither the next page nor the one after
MAX_KNOWN = 200_000  # series whose number is remembered: some 70 MB
VALUED_STEP_MS = 6 * 3600 * 1000  # `valued_before` is a multiple: few writes, and few missing readings to walk through
SeriesKey = tuple[str, str, str, str]  # gateway, device, point, kind
Row = tuple[Any, ...]  # columns of one row, in the order of its statement
Answer = TypeVar("Answer")

_FIRST_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    device TEXT NOT NULL,
    point TEXT NOT NULL,
    kind TEXT NOT NULL,
    UNIQUE (gateway, device, point)
) STRICT;
CREATE TABLE IF NOT EXISTS readings (
    series INTEGER NOT NULL REFERENCES series,
    taken_at INTEGER NOT NULL,
    value ANY,
    flag INTEGER NOT NULL,
    tests INTEGER NOT NULL,
    PRIMARY KEY (series, taken_at)
) STRICT, WITHOUT ROWID;
"""
_ADD_VALUED_BEFORE = """
ALTER TABLE series ADD COLUMN valued_before INTEGER NOT NULL DEFAULT 0;
UPDATE series SET valued_before = 1 + coalesce(
    (SELECT taken_at FROM readings WHERE series = series.id AND flag <> 9 ORDER BY taken_at DESC LIMIT 1), 0
);
"""
_VERSIONS = (_FIRST_SCHEMA, _ADD_VALUED_BEFORE)  # what each version of the file adds; user_version counts them

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
# One statement a part, instead of one that groups: SQLite would sort readings that lie in order already.
_SUMMARISE = """
SELECT min(value) FILTER (WHERE flag < 4), max(value) FILTER (WHERE flag < 4),
    min(value) FILTER (WHERE flag = 4), max(value) FILTER (WHERE flag = 4),
    count(*) FILTER (WHERE flag = 1), count(*) FILTER (WHERE flag = 2), count(*) FILTER (WHERE flag = 3),
    count(*) FILTER (WHERE flag = 4), count(*) FILTER (WHERE flag = 9)
FROM readings WHERE series = ? AND taken_at >= ? AND taken_at < ?
"""
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

# What the file or its place is at fault for; anything else (locked, full, a failing disk) may pass.
_FAULTS_OF_THE_PLACE = {
    "SQLITE_CANTOPEN",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_PERM",
    "SQLITE_READONLY",
}


class SqliteStore:
    """A `SeriesStore` in the file `path`, for ever or for a time; raises MisconfiguredError when it cannot be opened.

    What is past its time is overwritten before its place in the file is used again.
    """

    def __init__(self, path: Path, retention: Retention | None = None) -> None:
        self.path = path
        self._retention = retention
        with self._errors_sorted():
            self._write_connection = self._connect()
            self._bring_up_to_date()
            self._read_connections = [self._connect() for _ in range(READERS)]
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for connection in self._read_connections:
            connection.execute("PRAGMA query_only = ON")
            self._idle.put(connection)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="series-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="series-read")
        self._known: dict[SeriesKey, _Known] = {}  # what is committed; used by the writing thread alone

    async def write(self, batches: Sequence[Batch]) -> dict[int, int]:
        """See `SeriesStore.write`; all batches or, on any error, none of them."""
        expired: dict[int, int] = {}
        if self._retention is not None:
            batches, expired = without_expired(batches, self._retention.oldest_ms)
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, batches)
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

        def summarise(connection: sqlite3.Connection) -> list[Bucket]:
            found = []
            for series in _ids(connection, gateway, device, point):
                for start in starts:
                    part = (series, start, min(start + width_ms, end_ms))
                    row = connection.execute(_SUMMARISE, part).fetchone()
                    if any(row[4:]):  # a count
                        found.append(Bucket(start, *row))
            return found

        return await self._ask(summarise)

    async def coverage(
        self, gateway: str, expected: Sequence[Expected], *, start_ms: int, end_ms: int, slot_ms: int
    ) -> list[Coverage]:
        """See `SeriesStore.coverage`."""
        starts = starts_of_parts(start_ms, end_ms, slot_ms, series=len(expected))

        def cover(connection: sqlite3.Connection, device: str, point: str, beat_ms: int) -> Iterator[Slot]:
            for series in _ids(connection, gateway, device, point):
                for start in starts:
                    span = (series, start, min(start + slot_ms, end_ms), beat_ms)
                    valued, heard = connection.execute(_COUNT_BEATS, span).fetchone()
                    if heard:
                        yield Slot(start, valued, heard - valued)

        wanted = [(one.device, one.point, beat_of(one.heartbeat_ms, slot_ms)) for one in expected]
        return await self._ask(lambda connection: [Coverage(*one, list(cover(connection, *one))) for one in wanted])

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

        def read(connection: sqlite3.Connection) -> Iterator[SeriesColumn]:
            for series, *names in connection.execute(_ALL_SERIES).fetchall():
                rows = connection.execute(_READ_COLUMN, (series, start, end_ms)).fetchall()
                if rows:
                    yield _column(SeriesId(*names), rows)

        return await self._ask(lambda connection: batches_of(read(connection)))

    @property
    def _oldest_ms(self) -> int:
        """Before this, readings are only waiting to be deleted: whoever copies a store shall not take them along."""
        return 0 if self._retention is None else self._retention.oldest_ms

    async def forget_expired(self) -> int:
        """See `SeriesStore.forget_expired`; in small pieces, so that what is to be written does not wait for long."""
        if self._retention is None:
            return 0
        oldest_ms, forgotten = self._retention.oldest_ms, 0
        for series, *_ in await self._select(_ALL_SERIES):
            while found := await asyncio.get_running_loop().run_in_executor(
                self._writer, self._forget, series, oldest_ms
            ):
                forgotten += found
        return forgotten

    def _forget(self, series: int, before_ms: int) -> int:
        with self._errors_sorted(), _transaction(self._write_connection, "BEGIN IMMEDIATE") as connection:
            return connection.execute(_FORGET, (series, before_ms, FORGET_AT_ONCE)).rowcount

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in (*self._read_connections, self._write_connection):
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a receipt makes the gateway forget: it must be on disk
        if self._retention is not None:
            connection.execute("PRAGMA secure_delete = ON")
        return connection

    def _bring_up_to_date(self) -> None:
        if self._version() < len(_VERSIONS):  # asked first: a file that is up to date is opened without a write
            with _transaction(self._write_connection, "BEGIN IMMEDIATE") as connection:
                for additions in _VERSIONS[self._version() :]:
                    for statement in additions.split(";"):
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {len(_VERSIONS)}")
        if self._version() > len(_VERSIONS):
            raise MisconfiguredError(f"series store {self.path}: a newer Anlan has written it: run that one")

    def _version(self) -> int:
        return int(self._write_connection.execute("PRAGMA user_version").fetchone()[0])

    def _write(self, batches: Sequence[Batch]) -> None:
        with self._errors_sorted(), _transaction(self._write_connection, "BEGIN IMMEDIATE") as connection:
            known = {key: self._find_series(key, valued_at) for key, valued_at in _series_of(batches).items()}
            connection.executemany(_WRITE, _rows_of(batches, known))
        if len(self._known) + len(known) > MAX_KNOWN:
            self._known.clear()
        self._known.update(known)

    def _find_series(self, key: SeriesKey, valued_at: int) -> "_Known":
        known = self._known.get(key)
        if known is not None and valued_at < known.valued_before:
            return known
        valued_before = (valued_at // VALUED_STEP_MS + 1) * VALUED_STEP_MS
        (row,) = self._write_connection.execute(_FIND_SERIES, (*key, valued_before)).fetchall()
        return _Known(*row)

    async def _select(self, statement: str, *values: str | int) -> list[Row]:
        return await self._ask(lambda connection: connection.execute(statement, values).fetchall())

    async def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return what the question finds in one unchanging state of the file."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._answer, question)

    def _answer(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        connection = self._idle.get()
        try:
            with self._errors_sorted(), _transaction(connection, "BEGIN"):
                return question(connection)
        finally:
            self._idle.put(connection)

    @contextmanager
    def _errors_sorted(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._sorted(error) from error

    def _sorted(self, error: sqlite3.Error) -> SeriesError:
        # Extended names, such as SQLITE_READONLY_DIRECTORY, begin with the primary one.
        primary = "_".join(getattr(error, "sqlite_errorname", "").split("_")[:2])
        if primary in _FAULTS_OF_THE_PLACE:
            return MisconfiguredError(
                f"series store {self.path}: {error}: check the path, its permissions and that it is ours"
            )
        return UnavailableError(f"series store {self.path}: {error}")


class _Known(Struct, frozen=True, gc=False):
    id: int
    valued_before: int


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _series_of(batches: Sequence[Batch]) -> dict[SeriesKey, int]:
    """Return the series of the batches, each with the time of its newest value, 0 where none has one."""
    found: dict[SeriesKey, int] = {}
    for batch in batches:
        for table in batch.tables:
            for column in table.columns:
                key = (batch.gateway, table.device, column.point, table.kind)
                found[key] = max(found.get(key, 0), _valued_at(column, table.times))
    return found


def _valued_at(column: Column, times: Sequence[int]) -> int:
    if not column.values:
        return 0
    return times[len(column.flags.rstrip(_VALUELESS)) - 1]  # without flags every row has a value: the last, then


_VALUELESS = bytes([0, Flag.MISSING])


def _rows_of(batches: Sequence[Batch], known: Mapping[SeriesKey, _Known]) -> Iterator[Row]:
    for batch in batches:
        for table in batch.tables:
            id_of = {
                column.point: known[batch.gateway, table.device, column.point, table.kind].id
                for column in table.columns
            }
            for taken_at, readings in table.rows():
                for reading in readings:
                    yield id_of[reading.point], taken_at, reading.value, reading.flag, reading.tests


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


def _ids(connection: sqlite3.Connection, gateway: str, device: str, point: str) -> list[int]:
    """Return the number of a series, or nothing where it was never heard."""
    return [series for (series,) in connection.execute(_FIND_ID, (gateway, device, point))]
