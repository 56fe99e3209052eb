"""What phones send: each action once, however often it comes, and a picture together with the step that it proves.

A phone without a network queues what a person does, under a name (a UUID) made where the button was pressed, and sends
it again when it is not sure that it arrived. Every function works inside the caller's transaction, and what is raised
must end that: then neither the step nor its name is kept, and the action may come again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from cloud.blobs import MAX_EVIDENCE, keep_picture
from cloud.database import insert_new
from cloud.registry.person import Person
from cloud.workorders.orders import Move, act, add_evidence, check_move, check_room
from cloud.workorders.states import TransitionError
from cloud.workorders.tables import evidence, order_actions, orders

PictureKind = Literal["before", "during", "after"]


class ActionError(TransitionError):
    """An action of this name was carried out by somebody else, or on another order."""


@dataclass(frozen=True, slots=True)
class Acted:
    """An order after an action; `repeated` when that was carried out before, so that nothing changed now."""

    order: Row[Any]
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture that a person took."""

    data: bytes
    media_type: str
    kind: PictureKind = "after"
    note: str = ""


def act_once(connection: Connection, action: str, order: Row[Any], move: Move, *, person: Person, now_ms: int) -> Acted:
    """Move an order on as `act` does, unless the action of this name, a UUID, was carried out already.

    Raises ActionError, and what `act` raises.
    """
    if not _note(connection, action, order, person, now_ms):
        return Acted(_again(connection, order), repeated=True)
    return Acted(act(connection, order, move, person=person, now_ms=now_ms), repeated=False)


def act_once_with_pictures(
    connection: Connection,
    action: str,
    order: Row[Any],
    move: Move,
    pictures: Sequence[Picture],
    *,
    folder: Path,
    person: Person,
    now_ms: int,
) -> Acted:
    """Keep pictures as evidence of an order and move it on with them: both or neither, and once.

    Raises PictureError besides what `act_once` raises.
    """
    if not _note(connection, action, order, person, now_ms):
        return Acted(_again(connection, order), repeated=True)
    check_move(connection, order, move, person=person, now_ms=now_ms)  # first: a refused step leaves no files behind
    added = [
        add_picture(connection, order.id, picture, folder=folder, person=person, now_ms=now_ms) for picture in pictures
    ]
    proven = replace(move, evidence=[*move.evidence, *added])
    return Acted(act(connection, order, proven, person=person, now_ms=now_ms), repeated=False)


def add_picture(
    connection: Connection, order: int, picture: Picture, *, folder: Path, person: Person, now_ms: int
) -> int:
    """Keep a picture of at most MAX_EVIDENCE as evidence of an order and return the evidence's number.

    The same picture again is the evidence that it was. Raises PictureError, and ImpossibleError for one too many.
    """
    known = _evidence_of(connection, order, sha256(picture.data).hexdigest())
    if known is not None:
        return known
    check_room(connection, order)
    name = keep_picture(connection, picture.data, picture.media_type, folder, now_ms=now_ms, max_bytes=MAX_EVIDENCE)
    add_evidence(connection, order, kind=picture.kind, who=person.login, now_ms=now_ms, sha256=name, note=picture.note)
    number = _evidence_of(connection, order, name)
    if number is None:
        raise AssertionError("evidence that was just added is not there")
    return number


def _evidence_of(connection: Connection, order: int, name: str) -> int | None:
    return connection.scalar(select(evidence.c.id).where(evidence.c.order == order, evidence.c.sha256 == name))


def _note(connection: Connection, action: str, order: Row[Any], person: Person, now_ms: int) -> bool:
    """Write an action's name down; return False when this person has carried it out on this order before."""
    row = {"id": action, "login": person.login, "order": order.id, "at": now_ms}
    if insert_new(connection, order_actions, [row]) == 1:
        return True
    known = connection.execute(select(order_actions).where(order_actions.c.id == action)).one()
    if (known.login, known.order) != (person.login, order.id):
        raise ActionError(f"action {action}: was carried out by someone else, or on another order: make a new name")
    return False


def _again(connection: Connection, order: Row[Any]) -> Row[Any]:
    """Return an order as it is now, which may be after another process carried the action out."""
    return connection.execute(select(orders).where(orders.c.id == order.id)).one()
