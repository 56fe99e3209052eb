"""The HTTP side of the camera listener, a bare ASGI application.

    POST /v1/trigger   HTTP Basic with the camera's id and password; bodies as in :mod:`edge.drivers.camera_post`
    GET  /healthz      200 while the listener runs

====== ===============================================================================================
status meaning
====== ===============================================================================================
202    committed on the gateway; {"event": id}. The same post within a minute gives the same id again
204    heartbeat or end of something: no event
400    the body cannot be read as what its Content-Type says
401    no camera of this gateway, or not its password
408    the body did not come in time
413    the body is larger than the configured limit (said before it is read where Content-Length tells)
415    neither of the two content types, or the picture is no JPEG
422    well-formed, but the class, the time or a part is not right: the text says what to change
429    too many wrong passwords from this address: wait for Retry-After
503    nothing was kept: send again after Retry-After
====== ===============================================================================================

Everything but 202 and 204 carries {"error": "one sentence"}. Each connection ends with its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from edge.contract.clock import Clock
from edge.drivers import NotStoredError
from edge.drivers.camera_access import Access, Camera
from edge.drivers.camera_post import Finding, Post, PostError, judge_post, read_post

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MOST_AT_ONCE: Final = 4  # posts held in memory; the others wait on their sockets
MOST_EVENT: Final = 128 * 1024  # bytes of a body beside its picture
SAME_WITHIN_MS: Final = 60_000
LONGEST_KEY: Final = 200
RETRY_AFTER_S: Final = 10


class Patience(NamedTuple):
    """How many real seconds a camera has for the headers and for the body, and is still heard after a refusal."""

    headers_s: float = 10.0
    body_s: float = 30.0
    linger_s: float = 5.0


PATIENCE: Final = Patience()
log = structlog.get_logger()


class CameraTrigger(NamedTuple):
    """One thing a camera saw. ``id`` (32 hex) is the same when the camera sends it again."""

    id: str
    camera: str
    class_code: str
    taken_at: int
    note: str
    picture: bytes | None
    media_type: str = "image/jpeg"


OnTrigger = Callable[[CameraTrigger], Awaitable[None]]
"""Returns once the trigger is committed; raises NotStoredError where it cannot be, and the camera sends it again."""


class _GoneError(Exception):
    """The camera closed the connection before its post was whole."""


class CameraApp:
    """Answers cameras; one object serves all connections of one event loop."""

    def __init__(
        self,
        cameras: Mapping[str, Camera],
        *,
        max_picture: int,
        clock: Clock,
        on_trigger: OnTrigger,
        patience: Patience,
    ) -> None:
        self._access = Access(cameras)
        self._clock, self._on_trigger, self._patience = clock, on_trigger, patience
        self._max_picture = max_picture
        self._max_bytes = max_picture * 4 // 3 + MOST_EVENT  # a picture in base64 takes four bytes for three
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._commit = asyncio.Lock()
        self._recent: dict[bytes, tuple[int, str]] = {}  # what was posted: when, and its event id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await _answer(send, *await self._route(scope, receive))
        except PostError as error:
            if error.status != 429:
                log.warning("camera post refused", status=error.status, error=str(error), address=_address(scope))
            await _answer(send, error.status, {"error": str(error)}, more=True)
            await _linger(receive, self._patience.linger_s)
            await send({"type": "http.response.body", "body": b""})
        except _GoneError:
            log.warning("camera hung up before its post was whole", address=_address(scope))

    async def _route(self, scope: Scope, receive: Receive) -> tuple[int, dict[str, str] | None]:
        match scope["method"], scope["path"]:
            case "GET", "/healthz":
                return 200, {"status": "ok"}
            case "POST", "/v1/trigger":
                event = await self._take(scope, receive)
                return (202, {"event": event}) if event else (204, None)
            case method, "/v1/trigger":
                raise PostError(405, f"{method} is not possible here: use POST")
            case _, path:
                raise PostError(404, f"no such path {path!r}: post to /v1/trigger")

    async def _take(self, scope: Scope, receive: Receive) -> str | None:
        """Return the event id of a post, None where it is no event; raises PostError."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        camera = self._access.camera(headers.get(b"authorization", ""), _address(scope))
        if int(headers.get(b"content-length", "0")) > self._max_bytes:
            raise self._too_large()
        async with self._place():
            post = await self._receive(headers.get(b"content-type", ""), receive)
            if len(post.picture or b"") > self._max_picture:
                raise self._too_large()
            finding = judge_post(post, camera=camera.id, classes=camera.classes, now_ms=self._clock.now_ms())
            return await self._keep(camera.id, finding, headers.get(b"idempotency-key", "")) if finding else None

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Hold one of the places for posts in memory; raises PostError 503 when none becomes free in time."""
        try:
            async with asyncio.timeout(2 * self._patience.body_s):  # longer than anyone can hold one without posting
                await self._places.acquire()
        except TimeoutError as error:
            raise PostError(503, "busy with other posts: send again later") from error
        try:
            yield
        finally:
            self._places.release()

    async def _receive(self, content_type: str, receive: Receive) -> Post:
        try:
            async with asyncio.timeout(self._patience.body_s):
                return await read_post(content_type, self._body(receive))
        except TimeoutError as error:
            raise PostError(408, f"the body did not come within {self._patience.body_s:g} s") from error

    async def _body(self, receive: Receive) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            size += len(message["body"])
            if size > self._max_bytes:
                raise self._too_large()
            yield message["body"]
            if not message["more_body"]:
                return

    def _too_large(self) -> PostError:
        most = f"{self._max_picture / 1_048_576:.4g} MiB (camera_listener.max_mb)"
        return PostError(413, f"a picture may have {most}: set a lower quality or resolution in the camera")

    async def _keep(self, camera: str, finding: Finding, key: str) -> str:
        """Hand a finding on unless it has just been, and return its event id; raises PostError."""
        if len(key) > LONGEST_KEY:
            raise PostError(400, f"Idempotency-Key has {len(key)} characters, at most {LONGEST_KEY} are possible")
        same = _fingerprint(camera, finding, key)
        async with self._commit:
            now = self._clock.monotonic_ms()
            self._recent = {name: seen for name, seen in self._recent.items() if now - seen[0] < SAME_WITHIN_MS}
            if same in self._recent:
                return self._recent[same][1]
            # With its time in it, the id is the same after a restart too, wherever the camera gives the time itself.
            event = sha256(same + finding.taken_at.to_bytes(8, "big")).hexdigest()[:32]
            trigger = CameraTrigger(event, camera, finding.class_code, finding.taken_at, finding.note, finding.picture)
            try:
                await self._on_trigger(trigger)
            except NotStoredError as error:
                raise PostError(503, f"not kept: {error}") from error
            self._recent[same] = (now, event)
            log.info("camera trigger kept", camera=camera, class_code=finding.class_code, event_id=event)
            return event


def _fingerprint(camera: str, finding: Finding, key: str) -> bytes:
    """Name what was posted: by the camera's own key, else by content (without a time that is not the camera's)."""
    taken_at = None if finding.is_stamped_here else finding.taken_at
    picture = sha256(finding.picture or b"").hexdigest()
    what = [camera, key] if key else [camera, finding.class_code, taken_at, finding.note, picture]
    return sha256(msgspec.json.encode(what)).digest()


def _address(scope: Scope) -> str:
    return str(scope["client"][0]) if scope.get("client") else "unknown"


async def _answer(send: Send, status: int, document: dict[str, str] | None, *, more: bool = False) -> None:
    """Send a whole answer; with ``more`` the connection stays until an empty piece ends it."""
    body = b"" if document is None else msgspec.json.encode(document)
    headers = [(b"connection", b"close")]
    if document is not None:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="anlan", charset="UTF-8"'))
    if status in {429, 503}:
        headers.append((b"retry-after", str(60 if status == 429 else RETRY_AFTER_S).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _linger(receive: Receive, seconds: float) -> None:
    """Throw away what still comes, for a while: most cameras send all before they look at the answer."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
    except TimeoutError:
        return
