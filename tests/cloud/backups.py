"""Databases with something in every table, and what a test of backups compares of them."""

import asyncio
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    select,
    types,
)

from cloud.backup.make import Choice, back_up
from cloud.backup.progress import Progress
from cloud.backup.restore import restore
from cloud.backup.rows import JsonText
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import Database
from cloud.migrations import migrate
from cloud.series.sqlite import SqliteStore
from edge.contract.messages import Batch, ClockState, Flag, Reading, Test
from tests.servers import Postgres

NOON = 1_795_348_800_000
ROWS = 3
JSON_TEXTS = ("null", '["王芳", {"a":  1.50}]', None)  # null of JSON, odd spaces, null of SQL: three things
WORDS = "积水 'quoted' \"twice\" \\ and a\nnew line"
Content = dict[str, list[tuple[Any, ...]]]


def make_config(folder: Path, engine: str, postgres: Postgres | None) -> CloudConfig:
    """Return the configuration of a cloud with an empty database of this engine, and a data_dir in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"data_dir": "data"}
    if engine == "postgresql":
        assert postgres is not None
        name = f"backup_{secrets.token_hex(4)}"
        postgres.query(f'CREATE DATABASE "{name}"')
        document["database_url"] = postgres.url(name)
    path = folder / "cloud.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    config = load_cloud_config(path)
    config.data_dir.mkdir(exist_ok=True)
    return config


def copy_of(config: CloudConfig, folder: Path) -> CloudConfig:
    """Return the same cloud, with SQLite, once more in another folder."""
    copy = make_config(folder, "sqlite", None)
    shutil.copytree(config.data_dir, copy.data_dir, dirs_exist_ok=True)
    return copy


@contextmanager
def database_of(config: CloudConfig) -> Iterator[Database]:
    """The database of a configuration, open for a moment: a restore wants it for itself."""
    with Database(config.database) as database:
        yield database


def make_tables(config: CloudConfig, revision: str | None = None) -> None:
    """Migrate an empty database to a revision, or to the present one."""
    with database_of(config) as database:
        database.write_now(lambda connection: migrate(connection, revision))


def fill(config: CloudConfig) -> None:
    """Put rows with every kind of value into each table that there is."""
    with database_of(config) as database:
        database.write_now(fill_tables)


def content_of(config: CloudConfig) -> Content:
    """Return the rows of every table, in order, with JSON as its text."""
    with database_of(config) as database:
        return database.read_now(content)


def back_up_to(config: CloudConfig, file: Path, *, progress: Progress | None = None, **choice: bool) -> Path:
    """Make a backup as the command does."""
    back_up(config, file, Choice(**choice), progress or Progress(lambda _: None), now_ms=NOON)
    return file


def restore_from(file: Path, config: CloudConfig, *, replace: bool = False) -> None:
    """Restore a backup as the command does."""
    restore(config, file, replace=replace, progress=Progress(lambda _: None))


def write_history(config: CloudConfig, count: int) -> None:
    """Put so many readings of some sorts, and three of others, into the embedded series store."""
    readings = [
        *(Reading("road-1", "depth", NOON + number, number / 7) for number in range(count)),
        *(Reading("road-1", "depth", NOON - 1 - number, None, Flag.MISSING, Test.NO_ANSWER) for number in range(count)),
        *(Reading("meter-1", "energy_import_total", NOON + number, 2**53 + number) for number in range(count)),
        Reading("meter-1", "energy_import_total", NOON - 1, 5, Flag.FAIL, Test.SPAN),
        Reading("meter-1", "voltage_l1", NOON, -0.0, Flag.SUSPECT, Test.SPAN),
        Reading("meter-1", "voltage_l1", NOON + 1, 5e-324),
    ]
    kinds = {"road-1": "waterlogging_sensor", "meter-1": "electricity_meter"}
    batch = Batch.of(readings, gateway="gw-1", config_hash="x", clock=ClockState.SYNCHRONISED, kinds=kinds)

    async def write() -> None:
        store = SqliteStore(config.data_dir / "series.db")
        await store.write([batch])
        await store.close()

    asyncio.run(write())


def history_of(config: CloudConfig) -> list[str]:
    """Return every reading of the embedded series store, told apart to the last bit."""

    async def read() -> list[str]:
        store = SqliteStore(config.data_dir / "series.db")
        found = []
        for one in await store.series():
            readings = await store.read(one.gateway, one.device, one.point, start_ms=0, end_ms=2**50, limit=2**30)
            found += [f"{one} {reading!r}" for reading in readings]
        await store.close()
        return found

    return asyncio.run(read())


def _tables(connection: Connection) -> list[Table]:
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def fill_tables(connection: Connection) -> None:
    for table in _tables(connection):
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JsonText()  # a JSON column would write its own text
        rows = [{column.name: _value(column, number) for column in table.columns} for number in range(ROWS)]
        connection.execute(table.insert(), rows)
        if connection.dialect.name == "postgresql":
            _leave_numbers_behind(connection, table)


def _leave_numbers_behind(connection: Connection, table: Table) -> None:
    for column in table.primary_key.columns:
        if column.server_default is not None:
            connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('\"{table.name}\"', 'id'), {ROWS})")


def _value(column: Column[Any], number: int) -> Any:
    """Return the value of a column in one row: the same in all columns that refer to each other."""
    if column.nullable and number == ROWS - 1 and not isinstance(column.type, JsonText):
        return None
    for foreign in column.foreign_keys:
        return _value(foreign.column, number)
    if column.name == "day":
        return f"2020-01-0{number + 1}"
    kinds: list[tuple[type[types.TypeEngine[Any]], Any]] = [
        (Boolean, number % 2 == 0),
        (Float, 30 + number / 7),
        (LargeBinary, bytes(range(256))[number:]),
        (JsonText, JSON_TEXTS[number] if column.nullable else "[1, 2]"),
        (types.BigInteger, number + 1 if column.primary_key else 2**53 + number),
        (Integer, number + 1),
    ]
    for kind, value in kinds:
        if isinstance(column.type, kind):
            return value
    text = f"{number} {column.name} {WORDS}"
    return text[: getattr(column.type, "length", None) or len(text)]


def content(connection: Connection) -> Content:
    return {table.name: sorted(_rows(connection, table), key=repr) for table in _tables(connection)}


def _rows(connection: Connection, table: Table) -> Iterable[tuple[Any, ...]]:
    columns = [
        cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column
        for column in sorted(table.columns, key=lambda column: column.name)
    ]
    return [tuple(row) for row in connection.execute(select(*columns))]
