"""What phones send: once each, also when it waited in a queue, and a picture with its step or not at all."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, func, select, update

from cloud.blobs import MAX_EVIDENCE, PictureError, path_of
from cloud.database import Database
from cloud.workorders.actions import Acted, ActionError, Picture, act_once, act_once_with_pictures, add_picture
from cloud.workorders.alerts import record_event
from cloud.workorders.order_rules import OrderRule
from cloud.workorders.orders import MAX_AHEAD_MS, OLDEST_PRESS_MS, Move, StaleError
from cloud.workorders.states import ForbiddenError, IncompleteError, State
from cloud.workorders.tables import evidence, order_actions, orders, transitions
from edge.contract.messages import EventState
from tests.cloud.workorders.samples import MINUTE, NOW, flood, move, person

JPEG = b"\xff\xd8\xff\xe0 water gone"
ONE, TWO, THREE = (str(uuid4()) for _ in range(3))


@pytest.fixture
def order(neighbourhood: Database) -> Database:
    """The neighbourhood, with one order that is dispatched to li."""
    raise_order(neighbourhood)
    return neighbourhood


def raise_order(database: Database, event_id: str = "a" * 32, began_at: int = NOW) -> None:
    [event] = flood(EventState.CONFIRMED, event_id=event_id, began_at=began_at)
    database.write_now(lambda c: record_event(c, event, rule_of=lambda _: OrderRule(accepts=True), now_ms=NOW))


def send(database: Database, action: str, target: State, *, login: str = "li", order: int = 1, **said: Any) -> Acted:
    """Let a person's phone send an action."""

    def work(connection: Connection) -> Acted:
        row = connection.execute(select(orders).where(orders.c.id == order)).one()
        wanted = Move(target=target, **said)
        return act_once(connection, action, row, wanted, person=person(connection, login), now_ms=NOW)

    return database.write_now(work)


def steps(database: Database) -> list[str]:
    return list(database.read_now(lambda c: c.scalars(select(transitions.c.target).order_by(transitions.c.version))))


def test_an_action_sent_again_is_not_done_again(order: Database) -> None:
    """A phone that is not sure sends it again, with the old version: it learns how the order is, nothing changes."""
    first = send(order, ONE, State.ACKNOWLEDGED, version=3)
    assert (first.repeated, first.order.state) == (False, "acknowledged")
    move(order, "li", State.ON_SITE)
    again = send(order, ONE, State.ACKNOWLEDGED, version=3)
    assert (again.repeated, again.order.state, again.order.version) == (True, "on_site", 5)
    assert steps(order)[3:] == ["acknowledged", "on_site"]


def test_a_repeated_step_would_fit_again_and_is_not_taken(order: Database) -> None:
    """Done, sent back, on site once more: the old "done" comes again, and the order is not done."""
    send(order, ONE, State.ACKNOWLEDGED, version=3)
    send(order, TWO, State.ON_SITE, seen_state=State.ACKNOWLEDGED)
    send(order, THREE, State.DONE, seen_state=State.ON_SITE)
    move(order, "wang", State.REWORK, reason="还有积水")
    move(order, "li", State.ON_SITE)
    again = send(order, THREE, State.DONE, seen_state=State.ON_SITE)
    assert (again.repeated, again.order.state) == (True, "on_site")


@pytest.mark.parametrize(("login", "number"), [("wang", 1), ("li", 2)])
def test_a_name_is_for_one_person_and_one_order(order: Database, login: str, number: int) -> None:
    """Somebody else's name, or one used for another order, is refused and says nothing of what it did."""
    send(order, ONE, State.ACKNOWLEDGED, version=3)
    order.write_now(lambda c: c.execute(update(orders).values(state="closed")))
    raise_order(order, "b" * 32, NOW + MINUTE)
    with pytest.raises(ActionError, match="by someone else, or on another order"):
        send(order, ONE, State.ACKNOWLEDGED, login=login, order=number, version=3)


def test_a_refused_action_may_come_again(order: Database) -> None:
    """What was refused was not carried out: its name is free, and the same action passes when the order is ready."""
    with pytest.raises(StaleError):
        send(order, ONE, State.ON_SITE, seen_state=State.ACKNOWLEDGED)
    assert order.read_now(lambda c: c.scalar(select(func.count()).select_from(order_actions))) == 0
    move(order, "li", State.ACKNOWLEDGED)
    assert not send(order, ONE, State.ON_SITE, seen_state=State.ACKNOWLEDGED).repeated


async def test_two_at_once_are_one(order: Database) -> None:
    """Both requests of an impatient phone are answered, and the step is taken once."""

    async def one() -> Acted:
        return await asyncio.to_thread(send, order, ONE, State.ACKNOWLEDGED, version=3)

    both = await asyncio.gather(one(), one(), one())
    assert sorted(acted.repeated for acted in both) == [False, True, True]
    assert steps(order).count("acknowledged") == 1


# --- queued behind one another ---


def test_a_queue_made_without_a_network_is_worked_off(order: Database) -> None:
    """Acknowledge, arrive, done: each step knows the state that the one before makes, not its version."""
    send(order, ONE, State.ACKNOWLEDGED, version=3)
    send(order, TWO, State.ON_SITE, seen_state=State.ACKNOWLEDGED)
    assert send(order, THREE, State.DONE, seen_state=State.ON_SITE).order.state == "done"


