"""The SQLite file of readings: its versions, its one writing thread, its few reading threads, and its errors sorted."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from cloud.series import MisconfiguredError, SeriesError, UnavailableError

BUSY_TIMEOUT_S = 10.0
READERS = 3  # a long chart holds up neither the next page nor the one after
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
_ADD_HOURS = """
CREATE TABLE hours (
    series INTEGER NOT NULL REFERENCES series,
    start INTEGER NOT NULL,
    low ANY,
    high ANY,
    failed_low ANY,
    failed_high ANY,
    passed INTEGER,
    not_evaluated INTEGER,
    suspect INTEGER,
    failed INTEGER,
    missing INTEGER,
    PRIMARY KEY (series, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX stale_hours ON hours (series, start) WHERE passed IS NULL;
ALTER TABLE series ADD COLUMN summed_before INTEGER NOT NULL DEFAULT 0;
CREATE TABLE standing (summed_before INTEGER NOT NULL, singles_since INTEGER NOT NULL) STRICT;
INSERT INTO standing VALUES (0, 0);
"""
# What each version of the file adds; user_version counts them.
_VERSIONS = (_FIRST_SCHEMA, _ADD_VALUED_BEFORE, _ADD_HOURS)

# What the file or its place is at fault for; anything else (locked, full, a failing disk) may pass.
_FAULTS_OF_THE_PLACE = {
    "SQLITE_CANTOPEN",
    "SQLITE_CORRUPT",
    "SQLITE_NOTADB",
    "SQLITE_PERM",
    "SQLITE_READONLY",
}


class SeriesFile:
    """The file `path`, created or brought up to date; raises MisconfiguredError when it cannot be opened.

    With `overwrite`, what is deleted is overwritten before its place in the file is used again. Whatever the methods
    are given to do raises SeriesError where SQLite raises an error of its own.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path = path
        self._overwrite = overwrite
        with self._errors_sorted():
            self.write_connection = self._connect()
            self._bring_up_to_date()
            self.read_connections = [self._connect() for _ in range(READERS)]
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for connection in self.read_connections:
            connection.execute("PRAGMA query_only = ON")
            self._idle.put(connection)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="series-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="series-read")

    async def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return what the question finds in one unchanging state of the file."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._answer, question)

    async def change(self, work: Callable[[], Answer]) -> Answer:
        """Return what is done in the writing thread, one after the other; its transactions are `transaction`s."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection that writes: all is on disk after the block, or nothing of it."""
        with self._errors_sorted(), _transaction(self.write_connection, "BEGIN IMMEDIATE") as connection:
            yield connection

    async def close(self) -> None:
        """Finish what has begun and release the file and the threads."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in (*self.read_connections, self.write_connection):
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a receipt makes the gateway forget: it must be on disk
        if self._overwrite:
            connection.execute("PRAGMA secure_delete = ON")
        return connection

    def _bring_up_to_date(self) -> None:
        if self._version() < len(_VERSIONS):  # asked first: a file that is up to date is opened without a write
            with _transaction(self.write_connection, "BEGIN IMMEDIATE") as connection:
                for additions in _VERSIONS[self._version() :]:
                    for statement in additions.split(";"):
                        connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {len(_VERSIONS)}")
        if self._version() > len(_VERSIONS):
            raise MisconfiguredError(f"series store {self.path}: a newer Anlan has written it: run that one")

    def _version(self) -> int:
        return int(self.write_connection.execute("PRAGMA user_version").fetchone()[0])

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


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[sqlite3.Connection]:
    connection.execute(begin)
    try:
        yield connection
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
