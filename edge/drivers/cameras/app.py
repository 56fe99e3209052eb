"""The HTTP side of cameras that post, a bare ASGI application.

    POST /v1/trigger                     the form of :mod:`edge.drivers.cameras.anlan`, for cameras of brand anlan
    POST /v1/cameras/{id}/{brand}        what a camera of that brand posts
    POST /v1/cameras/{id}/{brand}/{key}  the same by one that was asked to post there, see :class:`Door`
    GET  /healthz                        200 while the listener runs

Signing in is by HTTP Basic or Digest with the camera's id and password; a webhook signs instead, a key needs neither.

====== ===============================================================================================
status meaning
====== ===============================================================================================
200    a vendor's camera: taken; {"events": [ids]}, or why it is of no use here: nothing to send again. Empty by a key
202    committed on the gateway; {"event": id}. The same within same_within_s gives the same id again
204    heartbeat or end of something: no event
400    the body cannot be read as what its Content-Type says
401    no camera of this gateway, or not its password, or not its signature
408    the body did not come in time
409    signed long ago, or taken before
413    the body is larger than the configured limit (said before it is read where Content-Length tells)
422    well-formed, but the class or a part is not right: the text says what to change
429    too many wrong passwords from this address: wait for Retry-After
503    nothing was kept: send again after Retry-After
====== ===============================================================================================

Everything else than 200, 202 and 204 carries {"error": "one sentence"}. Each connection ends with its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from edge.contract.camera_config import CameraConfig
from edge.contract.camera_tables import OWN_WORDS
from edge.contract.clock import Clock
from edge.contract.readings import is_undated
from edge.drivers import NotStoredError
from edge.drivers.cameras import MOST_TEXT, Intake, Refused, Sighting, Why
from edge.drivers.cameras.access import WRONG, Access, Door, TooManyTriesError
from edge.drivers.cameras.brands import reader_of
from edge.drivers.cameras.webhook import Signatures
from edge.drivers.cameras.witness import NO_ANSWER, UNWATCHED, Away, Witness

Scope = dict[str, Any]
Document = dict[str, Any]

MOST_AT_ONCE: Final = 4  # posts held in memory; the others wait on their sockets
MOST_EVENT: Final = 128 * 1024  # bytes of a body beside its picture
LONGEST_KEY: Final = 200
NO_DOOR: Final = "no such path: only where gateway.yaml says push, the address that the camera is told ends in a key"
OLD_DOOR: Final = "the key is not the one that the camera was told: each start of the gateway makes another"
RETRY_AFTER_S: Final = 10
STATUS: Final[Mapping[Why, int]] = {
    Why.SIGN_IN: 401,
    Why.REPLAYED: 409,
    Why.TOO_LARGE: 413,
    Why.TOO_SLOW: 408,
    Why.MALFORMED: 400,
    Why.HOSTILE: 400,
    Why.CONTENT: 422,
    Why.UNMAPPED: 200,  # whatever we say, the camera would send it again
}


class Patience(NamedTuple):
    """How many real seconds a camera has for the headers and for the body, and is still heard after a refusal."""

    headers_s: float = 10.0
    body_s: float = 30.0
    linger_s: float = 5.0
    stop_s: float = 4.0  # for what is under way when the gateway stops


PATIENCE: Final = Patience()
log = structlog.get_logger()


class Poster(NamedTuple):
    """A camera that may post: its part of gateway.yaml, how it is let in, and where its sightings go."""

    camera: CameraConfig
    intake: Intake
    secret: bytes | None  # with which it signs in
    door: Door | None = None


class PostError(Exception):
    """A post that cannot be taken; ``status`` is the HTTP status, the text goes back to the camera."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _GoneError(Exception):
    """The camera closed the connection before its post was whole."""


class _Request(NamedTuple):
    """One request: its headers by lower-case name, and where its body comes from."""

    scope: Scope
    headers: Mapping[bytes, str]
    receive: Any

    @property
    def authorization(self) -> str:
        return self.headers.get(b"authorization", "")

    @property
    def address(self) -> str:
        return str(self.scope["client"][0]) if self.scope.get("client") else "unknown"


