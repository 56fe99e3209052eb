"""The series store in an SQLite file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from cloud.series import MisconfiguredError, UnavailableError, sqlite, sqlite_file, sqlite_hours
from cloud.series.sqlite import SqliteStore
from edge.contract.messages import Reading
from tests.cloud.series.suite import DAY, MINUTE, NOON, SeriesStoreSuite, batch_of, missing, read_all


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
    monkeypatch.setattr("cloud.series.sqlite_file.BUSY_TIMEOUT_S", 0.01)
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
    (pages,) = store._file.write_connection.execute("PRAGMA page_count").fetchone()
    store._file.write_connection.execute(f"PRAGMA max_page_count = {pages}")
    batch = batch_of(*(Reading("meter-1", "voltage", NOON + n, float(n)) for n in range(1000)))
    with pytest.raises(UnavailableError, match=r"series\.db: database or disk is full"):
        await store.write([batch])
    assert await store.series() == []
    store._file.write_connection.execute("PRAGMA max_page_count = 1000000")
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


FIRST_VERSION = """
CREATE TABLE series (
    id INTEGER PRIMARY KEY, gateway TEXT NOT NULL, device TEXT NOT NULL, point TEXT NOT NULL, kind TEXT NOT NULL,
    UNIQUE (gateway, device, point)
) STRICT;
CREATE TABLE readings (
    series INTEGER NOT NULL REFERENCES series, taken_at INTEGER NOT NULL, value ANY, flag INTEGER NOT NULL,
    tests INTEGER NOT NULL, PRIMARY KEY (series, taken_at)
) STRICT, WITHOUT ROWID;
INSERT INTO series VALUES (1, 'gw-1', 'road-3', 'depth', 'waterlogging_sensor'),
    (2, 'gw-1', 'road-3', 'battery', 'waterlogging_sensor'), (3, 'gw-1', 'road-3', 'wet', 'waterlogging_sensor');
"""
FIRST_READINGS = [
    (1, NOON, 1.5, 1, 0),
    (1, NOON + 1, None, 9, 1),
    (1, NOON + 2, None, 9, 1),
    (2, NOON, None, 9, 1),
    (3, NOON, 9999, 4, 8),
]


def first_version(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "series.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(FIRST_VERSION)
        connection.executemany("INSERT INTO readings VALUES (?, ?, ?, ?, ?)", FIRST_READINGS)
        connection.commit()
    return folder / "series.db"


async def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """A file from before last values were remembered keeps all it has, and answers like a new one."""
    store = SqliteStore(first_version(tmp_path))
    assert [(one.point, one.valued_at) for one in await store.last_heard()] == [
        ("battery", None),
        ("depth", NOON),
        ("wet", NOON),
    ]
    assert await store.silent_since("gw-1", "road-3", "battery") == NOON
    assert await store.silent_since("gw-1", "road-3", "depth") == NOON + 1
    await store.write([batch_of(Reading("road-3", "depth", NOON + 9, 2.5))])
    assert await store.silent_since("gw-1", "road-3", "depth") is None
    assert len(await read_all(store, "gw-1", "road-3", "depth")) == 4
    await store.close()


def test_several_may_bring_a_file_up_to_date(tmp_path: Path) -> None:
    """Processes that open an old file at the same time find it brought up to date once."""
    path = first_version(tmp_path)
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(SqliteStore, [path] * 4))
    for store in stores:
        asyncio.run(store.close())


def test_a_locked_file_is_brought_up_to_date_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old file that another process holds is left as it is, and the next opening succeeds."""
    monkeypatch.setattr("cloud.series.sqlite_file.BUSY_TIMEOUT_S", 0.01)
    path = first_version(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="database is locked"):
            SqliteStore(path)
        other.execute("ROLLBACK")
    asyncio.run(SqliteStore(path).close())


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """What a newer program has written is for that program."""
    with closing(sqlite3.connect(first_version(tmp_path))) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(MisconfiguredError, match=r"series\.db: a newer Anlan has written it"):
        SqliteStore(tmp_path / "series.db")


