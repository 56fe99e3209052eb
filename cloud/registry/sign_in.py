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
from cloud.registry.tables import credentials, people, sessions, sign_in_links, tokens
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


class Attempt(Struct, frozen=True, kw_only=True):
    """One try to sign in by a password, counted already; what it is compared with is a hash.

    `password` is None for somebody who chose none or is not here. Unless the attempt is right, the login is locked
    until `locked_until`; when it was so before, the attempt `is_refused`, right or wrong.
    """

    password: str | None = None
    locked_until: int | None = None
    is_refused: bool = False


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


def use_link(connection: Connection, code: str, *, password_hash: str | None = None, now_ms: int) -> Person | None:
    """Use a link up and return whom it signs in; the second of two who try at once gets None.

    A password that is chosen on the way ends the sessions of those who came in with an earlier one.
    """
    login = connection.scalar(
        update(sign_in_links)
        .where(_is_valid_link(code, now_ms))
        .values(used_at=now_ms)
        .returning(sign_in_links.c.login)
    )
    person = find_person(connection, login) if login else None
    if person is None:
        return None
    _unlock(connection, person.login)
    if password_hash is not None:
        if has_password(connection, person.login):
            end_sessions(connection, person.login, now_ms=now_ms)
        set_password(connection, person.login, password_hash, now_ms=now_ms)
    return person


def _is_valid_link(code: str, now_ms: int) -> ColumnElement[bool]:
    valid = (sign_in_links.c.sha256 == _digest(code)) & sign_in_links.c.used_at.is_(None)
    return valid & (sign_in_links.c.expires_at > now_ms)


def find_password(connection: Connection, login: str) -> str | None:
    """Return the hash of an active person's password, if they chose one."""
    password: str | None = connection.scalar(select(credentials.c.password).where(_is_active(login)))
    return password


def begin_attempt(connection: Connection, login: str, *, now_ms: int) -> Attempt:
    """Count an attempt as a wrong one, before it is compared: however many come at once, only the first few are."""
    row = connection.execute(select(credentials).where(_is_active(login))).one_or_none()
    if row is None:
        return Attempt()
    if is_locked(row.locked_until, now_ms):
        return Attempt(password=row.password, locked_until=row.locked_until, is_refused=True)
    locked_until = lock_after(row.failures + 1, now_ms)
    values = {"failures": row.failures + 1, "locked_until": locked_until}
    connection.execute(update(credentials).where(credentials.c.login == login).values(values))
    return Attempt(password=row.password, locked_until=locked_until)


def is_locked(until: int | None, now_ms: int) -> bool:
    """Whether a lock still holds; one from a clock that was wrong does not hold for longer than any lock."""
    return until is not None and now_ms < until <= now_ms + LONGEST_LOCK_MS


def lock_after(failures: int, now_ms: int) -> int | None:
    """Return until when so many wrong passwords in a row lock a login; None while they do not."""
    if failures < FREE_FAILURES:
        return None
    return now_ms + min(SHORTEST_LOCK_MS << min(failures - FREE_FAILURES, 16), LONGEST_LOCK_MS)


def _is_active(login: str) -> ColumnElement[bool]:
    active = select(people.c.login).where(people.c.active)
    return (credentials.c.login == login) & credentials.c.login.in_(active)


def note_success(connection: Connection, *, login: str, password_hash: str) -> Person | None:
    """Forget wrong passwords; return who signs in, None when person or password were changed meanwhile."""
    if find_password(connection, login) != password_hash:
        return None
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


def sessions_of(connection: Connection, person: Person, *, now_ms: int) -> list[KnownSession]:
    """Return a person's open sessions, the last used one first."""
    mine = (sessions.c.login == person.login) & sessions.c.ended_at.is_(None) & (sessions.c.expires_at > now_ms)
    used = sessions.c.last_seen >= now_ms - _idle_ms(person)
    found = connection.execute(select(sessions).where(mine, used).order_by(sessions.c.last_seen.desc()))
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


def forget_access(connection: Connection, login: str) -> None:
    """Take password, links, sessions and tokens from a login: who had it is gone, and who has it next is another."""
    for table in (credentials, sign_in_links, sessions, tokens):
        connection.execute(delete(table).where(table.c.login == login))


def _digest(secret: str) -> str:
    # A plain hash is enough for random bits: there is nothing to guess, unlike with a password.
    return sha256(secret.encode()).hexdigest()
