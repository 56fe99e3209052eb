"""Who may post: one secret per camera, compared in constant time; wrong ones are limited per address.

A camera shows its secret by HTTP Basic (RFC 7617) or Digest, with MD5 as cameras do, or signs each post with it (see
:mod:`edge.drivers.cameras.webhook`). Which of the first two is the camera's choice: not all can do both. A camera that
can do neither has a :class:`Door` of its own: the address that it was told is the secret.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import md5, sha256
from hmac import compare_digest, new
from typing import Final

from edge.drivers.cameras import Refused, Why

WRONG_TRIES: Final = 5
WITHIN_S: Final = 60.0
MOST_ADDRESSES: Final = 1024
NONCE_S: Final = 300
NOBODY: Final = sha256(b"no camera has this password").digest()
WRONG: Final = "no camera of this gateway, or not its password"
REALM: Final = "anlan"
_FIELD = re.compile(r'(\w+)=(?:"([^"]{0,400})"|([^\s",]{1,200}))')


class TooManyTriesError(Exception):
    """Too many wrong secrets came from one address."""


class Tries:
    """Counts wrong secrets by address."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._wrong: dict[str, deque[float]] = {}  # address: when its last wrong tries were

    def check(self, address: str) -> None:
        """Raise TooManyTriesError where an address has to wait."""
        tries = self._wrong.get(address)
        if tries is not None and len(tries) == WRONG_TRIES and self._seconds() - tries[0] < WITHIN_S:
            raise TooManyTriesError(f"{WRONG_TRIES} wrong passwords from {address}: wait a minute")

    def note_wrong(self, address: str) -> None:
        """Count one more."""
        if address not in self._wrong and len(self._wrong) >= MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]  # the one that began first
        self._wrong.setdefault(address, deque(maxlen=WRONG_TRIES)).append(self._seconds())

    def forget(self, address: str) -> None:
        """A right one makes up for wrong ones."""
        self._wrong.pop(address, None)


class Door:
    """Where one camera posts without signing in: whoever knows its address, told to that camera alone, is the camera.

    It is another one after each start of the agent, and stands in no log. Guesses need no limit, unlike those at
    passwords: it has 128 random bits. And a camera that still posts to the door of yesterday must not be shut out.
    """

    def __init__(self, post_url: str) -> None:
        self._key = secrets.token_hex(16)
        self.url = f"{post_url}/{self._key}"
        self.times_opened = 0

    def is_opened_by(self, key: str) -> bool:
        """Whether this is its key, in constant time."""
        is_right = compare_digest(self._key.encode(), key.encode())
        self.times_opened += is_right
        return is_right

    def hide(self, text: str) -> str:
        """Return what a camera says without the key that it was told."""
        return text.replace(self._key, "...")


class Access:
    """Tells which camera is posting, by the Authorization header."""

    def __init__(self, passwords: Mapping[str, bytes], *, seconds: Callable[[], float] = time.monotonic) -> None:
        """``passwords``: those of the cameras, by id."""
        self._passwords = passwords
        self._hashes = {name: sha256(password).digest() for name, password in passwords.items()}
        self._seconds = seconds
        self._key = secrets.token_bytes(16)
        self.tries = Tries(seconds=seconds)

    def camera(self, authorization: str, address: str, *, method: str = "POST", uri: str = "") -> str:
        """Return the id of the camera that signs in; raises TooManyTriesError, and Refused where none does."""
        self.tries.check(address)
        if authorization[:7].lower() == "digest ":
            name, is_right = self._digest(authorization[7:], method, uri)
        else:
            name, password = _credentials(authorization)
            # An unknown name takes as long as a wrong password, so that names cannot be found out.
            is_right = compare_digest(sha256(password).digest(), self._hashes.get(name, NOBODY))
        if not is_right or name not in self._passwords:
            if authorization:  # one that asks how to sign in has tried nothing yet
                self.tries.note_wrong(address)
            raise Refused(Why.SIGN_IN, WRONG)
        self.tries.forget(address)
        return name

    @staticmethod
    def claimed(authorization: str) -> str:
        """Return the name that a header claims, right or not."""
        if authorization[:7].lower() == "digest ":
            return _fields(authorization).get("username", "")
        return _credentials(authorization)[0]

    def challenge(self) -> tuple[str, ...]:
        """Return what a 401 says of how to sign in."""
        nonce = self._nonce(int(self._seconds()))
        return (
            f'Basic realm="{REALM}", charset="UTF-8"',
            f'Digest realm="{REALM}", qop="auth", algorithm=MD5, nonce="{nonce}"',
        )

    def _nonce(self, second: int) -> str:
        return f"{second:x}-{new(self._key, str(second).encode(), sha256).hexdigest()[:32]}"

    def _digest(self, text: str, method: str, uri: str) -> tuple[str, bool]:
        fields = _fields(text)
        name, nonce = fields.get("username", ""), fields.get("nonce", "")
        password = self._passwords.get(name, b"")
        secret = _md5(f"{name}:{REALM}:".encode() + password)
        wanted = [secret, nonce]
        if fields.get("qop") == "auth":
            wanted += [fields.get("nc", ""), fields.get("cnonce", ""), "auth"]
        expected = _md5(":".join([*wanted, _md5(f"{method}:{fields.get('uri', '')}".encode())]).encode())
        is_right = compare_digest(expected.encode(), fields.get("response", "").lower().encode())
        return name, is_right and fields.get("uri") == uri and self._is_fresh(nonce)

    def _is_fresh(self, nonce: str) -> bool:
        second, _, _ = nonce.partition("-")
        if not re.fullmatch("[0-9a-f]{1,12}", second):
            return False
        given = int(second, 16)
        is_ours = compare_digest(self._nonce(given).encode(), nonce.encode())
        return is_ours and 0 <= self._seconds() - given <= NONCE_S


def _md5(text: bytes) -> str:
    return md5(text, usedforsecurity=False).hexdigest()  # what cameras speak; the network of cameras is one's own


def _fields(text: str) -> dict[str, str]:
    return {name.lower(): quoted or bare for name, quoted, bare in _FIELD.findall(text[:2000])}


def _credentials(authorization: str) -> tuple[str, bytes]:
    """Return name and password of an HTTP Basic header, both empty when it is not one."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).partition(b":")
        return name.decode(), password
    except (binascii.Error, UnicodeDecodeError):
        return "", b""
