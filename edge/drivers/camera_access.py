"""Who may post: one password per camera, compared in constant time; wrong ones are limited per address."""

from __future__ import annotations

import base64
import binascii
import time
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple

from edge.drivers.camera_post import PostError

WRONG_TRIES: Final = 5
WITHIN_S: Final = 60.0
MOST_ADDRESSES: Final = 1024
NOBODY: Final = sha256(b"no camera has this password").digest()


class Camera(NamedTuple):
    """A camera that may post: its id, the SHA-256 of its password, the event classes it may send."""

    id: str
    password_sha256: bytes
    classes: tuple[str, ...]


class Access:
    """Tells which camera is posting."""

    def __init__(self, cameras: Mapping[str, Camera], *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._cameras = cameras
        self._seconds = seconds
        self._wrong: dict[str, deque[float]] = {}  # address: when its last wrong tries were

    def camera(self, authorization: str, address: str) -> Camera:
        """Return the camera whose id and password an Authorization header holds; raises PostError 401 or 429."""
        now = self._seconds()
        tries = self._wrong.get(address)
        if tries is not None and len(tries) == WRONG_TRIES and now - tries[0] < WITHIN_S:
            raise PostError(429, f"{WRONG_TRIES} wrong passwords from {address}: wait a minute")
        name, password = _credentials(authorization)
        camera = self._cameras.get(name)
        # An unknown name takes as long as a wrong password, so that names cannot be found out.
        is_right = compare_digest(sha256(password).digest(), camera.password_sha256 if camera else NOBODY)
        if camera is None or not is_right:
            self._note_wrong(address, now)
            raise PostError(401, "no camera of this gateway, or not its password")
        self._wrong.pop(address, None)
        return camera

    def _note_wrong(self, address: str, now: float) -> None:
        if address not in self._wrong and len(self._wrong) >= MOST_ADDRESSES:
            del self._wrong[next(iter(self._wrong))]  # the one that began first
        self._wrong.setdefault(address, deque(maxlen=WRONG_TRIES)).append(now)


def _credentials(authorization: str) -> tuple[str, bytes]:
    """Return name and password of an HTTP Basic header (RFC 7617), both empty when it is not one."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", b""
    try:
        name, _, password = base64.b64decode(encoded, validate=True).partition(b":")
        return name.decode(), password
    except (binascii.Error, UnicodeDecodeError):
        return "", b""
