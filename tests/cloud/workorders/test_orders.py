"""Orders in the database: who may see and move them, and what two people at once do to each other."""

import pytest
from sqlalchemy import select, update

from cloud.database import Database
from cloud.registry.registry import find_person
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import (
    Move,
    OrderNotFoundError,
    StaleError,
    act,
    add_evidence,
    code_of,
    find_order,
    id_of,
)
from cloud.workorders.states import ImpossibleError, IncompleteError, State
from cloud.workorders.tables import evidence, orders, transitions
from edge.contract.messages import EventState
from tests.cloud.workorders.samples import NOW, flood, move

RECOVERS = OrderRule(accepts=True, recovers=True)


@pytest.fixture
def order(neighbourhood: Database) -> Database:
    """The neighbourhood, with one order that is dispatched to li."""
    [event] = flood(EventState.CONFIRMED)
    neighbourhood.write_now(lambda c: record_event(c, event, rule_of=lambda _: RECOVERS, now_ms=NOW))
    return neighbourhood


def state_of(database: Database) -> tuple[str, str | None, int]:
    row = database.read_now(lambda c: c.execute(select(orders)).one())
    return row.state, row.handler, row.version


def act_as(database: Database, login: str, order_move: Move) -> None:
    person = database.read_now(lambda c: find_person(c, login))
    assert person is not None
    database.write_now(lambda c: act(c, find_order(c, "WO-000001", person), order_move, person=person, now_ms=NOW))


def test_the_whole_loop(order: Database) -> None:
    """From dispatched to closed, with every step and its author in the log."""
    for login, target in [("li", State.ACKNOWLEDGED), ("li", State.ON_SITE), ("li", State.DONE)]:
        move(order, login, target)
    move(order, "wang", State.REWORK, reason="还有积水")
    move(order, "li", State.ON_SITE)
    move(order, "li", State.DONE)
    move(order, "wang", State.VERIFIED)
    with pytest.raises(IncompleteError, match="pick one of 消除积水，恢复通行"):
        move(order, "chen", State.CLOSED, closing_standard="好了")
    move(order, "chen", State.CLOSED, closing_standard="消除积水，恢复通行")
    row = order.read_now(lambda c: c.execute(select(orders)).one())
    assert (row.state, row.closing_standard, row.closed_by, row.verified_by) == (
        "closed",
        "消除积水，恢复通行",
        "chen",
        "wang",
    )
    assert (row.recovered, row.finished_at) == (False, NOW)
    log = order.read_now(lambda c: c.execute(select(transitions).order_by(transitions.c.version)).all())
    assert [step.version for step in log] == list(range(1, 12))
    assert [step.source for step in log[1:]] == [step.target for step in log[:-1]]


@pytest.mark.parametrize("class_code", ["WATERLOG.ROAD.2", "NOBODY.KNOWS"])
def test_only_the_rules_close_as_recovered(order: Database, class_code: str) -> None:
    """自动恢复 is counted apart, so nobody may say it, whatever standards the class has."""
    order.write_now(lambda c: c.execute(update(orders).values(state="verified", class_code=class_code)))
    with pytest.raises(IncompleteError, match="自动恢复"):
        move(order, "chen", State.CLOSED, closing_standard="自动恢复")


def test_acknowledging_twice_is_once(order: Database) -> None:
    """A second tap, also with the version seen before the first, changes nothing and is no error."""
    seen = Move(target=State.ACKNOWLEDGED, version=3)
    act_as(order, "li", seen)
    act_as(order, "li", seen)
    assert state_of(order) == ("acknowledged", "li", 4)
    move(order, "li", State.ON_SITE)
    act_as(order, "li", seen)
    assert state_of(order) == ("on_site", "li", 5)


def test_acknowledging_loses_against_recovery(order: Database) -> None:
    """Whoever acknowledges after the order was closed as 自动恢复 is told that it is closed."""
    _, ended = flood(EventState.CONFIRMED, EventState.ENDED)
    order.write_now(lambda c: record_event(c, ended, rule_of=lambda _: RECOVERS, now_ms=NOW))
    with pytest.raises(StaleError, match="WO-000001 is closed since version 4: look again"):
        act_as(order, "li", Move(target=State.ACKNOWLEDGED, version=3))
    with pytest.raises(ImpossibleError, match="an order that is closed cannot become acknowledged"):
        act_as(order, "li", Move(target=State.ACKNOWLEDGED, version=4))


def test_an_old_version_is_refused(order: Database) -> None:
    """Who has not seen the latest step must look again."""
    move(order, "li", State.ACKNOWLEDGED)
    with pytest.raises(StaleError, match="WO-000001 is acknowledged since version 4"):
        act_as(order, "li", Move(target=State.ON_SITE, version=3))


def test_a_return_frees_the_order_twice(order: Database) -> None:
    """A returned order has no handler and waits for the dispatcher; the third time the dispatcher decides alone."""
    for times in (1, 2):
        move(order, "li", State.RETURNED, reason="不在本网格")
        row = order.read_now(lambda c: c.execute(select(orders)).one())
        assert (row.handler, row.times_returned, row.waits_for) == (None, times, "the dispatcher: returned by li")
        move(order, "chen", State.DISPATCHED, assignee="li")
    with pytest.raises(ImpossibleError, match="returned 2 times already"):
        move(order, "li", State.RETURNED, reason="again")
    move(order, "chen", State.DISPATCHED, assignee="wang", reason="李强生病")
    assert state_of(order)[:2] == ("dispatched", "wang")


def test_only_a_worker_is_assigned(order: Database) -> None:
    """The assignee must be a worker who is registered."""
    move(order, "li", State.RETURNED, reason="不在本网格")
    for nobody in ("sun", "nobody"):
        with pytest.raises(IncompleteError, match=f"assignee {nobody}: not a worker in the registry"):
            move(order, "chen", State.DISPATCHED, assignee=nobody)


def test_evidence_must_belong_to_the_order(order: Database) -> None:
    """A transition refers only to evidence of its own order."""
    order.write_now(lambda c: add_evidence(c, 1, kind="after", who="li", now_ms=NOW, sha256="c" * 64))
    number = order.read_now(lambda c: c.scalar(select(evidence.c.id)))
    with pytest.raises(IncompleteError, match="evidence"):
        move(order, "li", State.ACKNOWLEDGED, evidence=[(number or 0) + 1])
    move(order, "li", State.ACKNOWLEDGED, evidence=[number])


@pytest.mark.parametrize(("login", "sees"), [("li", True), ("wang", True), ("chen", True), ("sun", False)])
def test_who_sees_an_order(order: Database, login: str, *, sees: bool) -> None:
    """Workers of its grid and operators; an installer does not."""
    person = order.read_now(lambda c: find_person(c, login))
    assert person is not None
    if sees:
        assert order.read_now(lambda c: find_order(c, "WO-000001", person)).id == 1
    else:
        with pytest.raises(OrderNotFoundError, match="order WO-000001: not found"):
            order.read_now(lambda c: find_order(c, "WO-000001", person))


@pytest.mark.parametrize("code", ["", "1", "WO-1", "WO-0000001x", "WO-٣٣٣٣٣٣", "WO-9999999999999"])
def test_what_is_not_a_code_is_not_found(code: str) -> None:
    """Codes are read back exactly; anything else is no order."""
    assert id_of(code_of(42)) == 42
    with pytest.raises(OrderNotFoundError):
        id_of(code)
