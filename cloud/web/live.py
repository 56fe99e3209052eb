"""Live updates: one stream of server-sent events for each open page; it tells what has changed, never the content.

The page then asks for its new state itself, so that a stream can tell nobody more than they may see. What has changed
is read off the database, which every process of the cloud shares, by one question a second while anybody listens.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Connection, func, select

from cloud.database import Database, DatabaseError
from cloud.dead_letters import dead_letters
from cloud.gateway_states import gateway_states
from cloud.web.page import SignedInPage
from cloud.workorders.tables import alerts, evidence, transitions

LOOK_EVERY_S = 1.0
PAUSE_MS = 3000  # before a browser connects again

router = APIRouter()


def _orders_mark(connection: Connection) -> Any:
    newest = select(transitions.c.at, transitions.c.order, transitions.c.version)
    newest = newest.order_by(transitions.c.at.desc(), transitions.c.order.desc(), transitions.c.version.desc()).limit(1)
    step = connection.execute(newest).one_or_none()
    return step and tuple(step), connection.scalar(select(func.max(evidence.c.id))), _alerts_mark(connection)


def _alerts_mark(connection: Connection) -> Any:
    return tuple(connection.execute(select(func.max(alerts.c.id), func.max(alerts.c.resolved_at))).one())


def _gateways_mark(connection: Connection) -> Any:
    return tuple(
        connection.execute(select(func.max(gateway_states.c.last_seen), func.count(gateway_states.c.online))).one()
    )


def _letters_mark(connection: Connection) -> Any:
    return tuple(connection.execute(select(func.max(dead_letters.c.last_at), func.count())).one())


MARKS: Mapping[str, Callable[[Connection], Any]] = {
    "orders": _orders_mark,
    "gateways": _gateways_mark,
    "letters": _letters_mark,
}
"""What can change, and something that is another one after each change."""


class Changes:
    """Looks for changes while somebody listens, and wakes whoever does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[asyncio.Queue[str]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def listen(self) -> AsyncIterator[str]:
        """Give the name of what has changed, each time it does; several changes of one kind may come as one."""
        queue: asyncio.Queue[str] = asyncio.Queue(maxsize=2 * len(MARKS))
        self._listeners.add(queue)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="live updates")
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()

    async def _look(self) -> None:
        known: dict[str, Any] = {}
        while True:
            try:
                marks = await self._database.read(_marks)
            except DatabaseError:
                marks = known  # the pages say so themselves
            changed = [name for name, mark in marks.items() if known and known[name] != mark]
            known = marks
            for name in changed:
                self._tell(name)
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell(self, name: str) -> None:
        for queue in self._listeners:
            if not queue.full():  # then it has this name in it already
                queue.put_nowait(name)


def _marks(connection: Connection) -> dict[str, Any]:
    return {name: mark(connection) for name, mark in MARKS.items()}


@router.get("/live", response_class=EventSourceResponse)
async def live(page: SignedInPage) -> AsyncIterator[ServerSentEvent]:
    """Tell what changes until the browser leaves."""
    app = page.request.app
    if not hasattr(app.state, "changes"):
        app.state.changes = Changes(page.services.database)
    changes: Changes = app.state.changes
    yield ServerSentEvent(comment="listening", retry=PAUSE_MS)
    async for name in changes.listen():
        yield ServerSentEvent(event=name, raw_data=name)
