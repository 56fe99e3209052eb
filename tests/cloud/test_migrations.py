"""Migrations make exactly the tables that the program declares, from nothing and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect

from cloud.database import Database
from cloud.migrations import configuration, differences, head, migrate, revision_of


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    with Database.at(tmp_path / "empty.db") as database:
        yield database


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


def test_a_difference_is_found(empty: Database) -> None:
    """The comparison itself can fail."""
    empty.write_now(migrate)
    empty.write_now(lambda connection: connection.exec_driver_sql("DROP TABLE order_evidence"))
    assert len(empty.read_now(differences)) > 0