def test_a_queued_step_is_stale_when_the_order_moved_on(order: Database) -> None:
    """The rules closed the order, or it has another handler: the person must look, whatever the queue says."""
    send(order, ONE, State.ACKNOWLEDGED, version=3)
    with pytest.raises(StaleError, match="is acknowledged since version 4: look again"):
        send(order, TWO, State.DONE, seen_state=State.ON_SITE)
    move(order, "chen", State.DISPATCHED, assignee="wang", reason="病假")
    move(order, "wang", State.ACKNOWLEDGED)
    with pytest.raises(StaleError, match="is not li's any more"):
        send(order, TWO, State.ON_SITE, seen_state=State.ACKNOWLEDGED)


def test_only_handlers_queue_steps_behind_steps(order: Database) -> None:
    """An operator, who has nothing to queue, says the version."""
    with pytest.raises(StaleError, match="is not chen's"):
        send(order, ONE, State.VOID, login="chen", seen_state=State.DISPATCHED, reason="误报")
    with pytest.raises(ForbiddenError):
        send(order, ONE, State.VOID, version=3, reason="误报")
    with pytest.raises(IncompleteError, match="say the version"):
        send(order, ONE, State.ACKNOWLEDGED)


def test_when_the_button_was_pressed_is_kept(order: Database) -> None:
    """It stands beside the time when the step arrived, which stays the one that limits count by."""
    send(order, ONE, State.ACKNOWLEDGED, version=3, pressed_at=NOW - 40 * MINUTE)
    step = order.read_now(lambda c: c.execute(select(transitions).where(transitions.c.version == 4)).one())
    assert (step.at, step.pressed_at) == (NOW, NOW - 40 * MINUTE)


@pytest.mark.parametrize("pressed_at", [NOW - OLDEST_PRESS_MS - 1, NOW + MAX_AHEAD_MS + 1])
def test_a_step_of_another_time_is_refused(order: Database, pressed_at: int) -> None:
    """Older than a week, or pressed in the future, is looked at again."""
    with pytest.raises(IncompleteError, match="pressed_at: more than 7 days ago or 10 minutes ahead"):
        send(order, ONE, State.ACKNOWLEDGED, version=3, pressed_at=pressed_at)
    bound = NOW - OLDEST_PRESS_MS if pressed_at < NOW else NOW + MAX_AHEAD_MS
    assert not send(order, ONE, State.ACKNOWLEDGED, version=3, pressed_at=bound).repeated


# --- with a picture ---


def finish(database: Database, folder: Path, pictures: Sequence[Picture], *, action: str = ONE) -> Acted:
    """Let li's phone send the pictures and that it is done."""

    def work(connection: Connection) -> Acted:
        row = connection.execute(select(orders)).one()
        done = Move(target=State.DONE, seen_state=State.ON_SITE)
        li = person(connection, "li")
        return act_once_with_pictures(connection, action, row, done, pictures, folder=folder, person=li, now_ms=NOW)

    return database.write_now(work)


def test_a_picture_and_its_step_are_one(order: Database, tmp_path: Path) -> None:
    """The step refers to its pictures; sent again, neither is there twice."""
    move(order, "li", State.ACKNOWLEDGED)
    move(order, "li", State.ON_SITE)
    pictures = [
        Picture(data=JPEG, media_type="image/jpeg", note="水已退"),
        Picture(data=JPEG + b"2", media_type="image/jpeg", kind="during"),
    ]
    assert not finish(order, tmp_path / "blobs", pictures).repeated
    assert finish(order, tmp_path / "blobs", pictures).repeated
    rows = order.read_now(lambda c: c.execute(select(evidence).order_by(evidence.c.id)).all())
    assert [(row.kind, row.note, row.who) for row in rows] == [("after", "水已退", "li"), ("during", "", "li")]
    step = order.read_now(lambda c: c.execute(select(transitions).where(transitions.c.target == "done")).one())
    assert step.evidence == [row.id for row in rows]
    assert path_of(tmp_path / "blobs", rows[0].sha256).read_bytes() == JPEG


def test_without_the_step_there_is_no_picture(order: Database, tmp_path: Path) -> None:
    """An order that moved on takes neither, and nothing is written to disk for it."""
    with pytest.raises(StaleError):
        finish(order, tmp_path / "blobs", [Picture(data=JPEG, media_type="image/jpeg")])
    assert order.read_now(lambda c: c.execute(select(evidence)).all()) == []
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_without_the_picture_there_is_no_step(order: Database, tmp_path: Path) -> None:
    """A picture that is none holds up its step, and the name may be used for a good one."""
    move(order, "li", State.ACKNOWLEDGED)
    move(order, "li", State.ON_SITE)
    with pytest.raises(PictureError, match="its content is not image/png"):
        finish(order, tmp_path / "blobs", [Picture(data=JPEG, media_type="image/png")])
    assert steps(order)[-1] == "on_site"
    assert not finish(order, tmp_path / "blobs", [Picture(data=JPEG, media_type="image/jpeg")]).repeated


def test_people_take_larger_pictures_than_cameras(order: Database, tmp_path: Path) -> None:
    """Twelve MiB pass, one byte more does not."""

    def add(data: bytes) -> int:
        picture = Picture(data=data, media_type="image/jpeg")
        return order.write_now(
            lambda c: add_picture(c, 1, picture, folder=tmp_path, person=person(c, "li"), now_ms=NOW)
        )

    largest = JPEG.ljust(MAX_EVIDENCE, b"x")
    number = add(largest)
    assert add(largest) == number
    with pytest.raises(PictureError, match=f"at most {MAX_EVIDENCE} are allowed"):
        add(largest + b"x")
