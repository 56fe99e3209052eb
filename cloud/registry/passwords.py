"""Passwords: argon2id hashes, and what a password must be.

ValueError
└── WeakPasswordError      too short, too long, or the login itself
"""

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 128
AT_ONCE = 2
"""Hashes computed at the same time: each takes 64 MiB and a core for some 50 ms."""

_hasher = PasswordHasher()


class WeakPasswordError(ValueError):
    """Not fit to be a password; `reason` is one of "short", "long", "login"."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the password is too weak: {reason}")
        self.reason = reason


class PasswordChecker:
    """Hashes and compares on threads, `AT_ONCE` at a time, so that a flood of attempts does not take the machine."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str, login: str) -> str:
        """Return the hash to keep. Raises WeakPasswordError."""
        check_strength(password, login)
        async with self._room:
            return await asyncio.to_thread(_hasher.hash, password)

    async def is_right(self, kept: str | None, password: str) -> bool:
        """Compare with what is kept; None takes as long as a real comparison, so that nobody learns who is here."""
        async with self._room:
            return await asyncio.to_thread(_compare, kept, password[: LONGEST + 1])


def check_strength(password: str, login: str) -> None:
    """Raise WeakPasswordError unless it has 10 to 128 characters and is not just the login, once or several times."""
    if len(password) < SHORTEST:
        raise WeakPasswordError("short")
    if len(password) > LONGEST:
        raise WeakPasswordError("long")
    if not password.casefold().replace(login.casefold(), "").strip(" 0123456789-_."):
        raise WeakPasswordError("login")


def _compare(kept: str | None, password: str) -> bool:
    try:
        _hasher.verify(kept or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody has this password")
