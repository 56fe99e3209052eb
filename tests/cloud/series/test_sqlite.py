"""The series store in an SQLite file."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cloud.series import MisconfiguredError, UnavailableError
from cloud.series.sqlite import SqliteStore
from edge.contract.messages import Reading
from tests.cloud.series.suite import NOON, SeriesStoreSuite, batch_of, read_all


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """An empty store."""
    store = SqliteStore(tmp_path / "series.db")
    yield store
    await store.close()


class TestSqliteStore(SeriesStoreSuite):
    """All that every store must do."""


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    """The file alone holds everything; the store that opens it goes on with the same series."""
    first = SqliteStore(tmp_path / "series.db")
    await first.write([batch_of(Reading("meter-1", "voltage", NOON, 1.0))])
    await first.close()
    second = SqliteStore(tmp_path / "series.db")
    await second.write([batch_of(Reading("meter-1", "voltage", NOON + 1, 2.0))])
    assert [reading.value for reading in await read_all(second, "gw-1", "meter-1", "voltage")] == [1.0, 2.0]
    await second.close()


async def test_two_stores_may_write_one_file(tmp_path: Path) -> None:
    """Two workers on one file see each other's series and readings."""
    first, second = SqliteStore(tmp_path / "series.db"), SqliteStore(tmp_path / "series.db")
    await first.write([batch_of(Reading("meter-1", "voltage", NOON, 1.0))])
    await second.write([batch_of(Reading("meter-1", "voltage", NOON + 1, 2.0))])
    await first.write([batch_of(Reading("meter-1", "voltage", NOON + 2, 3.0))])
    assert [reading.value for reading in await read_all(second, "gw-1", "meter-1", "voltage")] == [1.0, 2.0, 3.0]
    await first.close()
    await second.close()


async def test_a_locked_file_can_be_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that holds the file makes the store unavailable, keeps nothing of the group, and may pass."""
    monkeypatch.setattr("cloud.series.sqlite.BUSY_TIMEOUT_S", 0.01)
    store = SqliteStore(tmp_path / "series.db")
    other = sqlite3.connect(tmp_path / "series.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    batch = batch_of(Reading("meter-1", "voltage", NOON, 1.0))
    with pytest.raises(UnavailableError, match=r"series\.db: database is locked"):
        await store.write([batch])
    other.execute("ROLLBACK")
    other.close()
    assert await store.series() == []
    await store.write([batch])
    assert len(await store.series()) == 1
    await store.close()


async def test_a_full_disk_can_be_retried(tmp_path: Path) -> None:
    """Without room nothing of a group is kept; with room the same write succeeds."""
    store = SqliteStore(tmp_path / "series.db")
    (pages,) = store._write_connection.execute("PRAGMA page_count").fetchone()
    store._write_connection.execute(f"PRAGMA max_page_count = {pages}")
    batch = batch_of(*(Reading("meter-1", "voltage", NOON + n, float(n)) for n in range(1000)))
    with pytest.raises(UnavailableError, match=r"series\.db: database or disk is full"):
        await store.write([batch])
    assert await store.series() == []
    store._write_connection.execute("PRAGMA max_page_count = 1000000")
    await store.write([batch])
    assert len(await read_all(store, "gw-1", "meter-1", "voltage")) == 1000
    await store.close()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A wrong path is for a person to correct, and is named."""
    with pytest.raises(MisconfiguredError, match=r"nowhere/series\.db: unable to open database file: check the path"):
        SqliteStore(tmp_path / "nowhere" / "series.db")


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A file that is no database is named and not touched."""
    (tmp_path / "series.db").write_text("notes of my own, and nothing that SQLite wrote\n" * 100)
    with pytest.raises(MisconfiguredError, match="file is not a database"):
        SqliteStore(tmp_path / "series.db")
    assert (tmp_path / "series.db").read_text().startswith("notes of my own")
