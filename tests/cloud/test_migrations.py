"""Migrations make exactly the tables that the program declares, from nothing and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, column, inspect, table

from cloud.database import Database
from cloud.migrations import configuration, differences, head, migrate, revision_of
from cloud.workorders.case_codes import read_case_code


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


def test_orders_that_were_there_get_case_codes(empty: Database) -> None:
    """Migrating a database with orders, steps and evidence in it keeps them, and gives each order a code of its own."""
    empty.write_now(lambda connection: command.upgrade(configuration(connection), "0003"))
    empty.write_now(_fill)
    empty.write_now(migrate)
    codes = empty.read_now(lambda c: c.exec_driver_sql("SELECT case_code FROM orders").scalars().all())
    assert len(set(codes)) == 2
    assert all(read_case_code(code) == code for code in codes)
    assert empty.read_now(lambda c: c.exec_driver_sql("SELECT count(*) FROM order_transitions").scalar()) == 2


def _fill(connection: Connection) -> None:
    connection.exec_driver_sql(
        "INSERT INTO alerts (id, gateway, device, class_code, severity, exercise, started_at) "
        "VALUES (1, 'gw-1', 'road-1', 'X', 'red', 0, 1), (2, 'gw-1', 'road-2', 'X', 'red', 0, 1)"
    )
    for number in (1, 2):
        order = {"id": number, "alert": number, "version": 1, "state": "raised", **_ORDER}
        step = {"order": number, "version": 1, "at": 1, "who": "rules", "target": "raised", "evidence": "[]", **_STEP}
        connection.execute(table("orders", *map(column, order)).insert().values(order))
        connection.execute(table("order_transitions", *map(column, step)).insert().values(step))


_ORDER = {
    **dict.fromkeys(("class_code", "gateway", "device", "point", "event", "site", "site_name", "grid", "address"), "x"),
    **dict.fromkeys(("observed_at", "opened_at"), 1),
    **dict.fromkeys(("exercise", "times_returned", "recovered"), 0),
    "severity": "red",
    "highest_severity": "red",
    "device_name": "x",
}
_STEP = {"reason": "", "note": ""}
