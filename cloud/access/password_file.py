"""Mosquitto's password file: a line a user, `name:$7$rounds$salt$hash`, with PBKDF2-HMAC-SHA512 (mosquitto_passwd(1)).

Lines of others are left as they are. A password is made here, so that nobody can choose a weak one: 25 characters of
31, some 123 bits. It is returned once and kept nowhere.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from edge.contract.files import FOR_GROUP, locked, write_file

# As mosquitto_passwd writes. What defends a password of 123 bits is its length; more rounds would hold up the broker's
# one thread at every attempt to get in.
ROUNDS = 101
SALT_BYTES, HASH_BYTES = 12, 64
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another one
GROUPS, GROUP_LETTERS = 5, 5


def set_password(file: Path, user: str) -> str:
    """Give a user a new password, in place of the one there was, and return it."""
    password = "-".join("".join(secrets.choice(LETTERS) for _ in range(GROUP_LETTERS)) for _ in range(GROUPS))
    with locked(file.parent):
        _write(file, [*_others(file, user), f"{user}:{hash_password(password)}"])
    return password


def remove_password(file: Path, user: str) -> bool:
    """Take a user's password away; return whether there was one."""
    if not file.exists():
        return False
    with locked(file.parent):
        if user not in users_of(file):
            return False
        _write(file, _others(file, user))
        return True


def users_of(file: Path) -> frozenset[str]:
    """Return who has a password."""
    return frozenset(line.partition(":")[0] for line in _lines(file))


def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return what is kept of a password; with a new salt, unless one is given."""
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS, HASH_BYTES)
    return f"$7${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def _others(file: Path, user: str) -> Iterator[str]:
    return (line for line in _lines(file) if line.partition(":")[0] != user)


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


def _write(file: Path, lines: Iterator[str] | list[str]) -> None:
    write_file(file, "".join(f"{line}\n" for line in lines).encode(), mode=FOR_GROUP)
