"""The letters of the list, read from the database: by cause, by gateway, page by page; and who waits to be registered.

All functions work inside the caller's transaction.
"""

from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlencode

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from cloud.dead_letters import KeptLetter, dead_letters, find
from cloud.gateway_states import gateway_states, online_now
from cloud.registry.tables import gateways
from cloud.web.letter_causes import Cause, cause

PAGE = 50
MOST_AT_ONCE = 200  # letters that one click takes
LANED = frozenset({"batch", "event", "blob"})

Tab = Literal["look", "waiting"]


def is_takeable(kind: str, gateway: str | None, *, is_whole: bool, waiting: bool) -> bool:
    """Whether a new attempt could help: all of it was kept, it is known whose it is, and it does not come by itself."""
    return kind in LANED and gateway is not None and is_whole and not waiting


class Line(Struct, frozen=True, kw_only=True):
    """One letter of the list; `row` has its columns but the content, `kind` what it came as."""

    row: Row[Any]
    cause: Cause
    kind: str

    @property
    def may_be_taken(self) -> bool:
        """Whether a new attempt could help."""
        row = self.row
        return is_takeable(self.kind, row.gateway, is_whole=row.kept == row.size, waiting=row.waiting)


class Waiting(Struct, frozen=True, kw_only=True):
    """A gateway that nobody has registered, and what it sent: `letters` in all, by kind in `kinds`.

    One that has told neither status nor inventory has no page of its own: `is_known` is false.
    """

    gateway: str
    is_known: bool
    online: bool | None
    first_at: int
    last_at: int
    letters: int
    kinds: dict[str, int]


class Found(Struct, frozen=True, kw_only=True):
    """Everything that the list shows."""

    lines: list[Line]
    causes: dict[Cause, int]
    look: int
    waiting: list[Waiting]
    names: dict[str, str]
    pages: int


class Asked(Struct, frozen=True, kw_only=True):
    """Which letters somebody wants to see."""

    tab: Tab = "look"
    gateway: str = ""
    cause: Cause | None = None
    page: int = 1

    def path(self, *, tab: str = "look", gateway: str = "", cause: str = "", page: int = 1) -> str:
        """Return the address of a part of the list."""
        parameters = {
            "tab": tab if tab != "look" else "",
            "gateway": gateway,
            "cause": cause,
            "page": str(page) if page > 1 else "",
        }
        query = urlencode({name: value for name, value in parameters.items() if value})
        return f"/letters?{query}" if query else "/letters"


class Opened(Struct, frozen=True):
    """One letter with its cause and the name of its gateway, if that has one."""

    letter: KeptLetter
    cause: Cause
    name: str | None

    @property
    def may_be_taken(self) -> bool:
        """Whether a new attempt could help."""
        letter = self.letter
        return is_takeable(letter.kind, letter.gateway, is_whole=letter.is_whole, waiting=letter.waiting)


def one_letter(connection: Connection, number: int) -> Opened | None:
    """Return a letter, or None when there is none with this number (any more)."""
    letter = find(connection, number)
    if letter is None:
        return None
    why = connection.scalars(select(cause()).where(dead_letters.c.id == number)).one()
    name = connection.scalar(select(gateways.c.name).where(gateways.c.id == letter.gateway))
    return Opened(letter, Cause(why), name)


def _condition(asked: Asked) -> ColumnElement[bool]:
    conditions: list[ColumnElement[bool]] = [dead_letters.c.waiting.is_(asked.tab == "waiting")]
    if asked.gateway:
        conditions.append(dead_letters.c.gateway == asked.gateway)
    if asked.cause is not None:
        conditions.append(cause() == asked.cause.value)
    return and_(*conditions)


def numbers_of(connection: Connection, asked: Asked) -> Sequence[int]:
    """Return which letters are taken by one click, the oldest first."""
    wanted = select(dead_letters.c.id).where(_condition(asked)).order_by(dead_letters.c.id)
    return connection.scalars(wanted.limit(MOST_AT_ONCE)).all()


def find_letters(connection: Connection, asked: Asked, now_ms: int) -> Found:
    """Return a page of the list, and what stands around it."""
    lists_letters = asked.tab == "look" or asked.gateway
    count = connection.scalar(select(func.count()).select_from(dead_letters).where(_condition(asked))) or 0
    return Found(
        lines=_lines(connection, asked) if lists_letters else [],
        causes=_causes(connection, asked.gateway),
        look=connection.scalar(select(func.count()).where(dead_letters.c.waiting.is_(False))) or 0,
        waiting=_waiting(connection, now_ms),
        names=dict(connection.execute(select(gateways.c.id, gateways.c.name)).all()),
        pages=max(1, -(-count // PAGE)),
    )


def _lines(connection: Connection, asked: Asked) -> list[Line]:
    columns: list[Any] = [column for column in dead_letters.c if column.name not in {"payload", "hash"}]
    wanted = select(*columns, cause().label("cause")).where(_condition(asked))
    newest = wanted.order_by(dead_letters.c.last_at.desc(), dead_letters.c.id.desc())
    rows: list[Any] = list(connection.execute(newest.limit(PAGE).offset((asked.page - 1) * PAGE)))
    return [Line(row=row, cause=Cause(row.cause), kind=row.topic.rpartition("/")[2]) for row in rows]


def _causes(connection: Connection, gateway: str) -> dict[Cause, int]:
    of_letters = cause().label("cause")
    wanted = select(of_letters, func.count()).where(_condition(Asked(gateway=gateway))).group_by(of_letters)
    counts = dict(connection.execute(wanted).all())
    return {one: counts[one.value] for one in Cause if one.value in counts}


def _waiting(connection: Connection, now_ms: int) -> list[Waiting]:
    """Return the gateways that were heard and are not registered, those that sent most first."""
    registered = select(gateways.c.id).where(gateways.c.active)
    states = gateway_states.c
    columns: list[Any] = [states.gateway, states.online, states.fresh_until, states.first_seen, states.last_seen]
    heard = select(*columns).where(states.gateway.not_in(registered))
    found = {row.gateway: row for row in connection.execute(heard)}
    letters = dead_letters.c
    kind = func.substr(letters.topic, func.length("anlan/v1//") + func.length(letters.gateway))
    counted = (
        select(letters.gateway, kind.label("kind"), func.count().label("number"))
        .add_columns(func.min(letters.first_at).label("first_at"), func.max(letters.last_at).label("last_at"))
        .where(letters.waiting)
        .group_by(letters.gateway, kind)
    )
    sent: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(counted):
        sent.setdefault(row.gateway, []).append(row)
    waiting = [_waits(name, found.get(name), sent.get(name, []), now_ms) for name in found.keys() | sent.keys()]
    return sorted(waiting, key=lambda each: (-each.letters, each.gateway))


def _waits(gateway: str, state: Row[Any] | None, sent: Sequence[Row[Any]], now_ms: int) -> Waiting:
    first = [row.first_at for row in sent] + ([state.first_seen] if state else [])
    last = [row.last_at for row in sent] + ([state.last_seen] if state else [])
    return Waiting(
        gateway=gateway,
        is_known=state is not None,
        online=online_now(state.online, state.fresh_until, now_ms=now_ms) if state else None,
        first_at=min(first),
        last_at=max(last),
        letters=sum(row.number for row in sent),
        kinds={row.kind.strip("/"): row.number for row in sent},
    )
