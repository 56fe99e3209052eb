"""`cloud restore`: puts a backup into the database that the configuration names, be it of another engine.

Everything of the database happens in one transaction: the tables are made as they were at the backup's revision,
filled, and brought to the present one. The history is filled into a file beside the old one, which takes its place just
before the transaction is committed, and gives it back when that fails. Pictures lie under the names of their content,
so those that a failed restore has left do no harm.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import Connection, Table, text
from sqlalchemy.exc import DBAPIError

from cloud.backup import ArchiveError, BackupError, RestoreRefusedError
from cloud.backup.archive import HISTORY, HOURS, PICTURES, TABLES, Contents, Header, open_archive, verify
from cloud.backup.history import RestoredHistory, series_file
from cloud.backup.progress import Progress
from cloud.backup.rows import LEFT_OUT, continue_numbers, is_empty, names_at, tables_of, write_lines
from cloud.blobs import path_of
from cloud.config import CloudConfig
from cloud.database import Database
from cloud.migrations import head, migrate, revision_of, revisions
from cloud.start import lock_folder

NAMED = 3  # tables, or programs, that a refusal names

# Of other roles a role sees no more than that they are connected.
OTHERS = """
SELECT coalesce(nullif(application_name, ''), 'somebody') || coalesce(' from ' || host(client_addr), '')
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
ORDER BY 1
"""


def restore(config: CloudConfig, path: Path, *, replace: bool, progress: Progress) -> tuple[Header, Contents]:
    """Restore the backup in `path`, with `replace` also where something is; return what it was and what was in it.

    Raises BackupError, StartError when a cloud runs on data_dir, DatabaseError and SeriesError; then nothing has
    changed.
    """
    header, contents = verify(path)
    if header.revision not in revisions():
        what = f"Anlan {header.program}, which is newer: this one knows tables up to revision {head()}"
        raise RestoreRefusedError(f"{path}: was made by {what}, not {header.revision}: install that one first")
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(lock_folder(config.data_dir, shared=False))
        database = stack.enter_context(Database(config.database))
        history = None
        if contents.readings is not None:
            history = stack.enter_context(RestoredHistory(series_file(config)))
            if history.is_taken() and not replace:
                raise _not_empty(f"history {history.path}", "has readings")
        filling = _Filling(config, path, header, history, progress)
        try:
            database.write_now(lambda connection: filling.fill(connection, str(database), replace=replace))
        except DBAPIError as error:
            reason = str(error.orig).partition("\n")[0]  # what follows shows the row
            raise BackupError(f"database {database}: {filling.place}{reason}: nothing was changed") from error
        except OSError as error:
            raise BackupError(f"{error.filename or config.data_dir}: {error.strerror}: nothing was changed") from error
    return header, contents


class _Filling:
    """One transaction that makes a database anew from a backup."""

    def __init__(
        self, config: CloudConfig, path: Path, header: Header, history: RestoredHistory | None, progress: Progress
    ) -> None:
        self._blobs_folder = config.blobs_folder
        self._path = path
        self._header = header
        self._history = history
        self._progress = progress
        self.place = ""  # what is being filled, for errors

    def fill(self, connection: Connection, name: str, *, replace: bool) -> None:
        """Do all of it; what is raised leaves everything as it was."""
        _make_room(connection, name, replace=replace)
        migrate(connection, self._header.revision)
        tables = tables_of(connection, names_at(self._header.revision) - LEFT_OUT)
        self._check_columns(tables)
        self._take_parts(connection, {table.name: table for table in tables})
        for table in tables:
            continue_numbers(connection, table)
        migrate(connection)
        os.sync()  # once, instead of after each picture
        if self._history is not None:
            self._history.take_place()

    def _check_columns(self, tables: Sequence[Table]) -> None:
        expected = {table.name: sorted(column.name for column in table.columns) for table in tables}
        if expected != {name: sorted(columns) for name, columns in self._header.tables.items()}:
            raise ArchiveError(f"{self._path}: has other tables than revision {self._header.revision} has")

    def _take_parts(self, connection: Connection, tables: dict[str, Table]) -> None:
        rows = dict.fromkeys(tables, 0)
        readings = pictures = 0
        with open_archive(self._path) as archive:
            for part in archive.parts():
                if part.kind == TABLES:
                    self.place = f"table {part.name}: "
                    columns = self._header.tables[part.name]
                    rows[part.name] += write_lines(connection, tables[part.name], columns, part.data)
                    self._progress.at(part.name, rows[part.name], "rows")
                elif part.kind == HISTORY and self._history is not None:
                    readings += self._history.write(part.data)
                    self._progress.at("history", readings, "readings")
                elif part.kind == HOURS and self._history is not None:
                    self._history.write_hours(part.data)
                elif part.kind == PICTURES:
                    self._put_picture(part.name, part.data)
                    pictures += 1
                    self._progress.at("pictures", pictures, "files")
        self.place = ""

    def _put_picture(self, name: str, data: bytes) -> None:
        path = path_of(self._blobs_folder, name)
        if path.exists() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{name}.restoring")
        partial.write_bytes(data)
        partial.replace(path)


def _make_room(connection: Connection, name: str, *, replace: bool) -> None:
    """Drop our tables; refused while they are used, and, without `replace`, when there is something in them."""
    found = revision_of(connection)
    if found is None:
        return
    if found not in revisions():
        raise RestoreRefusedError(f"database {name}: a newer Anlan has made its tables ({found}): use that one")
    tables = tables_of(connection, names_at(found))
    filled = [table.name for table in tables if not is_empty(connection, table)]
    if filled and not replace:
        raise _not_empty(f"database {name}", f"has rows in {_first_of(filled)}")
    others = list(connection.scalars(text(OTHERS))) if connection.dialect.name == "postgresql" else []
    if others:
        raise RestoreRefusedError(f"database {name}: is in use ({_first_of(others)}): stop every cloud that uses it")
    for table in reversed(tables):
        table.drop(connection)
    connection.execute(text("DROP TABLE alembic_version"))


def _not_empty(place: str, what: str) -> RestoreRefusedError:
    return RestoreRefusedError(f"{place}: {what}: add --replace to lose what is there, or name an empty one")


def _first_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
