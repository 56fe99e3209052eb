"""Databases for tests: of both kinds, emptied again, and what stands in them."""

import secrets
from collections.abc import Collection
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, MetaData, Table, insert, select, text

from cloud.database import Database, DatabaseError, metadata
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from edge.contract.config_file import load_yaml
from tests.servers import Postgres

NEIGHBOURHOOD = Path(__file__).parent / "registry" / "neighbourhood.yaml"

BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.servers))
"""The parameters of a fixture that gives a database of each kind."""


def new_sqlite(path: Path) -> Database:
    """Return a new SQLite database with all tables in the file `path`: a copy, which takes 1 ms instead of 100."""
    for ending in ("", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    path.write_bytes(_migrated_file())
    return Database.at(path)


def with_known_statements(database: Database) -> Database:
    """Give a database the engine of earlier ones of its URL, which knows what their statements compile to.

    To compile them anew took a third of the time of a test. Closing the database closes its connections all the same.
    """
    database.engine = _engines.setdefault(str(database.url), database.engine)
    return database


_engines: dict[str, Engine] = {}


@cache
def _migrated_file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cloud.db"
        with Database.at(path) as database:
            database.write_now(migrate)
        return path.read_bytes()


def add_neighbourhood(connection: Connection) -> None:
    """Fill the registry's tables, which are empty, with what loading neighbourhood.yaml fills them, but quicker."""
    for table, rows in _neighbourhood().items():
        connection.execute(insert(table), rows)


@cache
def _neighbourhood() -> dict[Table, list[dict[str, Any]]]:
    with TemporaryDirectory() as folder, new_sqlite(Path(folder) / "cloud.db") as database:
        registry = load_yaml(NEIGHBOURHOOD, RegistryFile)
        database.write_now(lambda connection: load_registry(connection, registry))
        return database.read_now(_filled)


def _filled(connection: Connection) -> dict[Table, list[dict[str, Any]]]:
    rows = {table: connection.execute(select(table)).mappings().all() for table in metadata.sorted_tables}
    return {table: [dict(row) for row in found] for table, found in rows.items() if found}


def new_postgres(postgres: Postgres) -> str:
    """Return the URL of a new PostgreSQL database without a table."""
    name = f"test_{secrets.token_hex(4)}"
    postgres.query(f'CREATE DATABASE "{name}"')
    return postgres.url(name)


def make_empty(database: Database) -> None:
    """Bring a PostgreSQL database to what it was after its migrations; 4 ms, where a new one takes 45 ms."""
    try:
        database.write_now(delete_rows)
    except DatabaseError:  # the test before took a table away
        database.write_now(lambda c: c.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
        database.write_now(migrate)


def delete_rows(connection: Connection, names: Collection[str] = tuple(metadata.tables)) -> None:
    """Delete every row of these tables, and let their numbers begin at 1 again, as SQLite does by itself."""
    tables = [table for table in reversed(metadata.sorted_tables) if table.name in names]
    if connection.dialect.name != "postgresql":
        for table in tables:
            connection.execute(table.delete())
        return
    # In one statement: most of the time goes into waiting for answers.
    numbered = [table.name for table in tables if table.autoincrement_column is not None]
    sequences = text("SELECT pg_get_serial_sequence(name, 'id') FROM unnest(CAST(:names AS text[])) AS name")
    restarts = [f"ALTER SEQUENCE {name} RESTART" for name in connection.scalars(sequences, {"names": numbered})]
    deletions = [str(table.delete()) for table in tables]
    connection.exec_driver_sql("; ".join(deletions + restarts))


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, whatever the program declares."""
    return database.read_now(_everything)


def _everything(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    there = MetaData()
    there.reflect(connection)
    return {
        table.name: sorted((tuple(row) for row in connection.execute(table.select())), key=repr)
        for table in there.sorted_tables
    }
