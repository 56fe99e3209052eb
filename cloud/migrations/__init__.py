"""The database's schema, step by step: `migrate` brings any earlier version to the present one.

A new step, after changing a table: `python -m cloud.migrations "what changes"`, then read and mend what it wrote.
"""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import cloud.blobs
import cloud.dead_letters
import cloud.gateway_states
import cloud.ledger
import cloud.quality.limits
import cloud.quality.reviews
import cloud.registry.gateway_files
import cloud.registry.tables
import cloud.statements.chain
import cloud.statements.said
import cloud.workorders.tables  # noqa: F401 -- every table must be on the metadata
from cloud.database import metadata


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration, for work on `connection`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the revision that this program needs."""
    return ScriptDirectory.from_config(configuration()).get_current_head() or ""


def revision_of(connection: Connection) -> str | None:
    """Return the revision of a database, None when it has no tables of ours."""
    return MigrationContext.configure(connection).get_current_revision()


def revisions() -> frozenset[str]:
    """Return every revision that this program knows."""
    return frozenset(step.revision for step in ScriptDirectory.from_config(configuration()).walk_revisions())


def migrate(connection: Connection, revision: str | None = None) -> bool:
    """Bring the database to `revision`, or `head`, within the transaction; return whether anything had to be done."""
    wanted = revision or head()
    if revision_of(connection) == wanted:
        return False
    command.upgrade(configuration(connection), wanted)
    return True


def differences(connection: Connection) -> list[object]:
    """Return in what the database differs from the tables that the program declares."""
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata))
