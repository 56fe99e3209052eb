"""Migrations make exactly the tables that the program declares, from every earlier version, and lose nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData, inspect, select

from cloud.database import Database
from cloud.dead_letters import DeadLetter, keep, newest
from cloud.migrations import configuration, differences, head, migrate, revision_of, revisions
from cloud.workorders.case_codes import read_case_code
from tests.cloud.backups import content, fill_tables
from tests.cloud.databases import new_postgres
from tests.servers import Postgres

EARLIER = sorted(revisions() - {head()})
Rows = Mapping[str, list[Mapping[str, Any]]]


def test_migrations_make_the_declared_tables(empty: Database) -> None:
    """After all migrations nothing differs from the metadata; a second time there is nothing to do."""
    assert empty.write_now(migrate)
    assert not empty.write_now(migrate)
    assert empty.read_now(revision_of) == head()
    assert empty.read_now(differences) == []


def test_migrations_can_be_taken_back(empty: Database) -> None:
    """Down to nothing leaves no table of ours."""
    empty.write_now(migrate)
    empty.write_now(lambda connection: command.downgrade(configuration(connection), "base"))
    assert empty.read_now(lambda connection: inspect(connection).get_table_names()) == ["alembic_version"]


@pytest.mark.parametrize("revision", EARLIER)
def test_migrations_can_be_taken_back_one_by_one(empty: Database, revision: str) -> None:
    """Down to an earlier version and up again keeps every row of what that version had."""
    empty.write_now(migrate)
    empty.write_now(fill_tables)
    empty.write_now(lambda connection: command.downgrade(configuration(connection), revision))
    before = rows_of(empty)
    empty.write_now(migrate)
    assert empty.read_now(differences) == []
    assert kept_of(rows_of(empty), before) == before


def test_a_difference_is_found(empty: Database) -> None:
    """The comparison itself can fail."""
    empty.write_now(migrate)
    empty.write_now(lambda connection: connection.exec_driver_sql("DROP TABLE order_evidence"))
    assert len(empty.read_now(differences)) > 0


@pytest.mark.parametrize("revision", [*EARLIER, head()])
def test_a_filled_database_of_every_version_is_brought_forward(empty: Database, revision: str) -> None:
    """Every row is there as it was, what is new has its values, and the next rows get numbers of their own."""
    empty.write_now(lambda connection: migrate(connection, revision))
    empty.write_now(fill_tables)
    before = rows_of(empty)
    assert all(before.values())
    empty.write_now(migrate)
    assert empty.read_now(differences) == []
    after = rows_of(empty)
    assert kept_of(after, before) == before
    if "case_code" not in before["orders"][0]:
        codes = [row["case_code"] for row in after["orders"]]
        assert len(set(codes)) == len(codes)
        assert all(read_case_code(code) == code for code in codes)
    letter = DeadLetter(topic="anlan/v1/gw-1/batch", gateway="gw-1", reason="odd", payload=b"AL")
    empty.write_now(lambda connection: keep(connection, [letter], now_ms=2**60))
    assert empty.read_now(lambda connection: newest(connection, limit=1))[0].reason == "odd"


@pytest.mark.parametrize("revision", [*EARLIER, head()])
def test_both_databases_come_to_the_same(postgres: Postgres, tmp_path: Path, revision: str) -> None:
    """What was the same in SQLite and PostgreSQL is the same after all migrations, row by row."""
    contents = []
    for url in (f"sqlite:///{tmp_path / 'cloud.db'}", new_postgres(postgres)):
        with Database(url) as database:
            database.write_now(lambda connection: migrate(connection, revision))
            database.write_now(fill_tables)
            filled = database.read_now(content)
            database.write_now(migrate)
            rows = rows_of(database)
            if revision < "0004":
                for row in rows["orders"]:
                    row["case_code"] = "by chance"  # type: ignore[index]
            contents.append((filled, rows))
    assert contents[0] == contents[1]


def rows_of(database: Database) -> Rows:
    """Return every row of every table by the names of its columns, in the order of what it begins with."""
    there = MetaData()
    with database.engine.connect() as connection:
        there.reflect(connection)
        return {
            table.name: sorted((dict(row) for row in connection.execute(select(table)).mappings()), key=_first)
            for table in there.sorted_tables
            if table.name != "alembic_version"
        }


def _first(row: Mapping[str, Any]) -> str:
    return repr([row[name] for name in sorted(row) if name in {"id", "code", "login", "gateway", "seq", "order"}])


def kept_of(after: Rows, before: Rows) -> Rows:
    """Return, of what is there now, the tables and columns that were there before."""
    return {name: [{column: row[column] for column in rows[0]} for row in after[name]] for name, rows in before.items()}
