"""The one relational database of the cloud: registry, ledger, events, alerts, work orders.

Each module declares its own tables on `metadata` and hands `Database` a plain function that does its work in one
transaction:

    def store(connection: Connection) -> int:
        return insert_new(connection, ledger_rows, [{...}])

    added = await database.write(store)

The engine is synchronous and is called on threads of its own, never on the default executor, so that a store which
hangs in other threads cannot hold up an event. What SQLite needs (WAL, BEGIN IMMEDIATE, "on conflict do nothing") is
known here, what PostgreSQL needs in `postgres`, and both nowhere else. Either has one writer at a time, whatever the
number of processes: what a transaction has read stays true until it has written.

    Exception
    └── DatabaseError        the database cannot be reached, is locked or is full: retry later
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, Integer, MetaData, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import DatabaseError as SqlalchemyDatabaseError

from cloud import postgres
from edge.contract.broker_config import is_loopback

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
READERS = 4

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

RowId = BigInteger().with_variant(Integer, "sqlite")
"""Type of a generated row number: SQLite generates numbers only for INTEGER."""


SUPPORTED = ("sqlite", "postgresql")
SECRET_OPTIONS = frozenset({"password", "sslpassword"})
VERIFIED = ("verify-ca", "verify-full")
"""With these values of libpq's sslmode nobody in between can pose as the server; others may fall back to clear text."""


class DatabaseError(Exception):
    """The database cannot be reached, is locked or is full; the same call may succeed later."""


class Database:
    """A pool of connections to one database, used from the event loop.

    `url` is an SQLAlchemy URL, such as `sqlite:////var/lib/anlan/cloud.db`. No connection is made before first use.
    """

    def __init__(self, url: str) -> None:
        self.url: URL = make_url(url)
        self._reading: dict[str, Any] = {"reads_only": True}
        if self.url.get_backend_name() == "postgresql":
            self.engine = postgres.make_engine(self.url)
            # Else each statement would have a view of its own.
            self._reading |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        else:
            self.engine = _make_sqlite_engine(self.url)
        self._writers = ThreadPoolExecutor(1, thread_name_prefix="database-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="database-read")

    @classmethod
    def at(cls, path: Path) -> Self:
        """The SQLite database in the file `path`."""
        return cls(f"sqlite:///{path}")

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction that may write; commit when it returns, roll back when it raises.

        Cancelling the caller does not stop work that has begun: it still commits or rolls back as a whole.
        Raises DatabaseError.
        """
        return await asyncio.get_running_loop().run_in_executor(self._writers, self.write_now, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on one consistent view of the database; it must not write. Raises DatabaseError."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self.read_now, work)

    def write_now(self, work: Callable[[Connection], T]) -> T:
        """`write` for code that runs without an event loop, such as the command line."""
        with self._errors_told(), self.engine.begin() as connection:
            return work(connection)

    def read_now(self, work: Callable[[Connection], T]) -> T:
        """`read` for code that runs without an event loop."""
        with self._errors_told(), self.engine.connect().execution_options(**self._reading) as connection:
            return work(connection)

    def close(self) -> None:
        """Wait for work that has begun, then close every connection."""
        self._writers.shutdown()
        self._readers.shutdown()
        self.engine.dispose()

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        """Turn what is no fault of a statement into a DatabaseError of one line."""
        try:
            yield
        except DBAPIError as error:
            is_server = self.engine.dialect.name == "postgresql"
            reason = postgres.why(error, self.url) if is_server else _why_sqlite(error)
            if reason is None:
                raise
            raise DatabaseError(f"database {self}: {reason}") from error


def check_url(text: str) -> str:
    """Return a database URL that can be used here; raises ValueError with the reason, which never shows a password."""
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        raise ValueError("not a database URL such as sqlite:////var/lib/anlan/cloud.db") from None
    if backend not in SUPPORTED:
        meant = ' (did you mean "postgresql"?)' if backend == "postgres" else ""
        raise ValueError(f"{backend} is not supported{meant}: use one of {', '.join(SUPPORTED)}")
    if url.drivername != backend:
        raise ValueError(f"{url.drivername}: the driver is not chosen here: write only {backend}://")
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:
        raise ValueError(
            f"{backend} needs the Python package {error.name}, which is not here: install it first"
        ) from None
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise ValueError("names no file: write sqlite:///, then its path")
    if backend == "postgresql":
        _check_secrecy(url)
    return text


def with_password(url: str, password: str) -> str:
    """Return a database URL that has the password in it, which is for `Database` alone."""
    return make_url(url).set(password=password).render_as_string(hide_password=False)


def _check_secrecy(url: URL) -> None:
    if url.password is not None or SECRET_OPTIONS & url.query.keys():
        raise ValueError("holds a password: write that into a file, and name the file as database_password_file")
    asked = url.normalized_query.get("host", ()) or (url.host or "",)
    hosts = [host for several in asked for host in several.split(",") if host and not host.startswith("/")]
    for host in hosts:
        if not is_loopback(host) and url.query.get("sslmode") not in VERIFIED:
            raise ValueError(
                f"{host} is not this machine, so the connection must be encrypted: add ?sslmode=verify-full, and "
                "&sslrootcert= with the file of the authority that signed the server's certificate"
            )


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose key is not there yet; return how many were new ("on conflict do nothing")."""
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing()
    # Where a statement returns generated keys by itself, rows are counted only when that is asked for.
    return connection.execute(statement, list(rows), execution_options={"preserve_rowcount": True}).rowcount


def _make_sqlite_engine(url: URL) -> Engine:
    # What somebody typed, and hashes of secrets, are no part of an error that goes into the log.
    engine = create_engine(url, hide_parameters=True)
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _why_sqlite(error: DBAPIError) -> str | None:
    """Return what is wrong with the file; None for a fault of a statement."""
    is_file = (
        isinstance(error, OperationalError | InterfaceError) or type(error) is SqlalchemyDatabaseError
    )  # not a database, or damaged
    return str(error.orig) if is_file else None


def _configure_sqlite(connection: SqliteConnection, _record: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own: _begin_sqlite does
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a receipt makes the gateway forget: what it says must be on disk
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads, then writes, fails under contention whatever the busy timeout says.
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN DEFERRED" if reads_only else "BEGIN IMMEDIATE")
