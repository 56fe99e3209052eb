"""API tokens: 256 random bits, shown once; the database keeps only their SHA-256."""

import secrets
from hashlib import sha256

from sqlalchemy import Connection, insert, select, update

from cloud.registry.person import Person
from cloud.registry.registry import find_person
from cloud.registry.tables import tokens

DAY_MS = 86_400_000
MAX_TOKEN_LENGTH = 200


class UnknownPersonError(LookupError):
    """Nobody active has this login: load a registry file that names them."""


def issue_token(connection: Connection, login: str, *, now_ms: int, days: int) -> str:
    """Return a new token for `login`, valid for `days`. Raises UnknownPersonError."""
    if find_person(connection, login) is None:
        raise UnknownPersonError(f"person {login}: not in the registry")
    token = f"anlan_{secrets.token_urlsafe(32)}"
    connection.execute(
        insert(tokens).values(login=login, sha256=_digest(token), created_at=now_ms, expires_at=now_ms + days * DAY_MS)
    )
    return token


def revoke_tokens(connection: Connection, login: str, *, now_ms: int) -> int:
    """End every token of `login` at once; return how many were still valid."""
    valid = (tokens.c.login == login) & tokens.c.revoked_at.is_(None) & (tokens.c.expires_at > now_ms)
    return connection.execute(update(tokens).where(valid).values(revoked_at=now_ms)).rowcount


def find_bearer(connection: Connection, token: str, *, now_ms: int) -> Person | None:
    """Return the active person who holds a valid `token`, or None."""
    if len(token) > MAX_TOKEN_LENGTH:
        return None
    login = connection.scalar(
        select(tokens.c.login).where(
            tokens.c.sha256 == _digest(token), tokens.c.revoked_at.is_(None), tokens.c.expires_at > now_ms
        )
    )
    return find_person(connection, login) if login else None


def _digest(token: str) -> str:
    # A plain hash is enough for 256 random bits: there is nothing to guess, unlike with a password.
    return sha256(token.encode()).hexdigest()
