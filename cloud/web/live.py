"""Live updates: one stream of server-sent events for each open page; it tells what has changed, never the content.

The page then asks for its new state itself, so that a stream can tell nobody more than they may see. What has changed
is read off the database, which every process of the cloud shares, by one question a second while anybody listens.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, HTTPException
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Connection, func, select

from cloud.database import Database, DatabaseError
from cloud.dead_letters import dead_letters
from cloud.gateway_states import gateway_states
from cloud.web.page import AnyPage, Page
from cloud.workorders.tables import alerts, evidence, transitions

LOOK_EVERY_S = 1.0
PAUSE_MS = 3000  # before a browser connects again
LONGEST_S = 900  # then it has to: whoever is signed out meanwhile cannot
MOST_STREAMS, MOST_OF_ONE = 800, 30
"""Of all people and of one, in this process; each holds one of its connections (MOST_CONNECTIONS)."""

router = APIRouter()


class Mark(NamedTuple):
    """`state` is another one after each change; the last change was not before `at_ms`, or there was none (0)."""

    at_ms: int
    state: Any


def _orders_mark(connection: Connection) -> Mark:
    steps = select(transitions.c.at, transitions.c.order, transitions.c.version)
    steps = steps.order_by(transitions.c.at.desc(), transitions.c.order.desc(), transitions.c.version.desc())
    pieces = select(evidence.c.added_at, evidence.c.id).order_by(evidence.c.id.desc())
    step = connection.execute(steps.limit(1)).one_or_none()
    piece = connection.execute(pieces.limit(1)).one_or_none()
    firing = connection.execute(select(func.max(alerts.c.id), func.max(alerts.c.resolved_at))).one()
    at_ms = max(step.at if step else 0, piece.added_at if piece else 0)
    return Mark(at_ms, (step and tuple(step), piece and piece.id, tuple(firing)))


def _gateways_mark(connection: Connection) -> Mark:
    row = connection.execute(select(func.max(gateway_states.c.last_seen), func.count(gateway_states.c.online))).one()
    return Mark(row[0] or 0, tuple(row))


def _letters_mark(connection: Connection) -> Mark:
    row = connection.execute(select(func.max(dead_letters.c.last_at), func.count())).one()
    return Mark(row[0] or 0, tuple(row))


MARKS: Mapping[str, Callable[[Connection], Mark]] = {
    "orders": _orders_mark,
    "gateways": _gateways_mark,
    "letters": _letters_mark,
}
"""What can change, by the name that pages listen to."""


class Changes:
    """Looks for changes while somebody listens, and wakes whoever does."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[_Listener] = set()
        self._looking: asyncio.Task[None] | None = None
        self._known: dict[str, Mark] = {}
        self._places: Counter[str] = Counter()

    @contextmanager
    def place(self, login: str) -> Iterator[None]:
        """Hold one of the streams that there may be; answers 429 when there are too many."""
        if self._places[login] >= MOST_OF_ONE or self._places.total() >= MOST_STREAMS:
            raise HTTPException(429, "too many pages are open", {"Retry-After": "60"})
        self._places[login] += 1
        try:
            yield
        finally:
            self._places[login] -= 1

    def stop(self) -> None:
        """End every stream, so that they do not hold up the end of the server."""
        for listener in self._listeners:
            listener.stop()

    @property
    def is_looking(self) -> bool:
        """Whether the database is asked at present."""
        return self._looking is not None

    async def listen(self, since_ms: int) -> AsyncGenerator[str]:
        """Give the name of what has changed since then, and again each time it does.

        `since_ms` is when the page was made: what changed before its stream began is not lost.
        """
        listener = _Listener(since_ms)
        self._listeners.add(listener)
        end = asyncio.get_running_loop().call_later(LONGEST_S, listener.stop)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="live updates")
        try:
            while changed := await listener.changed():
                for name in changed:
                    yield name
        finally:
            end.cancel()
            self._listeners.discard(listener)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking, self._known = None, {}

    async def _look(self) -> None:
        while True:
            with suppress(DatabaseError):  # the pages say so themselves
                marks = await self._database.read(_marks)
                for name, mark in marks.items():
                    self._tell(name, mark)
                self._known = marks
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell(self, name: str, mark: Mark) -> None:
        is_news = name in self._known and self._known[name] != mark
        for listener in self._listeners:
            if is_news or (name not in listener.compared and mark.at_ms >= listener.since_ms):
                listener.tell(name)
            listener.compared.add(name)


class _Listener:
    def __init__(self, since_ms: int) -> None:
        self.since_ms = since_ms
        self.compared: set[str] = set()
        """What was compared with `since_ms`; from then on changes are seen as they happen."""
        self._told: set[str] = set()
        self._wake = asyncio.Event()

    def tell(self, name: str) -> None:
        self._told.add(name)
        self._wake.set()

    def stop(self) -> None:
        self._told.clear()
        self._wake.set()

    async def changed(self) -> set[str]:
        """Wait for names; none means that there will be no more."""
        await self._wake.wait()
        self._wake.clear()
        told, self._told = self._told, set()
        return told


def _marks(connection: Connection) -> dict[str, Mark]:
    return {name: mark(connection) for name, mark in MARKS.items()}


def changes_of(app: Any) -> Changes:
    """Return the changes of an application, which all its streams share."""
    if not hasattr(app.state, "changes"):
        app.state.changes = Changes(app.state.services.database)
    changes: Changes = app.state.changes
    return changes


async def _placed(page: AnyPage) -> AsyncIterator[Page]:
    if page.session is None:  # no page to go to instead: nobody would see it
        raise HTTPException(401)
    with changes_of(page.request.app).place(page.person.login):
        yield page


@router.get("/live", response_class=EventSourceResponse)
async def live(page: Annotated[Page, Depends(_placed)], since: int = 0) -> AsyncIterator[ServerSentEvent]:
    """Tell what has changed since the page was made, and what changes until the browser leaves."""
    yield ServerSentEvent(comment="listening", retry=PAUSE_MS)
    async with aclosing(changes_of(page.request.app).listen(since)) as told:
        async for name in told:
            yield ServerSentEvent(event=name, raw_data=name)
