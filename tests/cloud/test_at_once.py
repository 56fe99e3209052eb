"""Two processes on one database that do the same thing at the same moment: it is done once, whatever the database."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from typing import TypeVar

import msgspec
import pytest
from sqlalchemy import Connection, func, select

from cloud.database import Database
from cloud.dead_letters import DeadLetter, keep, newest
from cloud.events import EventTaker
from cloud.ledger import Entry, Name, record
from cloud.registry.load import load_registry
from cloud.registry.person import Person
from cloud.registry.registry import Registry
from cloud.registry.registry_file import RegistryFile
from cloud.registry.sign_in import FREE_FAILURES, Attempt, begin_attempt, make_link, set_password, use_link
from cloud.registry.tables import people, sign_in_links
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import Move, StaleError, act
from cloud.workorders.states import State
from cloud.workorders.tables import alerts, event_revisions, orders, transitions
from edge.contract.clock import SteppedClock
from edge.contract.config_file import load_yaml
from edge.contract.days import day_of
from edge.contract.messages import EventState, Lane, encode_event, seal, topic
from tests.cloud.databases import NEIGHBOURHOOD
from tests.cloud.workorders.samples import NOW, flood, person

T = TypeVar("T")
EPOCH = "0123456789abcdef"
ROUNDS = 10


@pytest.fixture
def other(neighbourhood: Database) -> Iterator[Database]:
    """What another process sees as its database: the same one."""
    with Database(neighbourhood.url.render_as_string(hide_password=False)) as other:
        yield other


def at_once(work: Callable[[Connection], T], *databases: Database) -> list[T | StaleError]:
    """Return what came of some work that began at the same moment on each database."""
    outcomes: list[T | StaleError] = []
    gate = Barrier(len(databases))

    def run(database: Database) -> None:
        gate.wait(10)
        try:
            outcomes.append(database.write_now(work))
        except StaleError as error:
            outcomes.append(error)

    threads = [Thread(target=run, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(databases)
    return outcomes


def count(database: Database, table: object) -> int | None:
    return database.read_now(lambda c: c.scalar(select(func.count()).select_from(table)))  # type: ignore[arg-type]


async def test_an_event_that_comes_to_both_is_one_alert_and_one_order(
    neighbourhood: Database, other: Database, tmp_path: Path
) -> None:
    """Both answer that it is stored; every revision is there once."""
    takers = [
        EventTaker(each, Registry(each), SteppedClock(NOW), blobs_folder=tmp_path) for each in (neighbourhood, other)
    ]
    for number in range(1, ROUNDS + 1):
        [event] = flood(EventState.CONFIRMED, event_id=f"{number:032x}")
        event = msgspec.structs.replace(event, device=f"road-{number}")
        payload = seal(encode_event(event), lane=Lane.EVENTS, epoch=EPOCH, seq=number)
        verdicts = await asyncio.gather(*(taker.take(topic("gw-1", "event"), payload) for taker in takers))
        assert [verdict and verdict.outcome for verdict in verdicts] == ["stored", "stored"]
    for table in (alerts, orders, event_revisions):
        assert count(neighbourhood, table) == ROUNDS
    assert count(neighbourhood, transitions) == 3 * ROUNDS


def test_a_link_that_is_used_by_both_signs_in_once(neighbourhood: Database, other: Database) -> None:
    """The other one learns that it is used up."""
    for _ in range(ROUNDS):
        code = neighbourhood.write_now(lambda c: make_link(c, "wang", now_ms=NOW))
        signed_in = at_once(partial(use_link, code=code, now_ms=NOW), neighbourhood, other)
        assert [isinstance(each, Person) for each in signed_in].count(True) == 1
        assert None in signed_in


def test_of_links_made_by_both_one_is_valid(neighbourhood: Database, other: Database) -> None:
    """Earlier links of a person end, be they a moment old."""
    for _ in range(ROUNDS):
        at_once(lambda c: make_link(c, "wang", now_ms=NOW), neighbourhood, other)
    unused = select(sign_in_links).where(sign_in_links.c.used_at.is_(None))
    assert len(neighbourhood.read_now(lambda c: c.execute(unused).all())) == 1


def test_of_two_steps_of_one_order_one_is_taken(neighbourhood: Database, other: Database) -> None:
    """Both saw the same version: the second is told to look again, and is not written down."""

    def acknowledge(connection: Connection, number: int) -> str:
        order = connection.execute(select(orders).where(orders.c.id == number)).one()
        handler = person(connection, order.handler)
        moved = act(connection, order, Move(target=State.ACKNOWLEDGED, version=3), person=handler, now_ms=NOW)
        state: str = act(connection, moved, Move(target=State.ON_SITE, version=4), person=handler, now_ms=NOW).state
        return state

    for number in range(1, ROUNDS + 1):
        [event] = flood(EventState.CONFIRMED, event_id=f"{number:032x}")
        event = msgspec.structs.replace(event, device=f"road-{number}")
        neighbourhood.write_now(
            partial(record_event, event=event, rule_of=lambda _: OrderRule(accepts=True), now_ms=NOW)
        )
        outcomes = at_once(partial(acknowledge, number=number), neighbourhood, other)
        [refusal] = [each for each in outcomes if isinstance(each, StaleError)]
        assert str(refusal) == f"order WO-{number:06d} is on_site since version 5: look again"
        assert "on_site" in outcomes
    assert count(neighbourhood, transitions) == 5 * ROUNDS


def test_wrong_passwords_are_counted_whoever_counts(neighbourhood: Database, other: Database) -> None:
    """However many are tried at once, only as many are compared as before a lock."""
    neighbourhood.write_now(lambda c: set_password(c, "wang", "hash", now_ms=NOW))
    attempts = at_once(partial(begin_attempt, login="wang", now_ms=NOW), *(neighbourhood, other) * FREE_FAILURES)
    compared = [each for each in attempts if isinstance(each, Attempt) and not each.is_refused]
    assert len(compared) == FREE_FAILURES


def test_a_registry_file_is_loaded_by_both(neighbourhood: Database, other: Database) -> None:
    """What one has added the other finds there."""
    registry = load_yaml(NEIGHBOURHOOD, RegistryFile)
    for number in range(3):
        newcomer = registry.people[0].model_copy(update={"login": f"new-{number}"})
        registry = registry.model_copy(update={"people": (*registry.people, newcomer)})
        outcomes = at_once(partial(load_registry, registry=registry), neighbourhood, other)
        assert sorted(map(len, outcomes)) == [0, 1 + len(newcomer.grids)]  # type: ignore[arg-type]
    assert count(neighbourhood, people) == len(registry.people)


def test_a_letter_is_kept_by_both_and_counted(neighbourhood: Database, other: Database) -> None:
    """The same content is one letter that came so often."""
    letter = DeadLetter(topic="anlan/v1/gw-9/batch", gateway="gw-9", reason="not registered", payload=b"AL")
    for _ in range(ROUNDS):
        at_once(partial(keep, letters=[letter], now_ms=NOW), neighbourhood, other)
    [kept] = neighbourhood.read_now(partial(newest, limit=10))
    assert kept.count == 2 * ROUNDS


def test_of_two_contents_with_one_name_the_first_stays(neighbourhood: Database, other: Database) -> None:
    """Both processes say the same of the name: what was entered first."""
    contents = iter(bytes([number]) * 32 for number in range(2 * ROUNDS))

    def enter(connection: Connection, name: Name) -> bytes:
        return record(connection, [Entry(name, next(contents), 1, "stored", "", NOW, day_of(NOW))])[name].hash

    for number in range(1, ROUNDS + 1):
        first, second = at_once(partial(enter, name=Name("gw-1", EPOCH, Lane.LIVE, number)), neighbourhood, other)
        assert first == second
