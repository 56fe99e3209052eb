"""Two clouds that take two events of one cause at the same moment: each event keeps an open alert and an open order."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, delete, select
from sqlalchemy.event import listen

from cloud.blobs import blob_pieces, blobs, path_of, take_piece
from cloud.database import Database
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import rule_of
from cloud.workorders.tables import alerts, event_blobs, event_revisions, events, evidence, orders, transitions
from edge.contract.config_file import load_yaml
from edge.contract.messages import BLOB_PIECE, BlobPiece, Event, EventState, split_blob
from tests.cloud.databases import NEIGHBOURHOOD
from tests.cloud.workorders.samples import MINUTE, NOW, flood
from tests.servers import Postgres

FIRST, SECOND = "a" * 32, "b" * 32
BLOCKED_S = 0.1  # a transaction that has not ended by then waits for the other one


@pytest.fixture(scope="module")
def neighbourhood(postgres: Postgres) -> Iterator[Database]:
    """A PostgreSQL database with the neighbourhood in it."""
    name = f"clouds_{secrets.token_hex(4)}"
    postgres.query(f'CREATE DATABASE "{name}"')
    registry = load_yaml(NEIGHBOURHOOD, RegistryFile)
    with Database(postgres.url(name)) as database:
        database.write_now(migrate)
        database.write_now(lambda connection: load_registry(connection, registry))
        yield database


@pytest.fixture
def database(neighbourhood: Database) -> Database:
    """The neighbourhood, in which nothing has happened yet."""

    def forget(connection: Connection) -> None:
        for table in (event_revisions, event_blobs, events, transitions, evidence, orders, alerts, blob_pieces, blobs):
            connection.execute(delete(table))

    neighbourhood.write_now(forget)
    return neighbourhood


def take(database: Database, event: Event) -> None:
    """Take one revision as a cloud does."""
    database.write_now(lambda connection: _record(connection, event))


def _record(connection: Connection, event: Event) -> None:
    record_event(connection, event, rule_of=rule_of, now_ms=NOW)


@contextmanager
def begun_elsewhere(database: Database, work: Callable[[Connection], object], before: str) -> Iterator[None]:
    """Let another cloud do some work up to a statement, or all but the commit, and stand still during the block."""
    stands_still, may_go_on = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        stands_still.set()
        assert may_go_on.wait(30)

    def stop_before(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if before and statement.startswith(before) and not stands_still.is_set():
            wait()

    def work_and_wait(connection: Connection) -> None:
        listen(connection, "before_cursor_execute", stop_before)
        work(connection)
        if not stands_still.is_set():
            wait()

    other = threading.Thread(target=database.write_now, args=(work_and_wait,))
    other.start()
    assert stands_still.wait(30)
    try:
        yield
    finally:
        may_go_on.set()
        other.join()


def both(database: Database, first: Event, second: Event, *, before: str = "") -> None:
    """Take two events at once: the transaction of the first is open while the second is taken."""
    taking = threading.Thread(target=take, args=(database, second))
    with begun_elsewhere(database, lambda connection: _record(connection, first), before):
        taking.start()
        taking.join(BLOCKED_S)
    taking.join()


def standing(database: Database) -> dict[str, tuple[bool, str]]:
    """Return of each event whether its alert fires, and in which state its order is."""
    query = (
        select(events.c.id, alerts.c.firing, orders.c.state)
        .join(alerts, alerts.c.id == events.c.alert)
        .join(orders, orders.c.alert == alerts.c.id)
    )
    rows = database.read_now(lambda connection: connection.execute(query).all())
    return {event: (firing is not None, state) for event, firing, state in rows}


@pytest.mark.parametrize("before", ["", "UPDATE events SET alert", "UPDATE alerts"])
@pytest.mark.parametrize("is_end_first", [True, False])
def test_an_end_and_a_beginning_at_once(
    database: Database,
    is_end_first: bool,  # noqa: FBT001 -- a parameter
    before: str,
) -> None:
    """A flood ends while the next one of the same road begins: the next one has a firing alert and an open order."""
    for event in flood(EventState.CONFIRMED):
        take(database, event)
    [_, end] = flood(EventState.CONFIRMED, EventState.ENDED)
    [begin] = flood(EventState.CONFIRMED, event_id=SECOND, began_at=NOW + 10 * MINUTE)
    first, second = (end, begin) if is_end_first else (begin, end)
    both(database, first, second, before=before)
    now = standing(database)
    assert now[SECOND] == (True, "dispatched")
    if now[FIRST] != now[SECOND]:
        assert now[FIRST] == (False, "closed")


def test_two_beginnings_at_once(database: Database) -> None:
    """Two floods of one road begin at once: they are one alert with one order."""
    [first], [second] = (flood(EventState.CONFIRMED, event_id=each) for each in (FIRST, SECOND))
    both(database, first, second)
    assert standing(database) == dict.fromkeys((FIRST, SECOND), (True, "dispatched"))
    assert database.read_now(lambda connection: len(connection.execute(select(orders)).all())) == 1


def test_two_ends_at_once(database: Database) -> None:
    """The two floods of one alert end at once: it is resolved, and its order closed, once."""
    for each in (FIRST, SECOND):
        take(database, flood(EventState.CONFIRMED, event_id=each)[0])
    ends = [flood(EventState.CONFIRMED, EventState.ENDED, event_id=each)[1] for each in (FIRST, SECOND)]
    both(database, *ends)
    assert standing(database) == dict.fromkeys((FIRST, SECOND), (False, "closed"))


def test_one_event_twice_at_once(database: Database) -> None:
    """The same revision comes to both clouds at once: one alert, one order."""
    [event] = flood(EventState.CONFIRMED)
    both(database, event, event)
    assert standing(database) == {FIRST: (True, "dispatched")}
    assert database.read_now(lambda connection: len(connection.execute(select(orders)).all())) == 1


def test_confirmed_and_end_at_once(database: Database) -> None:
    """Both revisions of a short flood come to two clouds at once, whichever first: its order is closed again."""
    confirmed, end = flood(EventState.CONFIRMED, EventState.ENDED)
    both(database, end, confirmed)
    assert standing(database) == {FIRST: (False, "closed")}


@pytest.mark.parametrize("are_equal", [True, False])
def test_two_pieces_of_a_picture_at_once(database: Database, are_equal: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """The last two pieces of a picture, or one of them twice, come to two clouds at once: it is whole."""
    pieces = split_blob("gw-1", b"\xff\xd8\xff" + bytes(2 * BLOB_PIECE - 3), "image/jpeg")
    first, second = pieces if not are_equal else (pieces[1], pieces[1])

    def take(piece: BlobPiece) -> bool:
        return database.write_now(lambda c: take_piece(c, piece, tmp_path, now_ms=NOW))

    if are_equal:
        take(pieces[0])
    taking = threading.Thread(target=take, args=(second,))
    with begun_elsewhere(database, lambda c: take_piece(c, first, tmp_path, now_ms=NOW), ""):
        taking.start()
        taking.join(BLOCKED_S)
    taking.join()
    assert path_of(tmp_path, pieces[0].name).exists()
    assert database.read_now(lambda connection: connection.execute(select(blob_pieces)).all()) == []
