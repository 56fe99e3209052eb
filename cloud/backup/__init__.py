"""Backup and restore: one file that holds the database, the pictures and the embedded history, whatever the engine.

A backup of SQLite can be restored into PostgreSQL and the other way round. The file is a plain tar, so that other
tools can open it too; `archive` says what is in it.

    Exception
    └── BackupError               the text names the file or database and says what to do
        ├── ArchiveError          the file is not a whole backup: use another one
        └── RestoreRefusedError   restoring would harm something, or this program cannot; nothing was changed
"""


class BackupError(Exception):
    """A backup could not be made or restored."""


class ArchiveError(BackupError):
    """The file is not a whole backup."""


class RestoreRefusedError(BackupError):
    """Restoring would harm something, or this program cannot do it; nothing was changed."""
