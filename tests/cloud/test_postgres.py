"""PostgreSQL: what a server can have against us is one line that says what to do, and what breaks is replaced."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from cloud.database import Database, DatabaseError
from cloud.postgres import WRITER
from tests.cloud.databases import new_postgres
from tests.servers import Postgres, free_ports

NO_PASSWORD_AND_A_WRONG_ONE = ("", ":s3cret")


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    with Database(new_postgres(postgres)) as database:
        yield database


def ask(connection: Connection) -> object:
    return connection.scalar(text("SELECT 1"))


def said(url: str, work: Callable[[Connection], object] = ask) -> str:
    """Return what is said of a database that cannot be used; always one line without a password."""
    with Database(url) as database, pytest.raises(DatabaseError) as refused:
        database.write_now(work)
    line = str(refused.value)
    assert "\n" not in line
    assert "s3cret" not in line
    return line


def test_a_server_that_is_down_is_said() -> None:
    """Where it was looked for, and what to do."""
    [port] = free_ports(1)
    line = said(f"postgresql://anlan@127.0.0.1:{port}/anlan")
    assert line == (
        f'database postgresql://anlan@127.0.0.1:{port}/anlan: connection to server at "127.0.0.1", port {port} failed:'
        " Connection refused: start it, or correct database_url"
    )


def test_a_socket_that_is_not_there_is_said(tmp_path: Path) -> None:
    """The same on a socket."""
    assert "No such file or directory: start it, or correct" in said(f"postgresql:///anlan?host={tmp_path}")


def test_what_is_not_there_comes_with_the_lines_that_make_it(postgres: Postgres) -> None:
    """A database and a role: what to type stands in the message."""
    url = postgres.url("nothing")
    line = said(url)
    assert 'as its superuser type in psql: CREATE DATABASE "nothing" OWNER "anlan" ENCODING \'UTF8\'' in line
    assert 'CREATE ROLE "nobody" LOGIN; then \\password nobody' in said(url.replace("anlan@", "nobody@"))


def test_a_server_without_tls_is_said(postgres: Postgres) -> None:
    """Nothing is sent in clear text to a server that was to encrypt."""
    assert "does not support SSL, but SSL was required: give the server a certificate" in said(
        f"{postgres.url()}?sslmode=verify-full&sslrootcert=system"
    )


def test_a_refused_password_is_said(start_postgres: Callable[..., Postgres]) -> None:
    """Without a password, and with a wrong one; the right one is let in; whom pg_hba.conf does not name learns that."""
    server = start_postgres(durable=False)
    server.query("ALTER ROLE anlan PASSWORD 'r1ght'")
    rules = server.folder / "data" / "pg_hba.conf"
    rules.write_text("host all anlan 127.0.0.1/32 scram-sha-256\n")
    server.restart()
    for password in NO_PASSWORD_AND_A_WRONG_ONE:
        assert "name that as database_password_file" in said(server.url().replace("@", f"{password}@"))
    assert 'let "other" in by a line of the server\'s pg_hba.conf' in said(server.url().replace("anlan@", "other@"))
    with Database(server.url().replace("@", ":r1ght@")) as database:
        assert database.read_now(ask) == 1


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("08006", "told by the server"),
        ("25006", "name the server that is the primary"),
        ("40001", "try again"),
        ("40P01", "nothing was changed: try again"),
        ("42501", 'ALTER DATABASE "test_'),
        ("53100", "its disk is full: make room there"),
        ("53300", "raise its max_connections"),
        ("55P03", "has been writing for 10 s: try again"),
        ("57014", "told by the server"),
        ("57P01", "try again"),
        ("57P03", "wait until it takes connections"),
        ("58030", "told by the server"),
        ("XX001", "told by the server"),
        ("42P01", "has not the tables of this program"),
    ],
)
def test_what_the_server_cannot_do_now_may_be_tried_again(database: Database, state: str, advice: str) -> None:
    """A full disk, a standby, a shutdown, a conflict: a DatabaseError, which workers wait out, with what to do."""
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'told by the server' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(DatabaseError, match=re.escape(advice)) as refused:
        database.write_now(lambda connection: connection.exec_driver_sql(raising))
    assert "\n" not in str(refused.value)
    assert database.write_now(ask) == 1


def test_one_program_writes_at_a_time(database: Database) -> None:
    """A writer waits for another one, whatever either touches, and says so after a while; readers wait for nobody."""
    with Database(f"{database.url.render_as_string()}?options=-c%20lock_timeout%3D50ms") as other:

        def try_meanwhile(_: Connection) -> None:
            assert other.read_now(ask) == 1
            with pytest.raises(DatabaseError, match="another program has been writing"):
                other.write_now(ask)

        database.write_now(try_meanwhile)
        assert other.write_now(ask) == 1


def test_a_writer_that_dies_holds_up_nobody(database: Database) -> None:
    """What it had begun is undone, and the next one writes."""
    holding, may_end = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE half (a int)")
        holding.set()
        assert may_end.wait(10)
        ask(connection)

    def hold_until_killed() -> None:
        with pytest.raises(DatabaseError, match="try again"):
            database.write_now(hold)

    thread = threading.Thread(target=hold_until_killed)
    thread.start()
    assert holding.wait(10)
    with Database(database.url.render_as_string()) as other:
        killed = other.read_now(
            lambda c: c.scalar(
                text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = :id"),
                {"id": WRITER & 0xFFFFFFFF},
            )
        )
        assert killed is True
        assert other.write_now(lambda c: c.scalar(text("SELECT to_regclass('half') IS NULL"))) is True
    may_end.set()
    thread.join()


async def test_a_restarted_server_is_found_again(start_postgres: Callable[..., Postgres]) -> None:
    """Every connection was broken; nobody who asks afterwards notices."""
    server = start_postgres(durable=False)
    with Database(server.url()) as database:
        await asyncio.gather(*(database.read(ask) for _ in range(8)), database.write(ask))
        server.restart()
        assert await asyncio.gather(*(database.read(ask) for _ in range(8)), database.write(ask)) == [1] * 9


async def test_what_was_being_written_when_the_server_fell_is_written_later(
    start_postgres: Callable[..., Postgres],
) -> None:
    """A server that is killed in the middle of a transaction undoes it; tried again later, it is there once."""
    server = start_postgres()

    def add(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO kept VALUES (1)")
        if not fallen.is_set():
            fallen.set()
            server.kill()
        ask(connection)

    fallen = threading.Event()
    with Database(server.url()) as database:
        database.write_now(lambda c: c.exec_driver_sql("CREATE TABLE kept (a int)"))
        with pytest.raises(DatabaseError):
            await database.write(add)
        with pytest.raises(DatabaseError, match="start it, or correct database_url"):
            await database.write(add)
        server.start()
        await database.write(add)
        assert await database.read(lambda c: c.scalar(text("SELECT count(*) FROM kept"))) == 1
