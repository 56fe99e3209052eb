"""Pictures of cameras are deleted when their time is over: so many days of their class, `picture_days`.

A picture stays while an order that it belongs to is not finished, and while somebody has added it to an order as
evidence. What was deleted is noted, with its class and when it had come; the event and its readings stay.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import structlog
from sqlalchemy import Connection, and_, delete, select

from cloud.blobs import blobs, forgotten_pictures, path_of
from cloud.database import Database, DatabaseError, insert_new
from cloud.workorders.states import FINISHED
from cloud.workorders.tables import event_blobs, events, evidence, orders
from edge.contract.clock import Clock
from edge.contract.event_classes import event_classes

DAY_MS: Final = 86_400_000
HOUR_S: Final = 3600
AT_ONCE: Final = 500
LEFT_DAYS: Final = 8  # for so long a file is looked for that could not be deleted with its row

_log = structlog.get_logger()


async def forget_pictures_hourly(database: Database, folder: Path, clock: Clock) -> NoReturn:
    """Delete pictures whose time is over, now and each hour; what cannot be deleted is tried again."""
    while True:
        try:
            names = await database.write(lambda connection: forget_due(connection, now_ms=clock.now_ms()))
            left = await database.read(lambda connection: _lately_forgotten(connection, now_ms=clock.now_ms()))
            for name in left:
                path_of(folder, name).unlink(missing_ok=True)
        except (DatabaseError, OSError) as error:
            _log.warning("pictures past their time are not deleted yet", reason=str(error))
        else:
            if names:
                _log.info("pictures past their time deleted", pictures=len(names))
        await clock.sleep(HOUR_S)


def forget_due(connection: Connection, *, now_ms: int) -> list[str]:
    """Forget pictures whose time is over; return their names, whose files are still to be deleted."""
    forgotten: list[str] = []
    for code, event_class in event_classes().items():
        until = now_ms - event_class.picture_days * DAY_MS
        for names in _chunks(_of_class(connection, code, until)):
            due = [name for name in names if _is_free(connection, name, now_ms)]
            _forget(connection, due, code, now_ms)
            forgotten += due
    return forgotten


def _of_class(connection: Connection, code: str, until: int) -> Sequence[str]:
    named = and_(event_blobs.c.gateway == events.c.gateway, event_blobs.c.event == events.c.id)
    found = select(event_blobs.c.sha256).join(events, named).join(blobs, blobs.c.sha256 == event_blobs.c.sha256)
    found = found.where(events.c.class_code == code, blobs.c.received_at <= until)
    return connection.scalars(found.distinct().order_by(event_blobs.c.sha256)).all()


def _is_free(connection: Connection, name: str, now_ms: int) -> bool:
    """Whether no event of another class, no order under work and no evidence needs the picture any more."""
    if connection.scalar(select(evidence.c.id).where(evidence.c.sha256 == name).limit(1)) is not None:
        return False
    named = and_(event_blobs.c.gateway == events.c.gateway, event_blobs.c.event == events.c.id)
    uses = select(events.c.class_code, orders.c.state, blobs.c.received_at).join(event_blobs, named)
    uses = uses.join(blobs, blobs.c.sha256 == event_blobs.c.sha256)
    uses = uses.outerjoin(orders, orders.c.alert == events.c.alert).where(event_blobs.c.sha256 == name)
    return all(
        (state is None or state in FINISHED) and received_at <= now_ms - _days_of(code) * DAY_MS
        for code, state, received_at in connection.execute(uses)
    )


def _days_of(code: str) -> int:
    event_class = event_classes().get(code)
    return 0 if event_class is None else event_class.picture_days


def _forget(connection: Connection, names: Sequence[str], code: str, now_ms: int) -> None:
    if not names:
        return
    kept = connection.execute(select(blobs.c.sha256, blobs.c.received_at).where(blobs.c.sha256.in_(names)))
    rows = [
        {"sha256": name, "class_code": code, "received_at": received_at, "forgotten_at": now_ms}
        for name, received_at in kept
    ]
    insert_new(connection, forgotten_pictures, rows)
    connection.execute(delete(blobs).where(blobs.c.sha256.in_(names)))


def _lately_forgotten(connection: Connection, *, now_ms: int) -> list[str]:
    """Names of files to delete; one that a person has added since is there again."""
    found = select(forgotten_pictures.c.sha256).outerjoin(blobs, blobs.c.sha256 == forgotten_pictures.c.sha256)
    found = found.where(forgotten_pictures.c.forgotten_at >= now_ms - LEFT_DAYS * DAY_MS, blobs.c.sha256.is_(None))
    return list(connection.scalars(found))


def _chunks(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE)]
