"""The session of a browser: its cookie, and the proof that a request was made on our own pages.

A cookie comes along with whatever another site makes a browser send, so a request that changes something must also have
a token that only our pages know (CSRF), and must not say that it comes from elsewhere. Requests with `Authorization`
need neither: no browser sends that by itself.
"""

import hmac
import secrets
from base64 import urlsafe_b64encode

from starlette.requests import HTTPConnection
from starlette.responses import Response

from cloud.registry.sign_in import DAY_MS, LONGEST_SESSION_MS

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "X-CSRF-Token"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1", "::ffff:127.0.0.1"})
_SALT_BYTES = 9
_KNOWN_MS = 365 * DAY_MS


def is_encrypted(request: HTTPConnection) -> bool:
    """Whether the browser reached us by https, perhaps through a proxy on this machine that says so."""
    return request.url.scheme in {"https", "wss"}


def is_private(request: HTTPConnection) -> bool:
    """Whether nobody can listen: by https, or on the machine itself. Only then may somebody sign in.

    The host alone proves nothing: a proxy that does not encrypt may name this machine, for whoever asks it.
    """
    is_local = request.client is not None and request.client.host in LOOPBACK
    return is_encrypted(request) or (is_local and request.url.hostname in LOOPBACK)


def cookie_name(request: HTTPConnection) -> str:
    """Return the cookie's name; `__Host-` keeps other hosts of the domain from setting it, and needs https."""
    return "__Host-anlan" if is_encrypted(request) else "anlan"


def secret_of(request: HTTPConnection) -> str | None:
    """Return the session's secret that the browser sent, if any."""
    return request.cookies.get(cookie_name(request))


def set_cookie(request: HTTPConnection, response: Response, secret: str) -> None:
    """Give the browser its session."""
    _set(request, response, cookie_name(request), secret, LONGEST_SESSION_MS)


def remember_browser(request: HTTPConnection, response: Response, password_hash: str) -> None:
    """Let this browser prove later that the person with this password came in from here."""
    _set(request, response, _known_name(request), _make_token(password_hash, "known"), _KNOWN_MS)


def is_known_browser(request: HTTPConnection, password_hash: str) -> bool:
    """Whether the person with this password came in from this browser before; a new password ends it."""
    return _is_token(password_hash, "known", request.cookies.get(_known_name(request), ""))


def clear_cookie(request: HTTPConnection, response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(cookie_name(request), secure=is_encrypted(request), httponly=True, samesite="lax")


def make_csrf_token(secret: str) -> str:
    """Return a token for a page of this session; each one looks different, so that compression tells nothing of it."""
    return _make_token(secret, "csrf")


def is_csrf_token(secret: str, token: str) -> bool:
    """Whether a token was made for this session."""
    return _is_token(secret, "csrf", token)


def is_from_elsewhere(request: HTTPConnection) -> bool:
    """Whether the browser says that another site made it send this."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}"


def _known_name(request: HTTPConnection) -> str:
    return f"{cookie_name(request)}-known"


def _set(request: HTTPConnection, response: Response, name: str, value: str, lasts_ms: int) -> None:
    is_secure = is_encrypted(request)
    response.set_cookie(name, value, max_age=lasts_ms // 1000, secure=is_secure, httponly=True, samesite="lax")


def _make_token(secret: str, purpose: str) -> str:
    salt = secrets.token_urlsafe(_SALT_BYTES)
    return f"{salt}.{_sign(secret, purpose, salt)}"


def _is_token(secret: str, purpose: str, token: str) -> bool:
    salt, _, signature = token.partition(".")
    return hmac.compare_digest(signature.encode(), _sign(secret, purpose, salt).encode())


def _sign(secret: str, purpose: str, salt: str) -> str:
    digest = hmac.digest(secret.encode(), f"{purpose} {salt}".encode(), "sha256")
    return urlsafe_b64encode(digest[:18]).decode()
