"""What tests of the cloud share: an empty database of their own, and a small neighbourhood to fill it with.

Whatever asks for `database` runs twice: on SQLite and on PostgreSQL.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.database import Database
from cloud.migrations import migrate
from tests.cloud.databases import BOTH, add_neighbourhood, make_empty, new_postgres, new_sqlite, with_known_statements
from tests.servers import Postgres

BY_KIND = {"database", "empty"}
"""Fixtures that give a database of either kind."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the shared PostgreSQL start before, and not within, the first test that runs on it."""
    if isinstance(item, pytest.Function) and item.get_closest_marker("servers") and BY_KIND & set(item.fixturenames):
        item.fixturenames = ["postgres", *item.fixturenames]


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, sqlite_folder: Path) -> Iterator[Database]:
    """An empty database with all tables."""
    if request.param == "postgresql":
        with with_known_statements(Database(request.getfixturevalue("migrated_postgres"))) as database:
            make_empty(database)
            yield database
    else:
        with with_known_statements(new_sqlite(sqlite_folder / "cloud.db")) as database:
            yield database


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> str:
    """The URL of a PostgreSQL database with all tables, which one test after another fills and the next one empties."""
    url = new_postgres(postgres)
    with Database(url) as database:
        database.write_now(migrate)
    return url


@pytest.fixture(params=BOTH)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    with Database(_new_url(request, tmp_path)) as database:
        yield database


def _new_url(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "postgresql":
        return new_postgres(request.getfixturevalue("postgres"))
    return f"sqlite:///{folder / 'empty.db'}"


@pytest.fixture
def neighbourhood(database: Database) -> Database:
    """The database, with the neighbourhood of neighbourhood.yaml in it."""
    database.write_now(add_neighbourhood)
    return database
