"""How people sign in: a one-time link, or login and password; then a session, whose secret only the browser has.

Of codes and sessions the database keeps SHA-256 alone. Wrong passwords lock the login for a while, longer each time;
a one-time link opens it again. Functions work inside the caller's transaction; comparing a password, which takes long,
is done outside of one (`passwords`).
"""

import secrets
from hashlib import sha256

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, delete, insert, or_, select, update

from cloud.database import insert_new
from cloud.registry.person import Person, Role
from cloud.registry.registry import find_person
from cloud.registry.tables import credentials, people, sessions, sign_in_links
from cloud.registry.tokens import UnknownPersonError

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
LINK_HOURS = 24
FREE_FAILURES = 5  # wrong passwords in a row before the login is locked
SHORTEST_LOCK_MS, LONGEST_LOCK_MS = MINUTE_MS, HOUR_MS
IDLE_MS = 12 * HOUR_MS  # a session that is not used for so long is over
WORKER_IDLE_MS = 30 * DAY_MS  # a phone in a pocket, which must open at once at three in the morning
LONGEST_SESSION_MS = 90 * DAY_MS
NOTE_EVERY_MS = 5 * MINUTE_MS
MOST_SESSIONS = 20  # of one person; the oldest makes room
MAX_SECRET = 100


class Session(Struct, frozen=True, kw_only=True):
    """Somebody who is signed in; `seen_at` is when that was last noted."""

    id: int
    person: Person
    seen_at: int


class KnownSession(Struct, frozen=True, kw_only=True):
    """One of a person's sessions, for them to look at and end."""

    id: int
    agent: str
    created_at: int
    last_seen: int


class Credentials(Struct, frozen=True, kw_only=True):
    """What a sign-in is checked against; `password` is a hash, None for somebody who chose none or is not here."""

    password: str | None
    locked_until: int | None


def make_link(connection: Connection, login: str, *, now_ms: int, hours: int = LINK_HOURS) -> str:
    """Return the code of a new one-time link for an active person; earlier links end. Raises UnknownPersonError."""
    if find_person(connection, login) is None:
        raise UnknownPersonError(f"person {login}: not in the registry")
    unused = (sign_in_links.c.login == login) & sign_in_links.c.used_at.is_(None)
    connection.execute(update(sign_in_links).where(unused).values(used_at=now_ms))
    code = secrets.token_urlsafe(18)
    times = {"created_at": now_ms, "expires_at": now_ms + hours * HOUR_MS}
    connection.execute(insert(sign_in_links).values(login=login, sha256=_digest(code), **times))
    return code


def whose_link(connection: Connection, code: str, *, now_ms: int) -> Person | None:
    """Return whom a link would sign in, without using it up; None for one that is unknown, used or expired."""
    login = connection.scalar(select(sign_in_links.c.login).where(_is_valid_link(code, now_ms)))
    return find_person(connection, login) if login else None


def use_link(connection: Connection, code: str, *, now_ms: int) -> Person | None:
    """Use a link up and return whom it signs in; the second of two who try at once gets None."""
    login = connection.scalar(
        update(sign_in_links)
        .where(_is_valid_link(code, now_ms))
        .values(used_at=now_ms)
        .returning(sign_in_links.c.login)
    )
    person = find_person(connection, login) if login else None
    if person is not None:
        _unlock(connection, person.login)
    return person


def _is_valid_link(code: str, now_ms: int) -> ColumnElement[bool]:
    valid = (sign_in_links.c.sha256 == _digest(code)) & sign_in_links.c.used_at.is_(None)
    return valid & (sign_in_links.c.expires_at > now_ms)


def find_credentials(connection: Connection, login: str) -> Credentials:
    """Return what the password of an active person is compared with."""
    active = credentials.join(people, people.c.login == credentials.c.login)
    row = connection.execute(
        select(credentials.c.password, credentials.c.locked_until)
        .select_from(active)
        .where(credentials.c.login == login, people.c.active)
    ).one_or_none()
    return Credentials(password=row.password if row else None, locked_until=row.locked_until if row else None)


def note_failure(connection: Connection, login: str, *, now_ms: int) -> int | None:
    """Count a wrong password; return until when the login is locked now, None when it is not."""
    mine = credentials.c.login == login
    failures: int | None = connection.scalar(
        update(credentials).where(mine).values(failures=credentials.c.failures + 1).returning(credentials.c.failures)
    )
    if failures is None or failures < FREE_FAILURES:
        return None
    lock_ms = min(SHORTEST_LOCK_MS << min(failures - FREE_FAILURES, 16), LONGEST_LOCK_MS)
    connection.execute(update(credentials).where(mine).values(locked_until=now_ms + lock_ms))
    return now_ms + lock_ms


