"""Rows of a table as lines that show no engine: JSON arrays, with bytes in base64 and JSON columns as their text."""

from base64 import b64decode
from collections.abc import Collection, Iterator
from functools import cache

import msgspec
from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.types import UserDefinedType

from cloud.database import Database
from cloud.migrations import migrate

ROWS_AT_ONCE = 1000

# Who was signed in, and by which links, is in no backup: a session that was ended since, or a link that was used, would
# open the pages again.
LEFT_OUT = frozenset({"sessions", "sign_in_links"})


class JsonText(UserDefinedType[str]):
    """A JSON column whose text goes in and out as it stands, so that null and "null" remain two things."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        """Return the name of the type."""
        return "JSON"

    def column_expression(self, colexpr: ColumnElement[str]) -> ColumnElement[str]:
        """Return how the column is selected."""
        return cast(colexpr, Text)


@cache
def names_at(revision: str) -> frozenset[str]:
    """Return the names of our tables at a revision; others may have tables of their own beside them."""
    with Database("sqlite://") as empty:
        return empty.write_now(lambda connection: _migrated_names(connection, revision))


def _migrated_names(connection: Connection, revision: str) -> frozenset[str]:
    migrate(connection, revision)
    return frozenset(inspect(connection).get_table_names()) - {"alembic_version"}


def tables_of(connection: Connection, names: Collection[str]) -> list[Table]:
    """Return tables as they are in this database, parents before those that refer to them."""
    metadata = MetaData()
    metadata.reflect(connection, only=sorted(names))
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, JSON):
                column.type = JsonText()
    return [table for table in metadata.sorted_tables if table.name in names]


def is_empty(connection: Connection, table: Table) -> bool:
    """Whether a table has no row."""
    return connection.execute(select(1).select_from(table).limit(1)).first() is None


def read_lines(connection: Connection, table: Table) -> Iterator[bytes]:
    """Give each row of a table as one line."""
    encoder = msgspec.json.Encoder()
    streamed = connection.execution_options(yield_per=ROWS_AT_ONCE)
    for row in streamed.execute(select(table)):
        yield encoder.encode(tuple(row))


def write_lines(connection: Connection, table: Table, columns: list[str], lines: bytes) -> int:
    """Insert rows from lines; return how many. Raises ValueError for what is no row of this table."""
    binary = [place for place, name in enumerate(columns) if isinstance(table.columns[name].type, LargeBinary)]
    rows = msgspec.json.Decoder(list[object]).decode_lines(lines)
    for row in rows:
        for place in binary:
            row[place] = None if row[place] is None else b64decode(str(row[place]))
    connection.execute(table.insert(), [dict(zip(columns, row, strict=True)) for row in rows])
    return len(rows)


def continue_numbers(connection: Connection, table: Table) -> None:
    """Let the numbers that the database generates go on after those that were inserted; SQLite does by itself."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        named = {"table": f'"{table.name}"', "column": column.name}
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), named)
        highest = connection.scalar(select(func.max(column))) if sequence else None
        if highest is not None:
            connection.execute(select(func.setval(sequence, highest)))