async def test_a_value_that_is_replaced_was_never_the_last(store: SqliteStore) -> None:
    """When a missing reading replaces the newest value, the value before it is the last one."""
    await store.write([batch_of(Reading("road-3", "depth", NOON, 1.5), Reading("road-3", "depth", NOON + MINUTE, 2.5))])
    await store.write([batch_of(missing("road-3", "depth", NOON + MINUTE))])
    assert [(one.taken_at, one.valued_at) for one in await store.last_heard()] == [(NOON + MINUTE, NOON)]
    assert await store.silent_since("gw-1", "road-3", "depth") == NOON + MINUTE


async def test_a_late_value_after_a_restart_is_not_the_last(tmp_path: Path) -> None:
    """A store that is new to the file and writes an old value first leaves the newer one the last."""
    for at in (NOON, NOON - 30 * DAY):
        store = SqliteStore(tmp_path / "series.db")
        await store.write([batch_of(Reading("road-3", "depth", at, 1.5))])
        await store.close()
    store = SqliteStore(tmp_path / "series.db")
    await store.write([batch_of(missing("road-3", "depth", NOON + MINUTE))])
    assert [one.valued_at for one in await store.last_heard()] == [NOON]
    await store.close()


async def test_missing_readings_need_not_be_walked_through(store: SqliteStore) -> None:
    """However long nothing but missing comes, the last value is looked for where it is."""
    readings = [Reading("road-3", "depth", NOON, 1.5), missing("road-3", "depth", NOON + 30 * DAY)]
    await store.write([batch_of(*readings)])
    await store.write([batch_of(missing("road-3", "depth", NOON + 31 * DAY))])
    ((before,),) = store._file.write_connection.execute("SELECT valued_before FROM series").fetchall()
    assert NOON < before <= NOON + sqlite.VALUED_STEP_MS


async def test_a_write_that_fails_leaves_no_last_value(store: SqliteStore) -> None:
    """What a failed write would have made the last value is not remembered, so that the next write tells it again."""
    (pages,) = store._file.write_connection.execute("PRAGMA page_count").fetchone()
    store._file.write_connection.execute(f"PRAGMA max_page_count = {pages}")
    batch = batch_of(*(Reading("meter-1", "voltage", NOON + n, float(n)) for n in range(1000)))
    with pytest.raises(UnavailableError):
        await store.write([batch])
    store._file.write_connection.execute("PRAGMA max_page_count = 1000000")
    await store.write([batch])
    assert [one.valued_at for one in await store.last_heard()] == [NOON + 999]


async def test_a_long_read_holds_up_no_other(store: SqliteStore) -> None:
    """While charts are being read, other reads and writes go on."""
    begun, finish = Event(), Event()

    def long_read(connection: sqlite3.Connection) -> int:
        begun.set()
        finish.wait(30)
        return len(connection.execute("SELECT id FROM series").fetchall())

    charts = [asyncio.create_task(store._file.ask(long_read)) for _ in range(sqlite_file.READERS - 1)]
    await asyncio.to_thread(begun.wait, 30)
    await store.write([batch_of(Reading("meter-1", "voltage", NOON, 1.0))])
    assert len(await store.last_heard()) == 1
    finish.set()
    for chart in charts:
        assert await chart in {0, 1}


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (sqlite._READ, 6),
        (sqlite._LATEST, 2),
        (sqlite._LAST_HEARD, 1),
        (sqlite._SILENT_SINCE, 3),
        (sqlite_hours.SUMMARISE, 3),
        (sqlite_hours.SUMMARISE_HOURS, 3),
        (sqlite_hours.FIND_STALE, 3),
        (sqlite._COUNT_BEATS, 4),
    ],
)
def test_no_question_walks_through_all_readings(store: SqliteStore, statement: str, values: int) -> None:
    """Every statement that a page asks finds its readings by series and time."""
    plan = store._file.read_connections[0].execute(f"EXPLAIN QUERY PLAN {statement}", (0,) * values)
    steps = [step for *_, step in plan if any(name in step for name in ("readings", "hours", "newer", "valued"))]
    assert steps
    assert [step for step in steps if not step.startswith("SEARCH")] == []