def note_success(connection: Connection, login: str) -> Person | None:
    """Forget wrong passwords; return who signs in, None when they were removed meanwhile."""
    _unlock(connection, login)
    return find_person(connection, login)


def _unlock(connection: Connection, login: str) -> None:
    connection.execute(update(credentials).where(credentials.c.login == login).values(failures=0, locked_until=None))


def set_password(connection: Connection, login: str, password_hash: str, *, now_ms: int) -> None:
    """Keep a new password's hash."""
    values = {"password": password_hash, "changed_at": now_ms, "failures": 0, "locked_until": None}
    if insert_new(connection, credentials, [{"login": login, **values}]) == 0:
        connection.execute(update(credentials).where(credentials.c.login == login).values(values))


def has_password(connection: Connection, login: str) -> bool:
    """Whether a person chose a password."""
    return connection.scalar(select(credentials.c.login).where(credentials.c.login == login)) is not None


def open_session(connection: Connection, login: str, *, agent: str, now_ms: int) -> str:
    """Begin a session; return its secret, which is shown once."""
    secret = secrets.token_urlsafe(32)
    times = {"created_at": now_ms, "last_seen": now_ms, "expires_at": now_ms + LONGEST_SESSION_MS}
    connection.execute(insert(sessions).values(login=login, sha256=_digest(secret), agent=agent[:200], **times))
    over = or_(sessions.c.ended_at.is_not(None), sessions.c.expires_at <= now_ms)
    connection.execute(delete(sessions).where(sessions.c.login == login, over))
    newest = select(sessions.c.id).where(sessions.c.login == login).order_by(sessions.c.id.desc()).limit(MOST_SESSIONS)
    connection.execute(delete(sessions).where(sessions.c.login == login, sessions.c.id.not_in(newest)))
    return secret


def find_session(connection: Connection, secret: str, *, now_ms: int) -> Session | None:
    """Return who holds a session that is neither ended, expired nor unused for too long; else None."""
    if len(secret) > MAX_SECRET:
        return None
    valid = (sessions.c.sha256 == _digest(secret)) & sessions.c.ended_at.is_(None) & (sessions.c.expires_at > now_ms)
    row = connection.execute(select(sessions).where(valid)).one_or_none()
    person = find_person(connection, row.login) if row else None
    if row is None or person is None or now_ms - row.last_seen > _idle_ms(person):
        return None
    return Session(id=row.id, person=person, seen_at=row.last_seen)


def _idle_ms(person: Person) -> int:
    return WORKER_IDLE_MS if person.roles == {Role.WORKER} else IDLE_MS


def note_use(connection: Connection, session: int, *, now_ms: int) -> None:
    """Write down that a session was used just now."""
    connection.execute(update(sessions).where(sessions.c.id == session).values(last_seen=now_ms))


def sessions_of(connection: Connection, login: str, *, now_ms: int) -> list[KnownSession]:
    """Return a person's open sessions, the last used one first."""
    mine = (sessions.c.login == login) & sessions.c.ended_at.is_(None) & (sessions.c.expires_at > now_ms)
    found = connection.execute(select(sessions).where(mine).order_by(sessions.c.last_seen.desc()))
    return [
        KnownSession(id=row.id, agent=row.agent, created_at=row.created_at, last_seen=row.last_seen) for row in found
    ]


def end_session(connection: Connection, session: int, *, login: str, now_ms: int) -> None:
    """End one session of a person."""
    mine = (sessions.c.id == session) & (sessions.c.login == login)
    connection.execute(update(sessions).where(mine).values(ended_at=now_ms))


def end_sessions(connection: Connection, login: str, *, now_ms: int, but: int | None = None) -> int:
    """End every session of a person `but` one; return how many that were."""
    open_ones = (sessions.c.login == login) & sessions.c.ended_at.is_(None) & (sessions.c.expires_at > now_ms)
    if but is not None:
        open_ones &= sessions.c.id != but
    return connection.execute(update(sessions).where(open_ones).values(ended_at=now_ms)).rowcount


def _digest(secret: str) -> str:
    # A plain hash is enough for random bits: there is nothing to guess, unlike with a password.
    return sha256(secret.encode()).hexdigest()
