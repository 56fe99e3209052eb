"""The database: one transaction per piece of work, safe between threads and processes; on SQLite and PostgreSQL."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, ForeignKey, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.exc import IntegrityError

from cloud.database import Database, DatabaseError, insert_new

tables = MetaData()
parents = Table("parents", tables, Column("name", String, primary_key=True), Column("number", Integer, nullable=False))
children = Table("children", tables, Column("parent", ForeignKey(parents.c.name), primary_key=True))


@pytest.fixture
def database(empty: Database) -> Database:
    empty.write_now(tables.create_all)
    return empty


def count_parents(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(parents)) or 0


async def test_work_that_raises_leaves_nothing_behind(database: Database) -> None:
    """A transaction is all or nothing."""

    def fail(connection: Connection) -> None:
        connection.execute(insert(parents).values(name="a", number=1))
        raise LookupError("half way")

    with pytest.raises(LookupError):
        await database.write(fail)
    assert await database.read(count_parents) == 0


async def test_insert_new_ignores_what_is_there(database: Database) -> None:
    """A row that is there is neither changed nor counted."""
    await database.write(lambda c: insert_new(c, parents, [{"name": "a", "number": 1}]))
    rows = [{"name": "a", "number": 2}, {"name": "b", "number": 3}]
    assert await database.write(lambda c: insert_new(c, parents, rows)) == 1
    found = await database.read(lambda c: c.execute(select(parents).order_by(parents.c.name)).all())
    assert [tuple(row) for row in found] == [("a", 1), ("b", 3)]
    assert await database.write(lambda c: insert_new(c, parents, [])) == 0


async def test_foreign_keys_are_checked(database: Database) -> None:
    """A child without its parent is refused."""
    with pytest.raises(IntegrityError):
        await database.write(lambda c: c.execute(insert(children).values(parent="nobody")))


async def test_an_error_shows_no_values(database: Database) -> None:
    """What somebody typed and what is kept of a secret are in no text of an error, which may go into a log."""
    with pytest.raises(IntegrityError) as refused:
        await database.write(lambda c: c.execute(insert(children).values(parent="typed-4711")))
    assert "typed-4711" not in str(refused.value)


async def test_read_then_write_from_two_connections_loses_no_update(database: Database) -> None:
    """Two processes that read a number and write it back plus one never fail and never overwrite each other."""

    def add_one(connection: Connection) -> None:
        number = connection.scalar(select(parents.c.number))
        assert number is not None
        connection.execute(parents.update().values(number=number + 1))

    await database.write(lambda c: c.execute(insert(parents).values(name="a", number=0)))
    with Database(database.url.render_as_string(hide_password=False)) as other:
        await asyncio.gather(*(each.write(add_one) for _ in range(20) for each in (database, other)))
    assert await database.read(lambda c: c.scalar(select(parents.c.number))) == 40


async def test_a_read_sees_one_moment(database: Database) -> None:
    """What is written while somebody reads is not seen by half, and does not wait for the reader."""

    def count_twice(connection: Connection) -> tuple[int, int]:
        before = count_parents(connection)
        with Database(database.url.render_as_string(hide_password=False)) as other:
            other.write_now(lambda c: c.execute(insert(parents).values(name="a", number=1)))
        return before, count_parents(connection)

    assert await database.read(count_twice) == (0, 0)
    assert await database.read(count_parents) == 1


async def test_unusable_file_is_named(tmp_path: Path) -> None:
    """A database that cannot be opened is named in the error."""
    unable = pytest.raises(DatabaseError, match=r"absent/x\.db: unable to open database file")
    with Database.at(tmp_path / "absent" / "x.db") as database, unable:
        await database.read(count_parents)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    """It is no fault of a statement, and the file stays as it was."""
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    with Database.at(path) as database, pytest.raises(DatabaseError, match=r"letter\.txt: file is not a database"):
        database.write_now(tables.create_all)
    assert path.read_text().startswith("Dear Sir")