class CameraApp:
    """Answers cameras; one object serves all connections of one event loop."""

    def __init__(
        self,
        posters: Mapping[str, Poster],
        *,
        max_picture: int,
        clock: Clock,
        patience: Patience = PATIENCE,
        witness: Witness = UNWATCHED,
    ) -> None:
        self._posters, self._witness = posters, witness
        secrets = {name: each.secret for name, each in posters.items() if each.secret is not None}
        self._access = Access(secrets)
        self._signatures = {
            name: Signatures(secret) for name, secret in secrets.items() if posters[name].camera.brand == "webhook"
        }
        self._clock, self._patience = clock, patience
        self._max_picture = max_picture
        self._max_bytes = max_picture * 4 // 3 + MOST_EVENT  # a picture in base64 takes four bytes for three
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._under_way: set[asyncio.Timeout] = set()
        self._is_stopping = False

    def stop(self) -> None:
        """Leave what is under way a short while, so that nobody has to break it off."""
        self._is_stopping = True
        due = asyncio.get_running_loop().time() + self._patience.stop_s
        for each in self._under_way:
            each.reschedule(due)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        request = _Request(scope, headers, receive)
        try:
            await self._answer(send, *await self._route_in_time(request))
        except (PostError, Refused) as error:
            status = error.status if isinstance(error, PostError) else STATUS[error.why]
            if status != 429:
                log.warning("camera post refused", status=status, error=str(error), address=request.address)
            if not (isinstance(error, Refused) and error.is_counted):
                self._witness.turned_away(_away(request, status, str(error)))
            await self._answer(send, status, {"error": str(error)}, more=True)
            await _linger(receive, 0 if self._is_stopping else self._patience.linger_s)
            await send({"type": "http.response.body", "body": b""})
        except _GoneError:
            log.warning("camera hung up before its post was whole", address=request.address)
            self._witness.turned_away(_away(request, NO_ANSWER, "hung up before its post was whole"))

    async def _route_in_time(self, request: _Request) -> tuple[int, Document | None]:
        """Find the answer; raises PostError also where the gateway stops meanwhile."""
        try:
            async with asyncio.timeout(self._patience.stop_s if self._is_stopping else None) as limit:
                self._under_way.add(limit)
                try:
                    return await self._route(request)
                finally:
                    self._under_way.discard(limit)
        except TimeoutError as error:
            raise PostError(503, "the gateway stops: send again later") from error

    async def _route(self, request: _Request) -> tuple[int, Document | None]:
        method, path = request.scope["method"], request.scope["path"]
        if (method, path) == ("GET", "/healthz"):
            return 200, {"status": "ok"}
        parts = path.split("/")
        is_ours = path == "/v1/trigger" or (len(parts) in {5, 6} and parts[:3] == ["", "v1", "cameras"])
        if not is_ours:
            more = "/..." if len(parts) > 5 else ""  # what comes behind may be a key
            shown = "/".join(parts[:5])[:100] + more
            raise PostError(404, f"no such path {shown!r}: post to /v1/trigger or /v1/cameras/ID/BRAND")
        if method != "POST":
            raise PostError(405, f"{method[:20]} is not possible here: use POST")
        name, brand = (parts[3], parts[4]) if len(parts) > 4 else (Access.claimed(request.authorization), "anlan")
        poster = self._posters.get(name)
        try:
            door_key = parts[5] if len(parts) == 6 else None
            return await self._take(request, poster if poster and poster.camera.brand == brand else None, door_key)
        except Refused as refused:
            if poster is not None:
                poster.intake.refuse(refused)
            raise

    async def _take(
        self, request: _Request, poster: Poster | None, door_key: str | None
    ) -> tuple[int, Document | None]:
        is_signed = poster is not None and poster.camera.brand == "webhook"
        if door_key is not None:
            if poster is None or poster.door is None:
                raise PostError(404, NO_DOOR)
            if not poster.door.is_opened_by(door_key):
                raise Refused(Why.SIGN_IN, OLD_DOOR)
        elif poster is None:
            own = self._posters[self._sign_in(request)].camera
            raise Refused(Why.CONTENT, f"{own.id} is of brand {own.brand}: it posts to {own.post_path}")
        elif not is_signed and self._sign_in(request) != poster.camera.id:
            raise Refused(Why.SIGN_IN, "signed in as another camera than the path names")
        if is_signed:
            self._check_time(request, poster)
        if int(request.headers.get(b"content-length", "0")) > self._max_bytes:
            raise self._too_large()
        async with self._place():
            body = await self._body(request.receive)
            signature = self._check_signature(request, poster, body) if is_signed else ""
            if not self._witness.wants(poster.camera.id):
                raise PostError(503, "not kept: other cameras are being set up")
            poster.intake.hear()
            content_type = request.headers.get(b"content-type", "")
            sightings = reader_of(poster.camera.brand)(content_type, body, zone=poster.camera.time_zone)
            key = request.headers.get(b"idempotency-key", "")
            events = await self._keep_all(poster, sightings, key)
            if signature:
                self._signatures[poster.camera.id].take(signature, self._clock.now_ms())
        return (200, None) if door_key is not None else _answer_of(poster.camera, events)

    def _sign_in(self, request: _Request) -> str:
        """Return the id of the camera that signs in; raises PostError and Refused."""
        if not request.authorization:  # a camera that signs in by Digest asks first: nothing of it is refused yet
            raise PostError(401, WRONG)
        query = request.scope.get("query_string", b"").decode("latin-1")
        uri = request.scope["path"] + (f"?{query}" if query else "")
        try:
            return self._access.camera(request.authorization, request.address, uri=uri)
        except TooManyTriesError as error:
            raise PostError(429, str(error)) from error

    def _check_time(self, request: _Request, poster: Poster) -> None:
        if is_undated(self._clock.now_ms()):
            raise PostError(503, "the gateway does not know the time yet, so it cannot check signatures: send again")
        try:
            self._access.tries.check(request.address)
        except TooManyTriesError as error:
            raise PostError(429, str(error)) from error
        self._signatures[poster.camera.id].check_time(request.headers, self._clock.now_ms())

    def _check_signature(self, request: _Request, poster: Poster, body: bytes) -> str:
        try:
            signature = self._signatures[poster.camera.id].check(request.headers, body, self._clock.now_ms())
        except Refused as refused:
            if refused.why is Why.SIGN_IN:
                self._access.tries.note_wrong(request.address)
            raise
        self._access.tries.forget(request.address)
        return signature

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

    async def _body(self, receive: Any) -> bytes:
        """Return a body that is bounded in size and time; raises Refused."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._patience.body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    if len(body) + len(message["body"]) > self._max_bytes:
                        raise self._too_large()
                    body += message["body"]
                    if not message["more_body"]:
                        return bytes(body)
        except TimeoutError as error:
            raise Refused(Why.TOO_SLOW, f"the body did not come within {self._patience.body_s:g} s") from error

    def _too_large(self) -> Refused:
        most = f"{self._max_picture / 1_048_576:.4g} MiB (camera_listener.max_mb)"
        return Refused(
            Why.TOO_LARGE, f"a picture may have {most}", advice="set a lower quality or resolution in the camera"
        )

    async def _keep_all(self, poster: Poster, sightings: Sequence[Sighting], key: str) -> list[str]:
        """Hand all on, also those behind one that is refused, and return the ids of their events; raises the first."""
        events, refused = [], []
        for sighting in sightings:
            try:
                event = await self._keep(poster, sighting, key)
            except Refused as error:
                poster.intake.refuse(error)
                refused.append(error)
            else:
                events += [event] if event else []
        if refused:
            raise refused[0]
        return events

    async def _keep(self, poster: Poster, sighting: Sighting, key: str) -> str | None:
        """Hand a sighting on, and return its event's id; raises PostError, and Refused that is counted."""
        if len(key) > LONGEST_KEY:
            raise PostError(400, f"Idempotency-Key has {len(key)} characters, at most {LONGEST_KEY} are possible")
        if key and sighting.state == "pulse":
            sighting = sighting._replace(id=sha256(key.encode("latin-1")).hexdigest())
        if len(sighting.picture or b"") > self._max_picture:
            raise self._too_large()
        try:
            return await poster.intake.take(sighting)
        except NotStoredError as error:
            raise PostError(503, f"not kept: {error}") from error

    async def _answer(self, send: Any, status: int, document: Document | None, *, more: bool = False) -> None:
        """Send a whole answer; with ``more`` the connection stays until an empty piece ends it."""
        body = b"" if document is None else msgspec.json.encode(document)
        headers = [(b"connection", b"close")]
        if document is not None:
            headers.append((b"content-type", b"application/json"))
        if status != 204:
            headers.append((b"content-length", str(len(body)).encode()))
        if status == 401:
            headers += [(b"www-authenticate", each.encode()) for each in self._access.challenge()]
        if status in {429, 503}:
            headers.append((b"retry-after", str(60 if status == 429 else RETRY_AFTER_S).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": more})


def _away(request: _Request, status: int, text: str) -> Away:
    path = "/".join(request.scope["path"].split("/")[:5])  # what comes behind may be a key
    name = Access.claimed(request.authorization)
    return Away(status, text, request.address, name[:MOST_TEXT], path[:MOST_TEXT])


def _answer_of(camera: CameraConfig, events: list[str]) -> tuple[int, Document | None]:
    if camera.brand not in OWN_WORDS:
        return 200, {"events": events}
    return (202, {"event": events[0]}) if events else (204, None)


async def _linger(receive: Any, seconds: float) -> None:
    """Throw away what still comes, for a while: most cameras send all before they look at the answer."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect" or not message["more_body"]:
                    return
    except TimeoutError:
        return
