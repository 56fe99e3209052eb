"""Posts of anything that can be told to sign: the form of :mod:`edge.drivers.cameras.anlan`, and two headers.

    X-Anlan-Timestamp: 1795306500                    seconds since 1970, now
    X-Anlan-Signature: sha256=HEX                    HMAC-SHA256 of the secret over timestamp, ".", body

The secret itself never travels. A signature is taken within five minutes of its timestamp, and once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest, new
from typing import Final

from edge.drivers.cameras import Refused, Why
from edge.drivers.cameras.anlan import read_anlan

TIMESTAMP: Final = b"x-anlan-timestamp"
SIGNATURE: Final = b"x-anlan-signature"
WINDOW_MS: Final = 300_000
MOST_SEEN: Final = 4_096

read_webhook = read_anlan


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return what X-Anlan-Signature says of a body."""
    return f"sha256={new(secret, timestamp.encode() + b'.' + body, sha256).hexdigest()}"


class Signatures:
    """Checks what one camera signs."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._seen: dict[str, int] = {}  # signatures that were taken, and when they cease to be possible

    def check_time(self, headers: Mapping[bytes, str], now_ms: int) -> None:
        """Raise Refused where a post cannot be right, whatever its body: before anything of that is read."""
        timestamp = headers.get(TIMESTAMP, "")
        if not re.fullmatch("[0-9]{1,12}", timestamp) or not headers.get(SIGNATURE):
            raise Refused(Why.SIGN_IN, "X-Anlan-Timestamp (seconds) and X-Anlan-Signature (sha256=...) are missing")
        if abs(int(timestamp) * 1000 - now_ms) > WINDOW_MS:
            raise Refused(
                Why.REPLAYED, "signed more than five minutes from now", advice="set the clock of sender or gateway"
            )

    def check(self, headers: Mapping[bytes, str], body: bytes, now_ms: int) -> str:
        """Return the signature of a body; raises Refused where it is not right, or was taken before."""
        self._seen = {each: until for each, until in self._seen.items() if until >= now_ms}
        signature = headers.get(SIGNATURE, "")
        right = sign(self._secret, headers.get(TIMESTAMP, ""), body)
        if not compare_digest(right.encode(), signature.encode("latin-1", "replace")):
            raise Refused(Why.SIGN_IN, "not the signature of this body by this camera's secret")
        if right in self._seen:
            raise Refused(Why.REPLAYED, "this very post was taken before")
        if len(self._seen) >= MOST_SEEN:
            raise Refused(Why.REPLAYED, "too many posts within ten minutes to tell whether this one is new")
        return right

    def take(self, signature: str, now_ms: int) -> None:
        """Remember a signature whose post was taken."""
        self._seen[signature] = now_ms + 2 * WINDOW_MS
