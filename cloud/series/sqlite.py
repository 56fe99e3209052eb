"""The series store that needs no installation: one SQLite file, one writing thread, one reading thread.

A value keeps its type: the column is declared ANY, so that SQLite stores integers as integers and floats as floats,
bit for bit (including -0.0 and denormals).
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cloud.series import MisconfiguredError, SeriesError, SeriesId, UnavailableError
from edge.contract.messages import Batch, Flag, Reading

BUSY_TIMEOUT_S = 10.0
MAX_KNOWN = 200_000  # series whose number is remembered: some 60 MB
SeriesKey = tuple[str, str, str, str]  # gateway, device, point, kind
Row = tuple[Any, ...]  # columns of one row, in the order of its statement

_SCHEMA = """
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
_FIND_SERIES = """
INSERT INTO series (gateway, device, point, kind) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET kind = excluded.kind RETURNING id
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
SELECT gateway, device, point, kind FROM series WHERE ? IN (gateway, '') ORDER BY gateway, device, point
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
    """A `SeriesStore` in the file `path`; raises MisconfiguredError when it cannot be opened there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors_sorted():
            self._write_connection = self._connect()
            self._write_connection.executescript(_SCHEMA)
            self._read_connection = self._connect()
            self._read_connection.execute("PRAGMA query_only = ON")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="series-write")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="series-read")
        self._known: dict[SeriesKey, int] = {}  # what is committed; used by the writing thread alone

    async def write(self, batches: Sequence[Batch]) -> None:
        """See `SeriesStore.write`; all batches or, on any error, none of them."""
        await asyncio.get_running_loop().run_in_executor(self._writer, self._write, batches)

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

    async def close(self) -> None:
        """See `SeriesStore.close`."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._reader.shutdown()
        self._read_connection.close()
        self._write_connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a receipt makes the gateway forget: it must be on disk
        return connection

    def _write(self, batches: Sequence[Batch]) -> None:
        with self._errors_sorted(), self._transaction() as connection:
            ids = {key: self._known.get(key) or self._find_series(key) for key in _series_of(batches)}
            connection.executemany(_WRITE, _rows_of(batches, ids))
        if len(self._known) + len(ids) > MAX_KNOWN:
            self._known.clear()
        self._known.update(ids)

    def _find_series(self, key: SeriesKey) -> int:
        ((series,),) = self._write_connection.execute(_FIND_SERIES, key).fetchall()
        return int(series)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._write_connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    async def _select(self, statement: str, *values: str | int) -> list[tuple[Any, ...]]:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._fetch, statement, values)

    def _fetch(self, statement: str, values: tuple[str | int, ...]) -> list[tuple[Any, ...]]:
        with self._errors_sorted():
            return self._read_connection.execute(statement, values).fetchall()

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


def _series_of(batches: Sequence[Batch]) -> set[SeriesKey]:
    return {
        (batch.gateway, table.device, column.point, table.kind)
        for batch in batches
        for table in batch.tables
        for column in table.columns
    }


def _rows_of(batches: Sequence[Batch], ids: Mapping[SeriesKey, int]) -> Iterator[Row]:
    for batch in batches:
        for table in batch.tables:
            id_of = {
                column.point: ids[batch.gateway, table.device, column.point, table.kind] for column in table.columns
            }
            for taken_at, readings in table.rows():
                for reading in readings:
                    yield id_of[reading.point], taken_at, reading.value, reading.flag, reading.tests


def _reading(row: Row) -> Reading:
    device, point, taken_at, value, flag, tests = row
    return Reading(device, point, taken_at, value, Flag(flag), tests)
