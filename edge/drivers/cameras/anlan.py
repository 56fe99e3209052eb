"""Our own form, for cameras and programs that can be told what to send: what a post says once its body is there.

Two forms, the same content::

    multipart/form-data   part "event": the JSON below; part "picture", may be absent: a JPEG
    application/json      the JSON below, and "picture", may be absent: a JPEG in base64

    {"class": "CAM.GARBAGE", "time": "2026-11-22T08:15:00+08:00", "note": "north gate", "state": "active"}

Only ``class`` is required: an event class, or a word that ``map`` of gateway.yaml knows. ``state``:

========= =============================================================================================================
active    something was seen, and nothing will say when it is over; the default. Of an ``id``, where given
begin     something begins; ``id``, where given, names it
end       it is over; of an ``id``, where given
inactive  the same as end; of "videoloss" it is the heartbeat that cameras send so
heartbeat the camera is there
========= =============================================================================================================

Without ``time`` the event is stamped on arrival and its note says so.
"""

from __future__ import annotations

import logging
from datetime import tzinfo
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from edge.drivers.cameras import JPEG_START, KEPT_MS, CameraTime, Refused, Sighting, State, Why, read_time

MAX_EVENT: Final = 64 * 1024  # bytes of the event's JSON in a multipart post
LONGEST_BOUNDARY: Final = 200
HEARTBEAT: Final = "videoloss"
STATES: Final[dict[str, State]] = {
    "active": "pulse",
    "begin": "begin",
    "end": "end",
    "inactive": "end",
    "heartbeat": "heartbeat",
}

# It warns of every post that it cannot read, which is refused, counted and told here: twice, at a stranger's will.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class Post(Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON of a post, checked for shape."""

    class_code: Annotated[str, Meta(max_length=64)] = msgspec.field(name="class")
    time: Annotated[str, Meta(max_length=64)] | None = None
    note: Annotated[str, Meta(max_length=400)] = ""
    state: Literal["active", "begin", "end", "inactive", "heartbeat"] = "active"
    id: Annotated[str, Meta(max_length=64)] = ""
    channel: Annotated[str, Meta(max_length=64)] = ""
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    picture: bytes | None = None  # base64 in JSON


def read_anlan(content_type: str, body: bytes, *, zone: tzinfo | None) -> list[Sighting]:
    """Read a post; raises Refused with one sentence for whoever sets up the camera."""
    media_type, options = parse_options_header(content_type)
    if media_type == b"application/json":
        post = _parse(body)
    elif media_type == b"multipart/form-data":
        post = _read_multipart(options.get(b"boundary", b""), body)
    else:
        raise Refused(
            Why.MALFORMED, f'Content-Type "{content_type[:100]}" is neither multipart/form-data nor application/json'
        )
    if post.class_code == HEARTBEAT and post.state == "inactive":
        return [Sighting(HEARTBEAT, "heartbeat")]
    if post.picture is not None and not post.picture.startswith(JPEG_START):
        raise Refused(Why.CONTENT, "picture is not a JPEG: it does not begin with FF D8 FF")
    at_ms, said_at = read_time(post.time, zone) if post.time else CameraTime(None, "")
    return [
        Sighting(
            post.class_code,
            STATES[post.state],
            at_ms,
            channel=post.channel,
            id=post.id,
            note=post.note,
            picture=post.picture,
            score=post.score,
            said_at=said_at,
            late_ms=KEPT_MS,
        )
    ]


def _parse(document: bytes) -> Post:
    try:
        return msgspec.json.decode(document, type=Post)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        why = Why.CONTENT if isinstance(error, msgspec.ValidationError) else Why.MALFORMED
        raise Refused(why, f"event: {' '.join(str(error).split())[:300]}") from error


def _read_multipart(said: bytes, body: bytes) -> Post:
    """Take the parts. The first line is believed over the header, which some cameras get wrong."""
    parts = _Parts()
    try:
        parts.parser(_boundary(body[: LONGEST_BOUNDARY + 4], said)).write(body)
    except FormParserError as error:
        raise Refused(Why.MALFORMED, f"multipart: {error}") from error
    if not parts.is_whole:
        raise Refused(Why.MALFORMED, "multipart: the body ends before its closing boundary")
    return parts.post()


def _boundary(head: bytes, said: bytes) -> bytes:
    line = head.split(b"\r\n", 1)[0]
    boundary = line[2:] if line.startswith(b"--") else said
    if not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise Refused(Why.MALFORMED, "multipart: neither the Content-Type header nor the first line names a boundary")
    return boundary


class _Parts:
    """Collects the parts "event" and "picture"; the size of the whole is bounded by whoever has the body."""

    def __init__(self) -> None:
        self.is_whole = False
        self._parts: dict[str, bytearray] = {}
        self._header = self._value = b""
        self._disposition = b""
        self._part = bytearray()

    def parser(self, boundary: bytes) -> MultipartParser:
        """Return a parser that feeds this collector."""
        return MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._take_header,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._take,
                "on_end": self._finish,
            },
        )

    def post(self) -> Post:
        """Return the post once it is whole; raises Refused."""
        if "event" not in self._parts:
            raise Refused(Why.CONTENT, 'multipart: part "event" is missing')
        post = _parse(bytes(self._parts["event"]))
        if "picture" not in self._parts:
            return post
        if post.picture is not None:
            raise Refused(Why.CONTENT, "picture is there twice: in the event and as a part")
        return msgspec.structs.replace(post, picture=bytes(self._parts["picture"]))

    def _begin(self) -> None:
        self._header = self._value = self._disposition = b""

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _open(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"name", b"").decode("latin-1")
        if name not in {"event", "picture"}:
            raise Refused(Why.CONTENT, f'multipart: part "{name[:40]}" is neither "event" nor "picture"')
        if name in self._parts:
            raise Refused(Why.CONTENT, f'multipart: part "{name}" is there twice')
        self._part = self._parts[name] = bytearray()

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._part += data[start:end]
        if self._part is self._parts.get("event") and len(self._part) > MAX_EVENT:
            raise Refused(Why.TOO_LARGE, f"event has more than {MAX_EVENT} bytes")

    def _finish(self) -> None:
        self.is_whole = True
