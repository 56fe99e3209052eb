"""The SQLite file under the outbox: its tables, its lock, its transactions, and what happens when it is broken.

Errors, by what the caller must do:

    OutboxError
    ├── OutboxFullError       the disk is full, read-only or fails to write: keep what there is in memory and try again
    ├── OutboxLockedError     another process has it: stop
    └── OutboxBrokenError     the disk or the file fails: stop; the next start sets a corrupt file aside
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from edge.outbox_salvage import Salvaged, salvage

KEPT_ASIDE = 3  # corrupt files
_FORMAT = 2  # PRAGMA user_version

_DAYS_AND_DRAFTS = """
CREATE TABLE days (
    epoch TEXT NOT NULL REFERENCES epochs (epoch) ON DELETE CASCADE, day TEXT NOT NULL,
    taken INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0, waiting INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (epoch, day)
) WITHOUT ROWID;
CREATE TABLE given_up (
    epoch TEXT NOT NULL, day TEXT NOT NULL, reason TEXT NOT NULL, readings INTEGER NOT NULL,
    PRIMARY KEY (epoch, day, reason), FOREIGN KEY (epoch, day) REFERENCES days (epoch, day) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE drafts (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, boot TEXT NOT NULL, readings INTEGER NOT NULL,
    size INTEGER NOT NULL, content BLOB NOT NULL
);
CREATE TABLE heads (day TEXT PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID;
"""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, clean INTEGER NOT NULL DEFAULT 0,
    taken INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0,
    given_up INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE lanes (
    epoch TEXT NOT NULL REFERENCES epochs (epoch) ON DELETE CASCADE, lane INTEGER NOT NULL,
    next_seq INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (epoch, lane)
) WITHOUT ROWID;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, epoch TEXT NOT NULL REFERENCES epochs (epoch),
    seq INTEGER NOT NULL, readings INTEGER NOT NULL, committed_at INTEGER NOT NULL, size INTEGER NOT NULL,
    payload BLOB NOT NULL, day TEXT NOT NULL DEFAULT '', thinned INTEGER NOT NULL DEFAULT 0, UNIQUE (epoch, lane, seq)
);
CREATE INDEX messages_in_order ON messages (lane, id, size);
CREATE INDEX messages_by_level ON messages (lane, thinned, id);
CREATE TABLE refused (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    reason TEXT NOT NULL, refused_at INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE open_events (key TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
{_DAYS_AND_DRAFTS}
PRAGMA user_version = {_FORMAT};
COMMIT;
"""

# What waits is not touched: a column with a default is a matter of the schema alone. Where a message has no day, it is
# that of its commit.
_MORE_COLUMNS = """
BEGIN IMMEDIATE;
ALTER TABLE messages ADD COLUMN day TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN thinned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_by_level ON messages (lane, thinned, id);
"""
_COUNT_DAYS = """
INSERT INTO days (epoch, day, taken, waiting)
    SELECT epoch, date(committed_at / 1000 + 28800, 'unixepoch'), SUM(readings), SUM(readings)
    FROM messages WHERE lane IN (1, 3) GROUP BY 1, 2;
"""
_UPGRADE_FROM_1 = f"{_MORE_COLUMNS}{_DAYS_AND_DRAFTS}{_COUNT_DAYS}PRAGMA user_version = {_FORMAT}; COMMIT;"

PASSING: Final = {  # may be over before long: a disk that was mounted read-only after a fault, a bus that was reset
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_READONLY_DIRECTORY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}
TAKES_NOTHING: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

_log = structlog.get_logger()


class OutboxError(Exception):
    """The outbox cannot do what it was asked."""


class OutboxFullError(OutboxError):
    """The disk takes nothing, being full, read-only or failing; nothing of the call was stored."""


class OutboxLockedError(OutboxError):
    """Another process has this outbox open."""


class OutboxBrokenError(OutboxError):
    """The disk or the file fails."""


class OutboxFile:
    """One open file; not thread-safe, its user takes turns."""

    def __init__(self, path: Path, db: sqlite3.Connection, lock: int, salvaged: Salvaged | None) -> None:
        self.path = path
        self.salvaged = salvaged  # what was taken over from a corrupt file that had its place
        self._db = db
        self._lock = lock

    @classmethod
    def open(cls, path: Path, *, now_ms: int) -> OutboxFile:
        """Open or make the file; what can be read of a corrupt one is taken over into a new one. Raises OutboxError."""
        lock = _take_lock(path)
        try:
            with translated(path):
                db, salvaged = _connect_or_salvage(path, now_ms)
        except BaseException:
            os.close(lock)
            raise
        return cls(path, db, lock, salvaged)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing; on disk when the block ends, unless ``durable`` is false. Raises OutboxError."""
        db = self._db
        with translated(self.path):
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file and let others have it."""
        try:
            self._db.close()
        finally:
            os.close(self._lock)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise  # used after close, for one: a mistake of ours, not of the disk
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise OutboxFullError(f"{path}: the disk is full: free space on it, nothing can be stored") from error
        if error.sqlite_errorcode in PASSING:
            raise OutboxFullError(f"{path}: {error}: nothing can be stored until the disk takes it again") from error
        hint = "check that its folder exists, can be written, and is on a healthy disk"
        raise OutboxBrokenError(f"{path}: {error}: {hint}") from error


@contextmanager
def looking_into(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file that no agent has, to look at what is in it. Raises OutboxError."""
    if not path.exists():
        raise OutboxError(f"{path}: there is no outbox yet: start the agent once")
    lock = _take_lock(path)
    try:
        with translated(path), closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA query_only = ON")
            [version] = db.execute("PRAGMA user_version").fetchone()
            if version != _FORMAT:
                raise OutboxError(f"{path}: has format {version}, this program shows {_FORMAT}: start the agent once")
            yield db
    finally:
        os.close(lock)


def _take_lock(path: Path) -> int:
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _os_error(lock_path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):  # a full disk: then others are not told who has it
            os.ftruncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
    except BlockingIOError:
        owner = os.pread(lock, 20, 0).decode(errors="replace") or "unknown"
        os.close(lock)
        raise OutboxLockedError(f"{path}: process {owner} has this outbox open; only one agent may use it") from None
    return lock


def _os_error(path: Path, error: OSError) -> OutboxError:
    if error.errno in TAKES_NOTHING:
        return OutboxFullError(f"{path}: {error.strerror}: nothing can be stored")
    return OutboxBrokenError(f"{path}: cannot be made: {error.strerror}")


def _connect_or_salvage(path: Path, now_ms: int) -> tuple[sqlite3.Connection, Salvaged | None]:
    new = path.with_name(f"{path.name}.new")
    if new.exists() and not path.exists():
        new.rename(path)  # the machine stopped between the two renames of _salvage
    try:
        return _connect(path), None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        reason = str(error)
    _log.error("outbox is corrupt: taking over what can be read", path=str(path), reason=reason)
    aside = path.with_name(f"{path.name}.corrupt-{now_ms}")
    salvaged = _salvage(path, new=new, aside=aside)
    _log.error("outbox was corrupt: a new one goes on", kept_as=aside.name, **salvaged._asdict())
    _remove_old_ones(path)
    return _connect(path), salvaged


def _salvage(path: Path, *, new: Path, aside: Path) -> Salvaged:
    """Set the file aside, and put a new one in its place with what can be read of it; a crash loses nothing."""
    for suffix in ("", "-wal"):
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    with closing(_connect(new)) as target:
        salvaged = salvage(path, target)
    for suffix in ("-wal", ""):  # the file last: a crash in between finds it corrupt again
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    new.rename(path)
    return salvaged


def _remove_old_ones(path: Path) -> None:
    """Let no more than three corrupt files take up the disk."""
    kept = sorted(path.parent.glob(f"{path.name}.corrupt-*[0-9]"), key=lambda aside: int(aside.name.rpartition("-")[2]))
    for aside in kept[:-KEPT_ASIDE]:
        for part in (aside, aside.with_name(f"{aside.name}-wal")):
            part.unlink(missing_ok=True)
        _log.warning("removed the oldest corrupt outbox that was kept", file=aside.name)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # readings of households: ours alone
    except OSError as error:
        raise _os_error(path, error) from error
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # no shared-memory file, which could not grow on a full disk
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    [version] = db.execute("PRAGMA user_version").fetchone()
    if version == 0:
        db.executescript(_SCHEMA)
    elif version == 1:
        db.executescript(_UPGRADE_FROM_1)
        _log.info("outbox brought up to date", path=str(path), format=_FORMAT)
    elif version != _FORMAT:
        raise OutboxBrokenError(f"{path}: has format {version}, this program knows {_FORMAT}: install a newer one")
    last = db.execute("SELECT clean FROM epochs ORDER BY id DESC LIMIT 1").fetchone()
    if last is not None and not last[0]:  # after a clean stop there is nothing to fear, and a large file takes long
        verdict = _check(db)
        if verdict != "ok":
            with suppress(sqlite3.IntegrityError):  # where only an index is damaged, nothing need be lost
                db.execute("REINDEX")
                verdict = _check(db)
        if verdict != "ok":
            error = sqlite3.DatabaseError(verdict)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error


def _check(db: sqlite3.Connection) -> str:
    """Return "ok" or the first fault; a quick_check would not see that an index and its table differ."""
    [verdict] = db.execute("PRAGMA integrity_check(1)").fetchone()
    return str(verdict)
