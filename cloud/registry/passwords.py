"""Passwords: argon2id hashes, and what a password must be.

ValueError
└── WeakPasswordError      too short, too long, the login itself, or what everybody takes
"""

import asyncio
from functools import cache
from unicodedata import normalize

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 10, 128
AT_ONCE = 2
"""Hashes computed at the same time: each takes 64 MiB and a core for some 50 ms."""
FEWEST_CHARACTERS = 5
COMMON = frozenset(
    """
    123456789a 123456789q 1password1 1q2w3e4r5t 1qaz2wsx3edc 1234qwerasdf a123456789 aa123456789 abc123456789
    abcd123456 abcd1234567 abcdefghij admin123456 administrator administrator1 anlan12345 anlan123456 asdfghjkl123
    iloveyou123 letmein123 passw0rd123 password12 password123 password1234 q1w2e3r4t5 qq123456789 qwerty12345
    qwerty123456 qwertyuiop qwertyuiop123 welcome123 woaini1314 woaini1314520 woaini520 zxcvbnm123 zxcvbnm1234
    """.split()  # noqa: SIM905 -- as a list it would be one a line
)
"""Found in every list of stolen ones, and long enough to be chosen here; numbers alone are refused anyway."""

_hasher = PasswordHasher()


class WeakPasswordError(ValueError):
    """Not fit to be a password; `reason` is one of "short", "long", "login", "common"."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the password is too weak: {reason}")
        self.reason = reason


class PasswordChecker:
    """Hashes and compares on threads, `AT_ONCE` at a time, so that a flood of attempts does not take the machine."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str, login: str) -> str:
        """Return the hash to keep. Raises WeakPasswordError."""
        typed = _as_typed(password)
        check_strength(typed, login)
        async with self._room:
            return await asyncio.to_thread(_hasher.hash, typed)

    async def is_right(self, kept: str | None, password: str) -> bool:
        """Compare with what is kept; None takes as long as a real comparison, so that nobody learns who is here."""
        async with self._room:
            return await asyncio.to_thread(_compare, kept, _as_typed(password)[: LONGEST + 1])


def check_strength(password: str, login: str) -> None:
    """Raise WeakPasswordError unless it has 10 to 128 characters and is not among the first that anybody would try."""
    if len(password) < SHORTEST:
        raise WeakPasswordError("short")
    if len(password) > LONGEST:
        raise WeakPasswordError("long")
    folded, own = password.casefold(), login.casefold()
    if own in folded and not folded.replace(own, "").strip(" 0123456789-_."):
        raise WeakPasswordError("login")
    if folded.isdecimal() or len(set(folded)) < FEWEST_CHARACTERS or folded in COMMON:
        raise WeakPasswordError("common")


def _as_typed(password: str) -> str:
    """Return one form of what keyboards send in several: ｐ and p, é as one character and as two."""
    return normalize("NFKC", password)


def _compare(kept: str | None, password: str) -> bool:
    try:
        _hasher.verify(kept or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody has this password")
