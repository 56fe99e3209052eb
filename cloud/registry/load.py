"""Brings the registry's tables to what its file says; loading the same file again changes nothing.

What people added on a page or the command line stays, unless the file names it too: then the file rules.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Table, and_, insert, select, update

from cloud.database import metadata
from cloud.dead_letters import forget_waiting
from cloud.registry import tables
from cloud.registry.registry_file import RegistryFile, Row
from cloud.registry.sign_in import forget_access

FILE, PERSON = "file", "person"
"""Who named a row: the registry file, or a person by a page or the command line."""
Action = Literal["added", "changed", "removed"]

WHAT = {
    tables.streets: "street",
    tables.communities: "community",
    tables.grids: "grid",
    tables.sites: "site",
    tables.gateways: "gateway",
    tables.devices: "device",
    tables.people: "person",
    tables.people_grids: "grid of person",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that loading changed; a thing that is removed becomes inactive and keeps its name."""

    what: str
    key: str
    action: Action

    def __str__(self) -> str:
        return f"{self.what} {self.key} {self.action}"


def load_registry(connection: Connection, registry: RegistryFile, *, keep: bool = True) -> list[Change]:
    """Add, update and deactivate rows; return what changed, in the order of the tables. Undo it unless `keep`."""
    changes = []
    with connection.begin_nested() as attempt:
        for name, rows in registry.rows().items():
            changes += _load_table(connection, metadata.tables[name], rows)
        forget_waiting(connection, (gateway.id for gateway in registry.gateways))
        for change in changes:
            if change.what == WHAT[tables.people] and change.action != "changed":
                forget_access(connection, change.key)  # a login that is somebody's anew is not who had it before
        if not keep:
            attempt.rollback()
    return changes


def _load_table(connection: Connection, table: Table, rows: list[Row]) -> list[Change]:
    there = {_key(table, row): dict(row) for row in connection.execute(select(table)).mappings()}
    ours = {"origin": FILE} if "origin" in table.c else {}
    wanted = {_key(table, row): {**row, "active": True, **ours} for row in rows}
    new = [row for key, row in wanted.items() if key not in there]
    if new:
        connection.execute(insert(table), new)
    changed = {key: row for key, row in wanted.items() if key in there and there[key] != row}
    removed = {key: {"active": False} for key, row in there.items() if _is_gone(row, key, wanted)}
    for key, values in {**changed, **removed}.items():
        connection.execute(update(table).where(_is(table, key)).values(values))
    returned = {key for key in changed if not there[key]["active"]}
    return [
        *(Change(WHAT[table], " ".join(_key(table, row)), "added") for row in new),
        *(Change(WHAT[table], " ".join(key), "added" if key in returned else "changed") for key in changed),
        *(Change(WHAT[table], " ".join(key), "removed") for key in removed),
    ]


def _is_gone(row: Row, key: tuple[str, ...], wanted: Collection[tuple[str, ...]]) -> bool:
    return row["active"] and row.get("origin", FILE) == FILE and key not in wanted


def _key(table: Table, row: Any) -> tuple[str, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def _is(table: Table, key: tuple[str, ...]) -> Any:
    return and_(*(column == part for column, part in zip(table.primary_key, key, strict=True)))
