"""`cloud backup`: everything that is on this machine in one file, while the cloud runs.

The tables are read in one consistent view of the database; the history and the pictures after it, which therefore hold
at least what the tables name.
"""

import fcntl
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

from msgspec import Struct
from sqlalchemy import Connection, select

from cloud.backup import BackupError
from cloud.backup.archive import FORMAT, TABLES, ArchiveWriter, Contents, Header
from cloud.backup.history import add_history, series_file
from cloud.backup.progress import Progress
from cloud.backup.rows import LEFT_OUT, names_at, read_lines, tables_of
from cloud.blobs import blobs, path_of
from cloud.config import CloudConfig
from cloud.database import Database
from cloud.migrations import revision_of, revisions
from cloud.start import is_absent
from edge.contract.program import command

NAMES_AT_ONCE = 1000
ROOT = Path(__file__).parents[2]


class Choice(Struct, frozen=True, kw_only=True):
    """What goes into a backup besides the tables; the history only where it is in a file of ours."""

    pictures: bool = True
    history: bool = True


def back_up(config: CloudConfig, path: Path, choice: Choice, progress: Progress, *, now_ms: int) -> Contents:
    """Write a backup to `path`, whole or not at all, and return what is in it; a file that is there is replaced.

    Raises BackupError, DatabaseError and SeriesError.
    """
    if is_absent(config):
        raise BackupError(f"database {config.database_file}: not there, so there is nothing to back up")
    with Database(config.database) as database, _written_whole(path) as file:
        writer, rows = database.read_now(lambda connection: _add_tables(connection, file, progress, now_ms=now_ms))
        is_ours = config.series.engine == "sqlite"
        readings, hours = None, 0
        if choice.history and is_ours:
            readings, hours = add_history(writer, series_file(config), progress)
        pictures = _Pictures(writer, config.blobs_folder, progress)
        if choice.pictures:
            pictures.add_all(database)
        contents = Contents(
            rows=rows,
            readings=readings,
            pictures=pictures.count if choice.pictures else None,
            picture_bytes=pictures.size,
            absent_pictures=pictures.absent,
            hours=hours,
        )
        writer.close(contents)
    return contents


def _add_tables(
    connection: Connection, file: IO[bytes], progress: Progress, *, now_ms: int
) -> tuple[ArchiveWriter, dict[str, int]]:
    revision = revision_of(connection)
    if revision is None:
        raise BackupError(f"database: has no tables yet, so there is nothing to back up: {command('cloud', 'init')}")
    if revision not in revisions():
        raise BackupError(f"database: a newer Anlan has made its tables ({revision}): back up with that one")
    tables = tables_of(connection, names_at(revision) - LEFT_OUT)
    header = Header(
        format=FORMAT,
        program=program_version(),
        revision=revision,
        engine=connection.dialect.name,
        made_at=now_ms,
        tables={str(table.name): [str(column.name) for column in table.columns] for table in tables},
    )
    writer, rows = ArchiveWriter(file, header), dict.fromkeys(header.tables, 0)
    for table in tables:
        for count in writer.add_lines(f"{TABLES}/{table.name}", read_lines(connection, table)):
            rows[table.name] = count
            progress.at(table.name, count, "rows")
    return writer, rows


class _Pictures:
    """Adds the pictures that the database names; what is not in the folder, or damaged there, is said and left out."""

    def __init__(self, writer: ArchiveWriter, folder: Path, progress: Progress) -> None:
        self._writer = writer
        self._folder = folder
        self._progress = progress
        self.count = self.size = self.absent = 0

    def add_all(self, database: Database) -> None:
        """Add every picture that is kept by now; none is ever deleted."""
        last = ""
        while names := database.read_now(partial(_names_after, last=last)):
            for name in names:
                self._add(name)
            last = names[-1]

    def _add(self, name: str) -> None:
        path = path_of(self._folder, name)
        try:
            data = path.read_bytes()
        except OSError as error:
            self._leave_out(f"{path}: {error.strerror}")
            return
        if sha256(data).hexdigest() != name:
            self._leave_out(f"{path}: its content is another one: damaged")
            return
        self._writer.add_picture(name, data)
        self.count, self.size = self.count + 1, self.size + len(data)
        self._progress.at("pictures", self.count, "files")

    def _leave_out(self, why: str) -> None:
        self.absent += 1
        self._progress.say(f"a picture is left out: {why}")


def _names_after(connection: Connection, last: str) -> list[str]:
    wanted = select(blobs.c.sha256).where(blobs.c.sha256 > last).order_by(blobs.c.sha256).limit(NAMES_AT_ONCE)
    return list(connection.scalars(wanted))


@contextmanager
def _written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Let a file be written that only its owner can read, under its name once it is whole and on disk."""
    unfinished = path.with_name(f"{path.name}.partial")
    try:
        # Whoever was killed left this name behind, so it may be there; whoever writes now holds the lock.
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            _take(file, unfinished)
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        _sync(path.parent)
    except OSError as error:
        raise BackupError(f"{error.filename or unfinished}: {error.strerror}: no backup was made") from error


def _take(file: IO[bytes], path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BackupError(f"{path}: another backup is being written there") from None
    os.fchmod(file.fileno(), 0o600)
    file.truncate()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def program_version() -> str:
    """Return which Anlan this is: the installed one, or that of the checkout."""
    try:
        return version("anlan")
    except PackageNotFoundError:
        project: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        return project
