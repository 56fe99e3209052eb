"""What a camera posts: reading the body in pieces, and what it says once it is whole.

Two forms, the same content::

    multipart/form-data   part "event": the JSON below; part "picture", may be absent: a JPEG
    application/json      the JSON below, and "picture", may be absent: a JPEG in base64

    {"class": "CAM.GARBAGE", "time": "2026-11-22T08:15:00+08:00", "note": "north gate", "state": "active"}

Only ``class`` is required. Without ``time`` the event is stamped on arrival and its note says so. ``state`` "inactive"
is the end of something, or the heartbeat that cameras send as "videoloss inactive": no event.

Everything wrong is a :class:`PostError` with the HTTP status and one sentence for whoever sets up the camera.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from edge.contract.config_file import nearest
from edge.contract.readings import is_undated

MAX_EVENT: Final = 64 * 1024  # bytes of the event's JSON in a multipart post
MAX_FUTURE_MS: Final = 600_000  # the cloud refuses what lies further ahead
LONGEST_BOUNDARY: Final = 200
JPEG_START: Final = b"\xff\xd8\xff"
HEARTBEAT: Final = "videoloss"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class PostError(Exception):
    """A post that cannot be taken; ``status`` is the HTTP status, the text goes back to the camera."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Post(Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON of a post, checked for shape."""

    class_code: Annotated[str, Meta(max_length=64)] = msgspec.field(name="class")
    time: Annotated[str, Meta(max_length=64)] | None = None
    note: Annotated[str, Meta(max_length=400)] = ""
    state: Literal["active", "inactive"] = "active"
    picture: bytes | None = None  # base64 in JSON


class Finding(NamedTuple):
    """What a post says: milliseconds UTC and whether the camera itself gave them, the note, the picture."""

    class_code: str
    taken_at: int
    is_stamped_here: bool
    note: str
    picture: bytes | None


async def read_post(content_type: str, body: AsyncIterator[bytes]) -> Post:
    """Read a body that its sender bounds in size and time; raises PostError."""
    media_type, options = parse_options_header(content_type)
    if media_type == b"application/json":
        return _parse(b"".join([piece async for piece in body]))
    if media_type == b"multipart/form-data":
        return await _read_multipart(options.get(b"boundary", b""), body)
    raise PostError(415, f'Content-Type "{content_type}" is neither multipart/form-data nor application/json')


def judge_post(post: Post, *, camera: str, classes: Iterable[str], now_ms: int) -> Finding | None:
    """Return what a post reports, None for an end or a heartbeat, which are no events; raises PostError."""
    classes = list(classes)
    if post.state == "inactive" and post.class_code in {HEARTBEAT, *classes}:
        return None
    if post.class_code not in classes:
        hint = nearest(post.class_code, classes) or f" (it may send {', '.join(classes)})"
        raise PostError(422, f'class "{post.class_code}" is not one of camera {camera}{hint}')
    if post.picture is not None and not post.picture.startswith(JPEG_START):
        raise PostError(415, "picture is not a JPEG: it does not begin with FF D8 FF")
    taken_at = now_ms if post.time is None else _milliseconds(post.time, now_ms)
    note = "; ".join(filter(None, [post.note, "" if post.time else "camera sent no time: stamped on arrival"]))
    return Finding(post.class_code, taken_at, post.time is None, note, post.picture)


def _parse(document: bytes) -> Post:
    try:
        return msgspec.json.decode(document, type=Post)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        status = 422 if isinstance(error, msgspec.ValidationError) else 400
        raise PostError(status, f"event: {' '.join(str(error).split())[:300]}") from error


def _milliseconds(text: str, now_ms: int) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        reason = "is no date and time: set the camera's clock, write 2026-11-22T08:15:00+08:00, or leave it out"
        raise PostError(422, f'time "{text}" {reason}') from error
    if time.tzinfo is None:
        raise PostError(422, f'time "{text}" has no zone: write +08:00 or Z behind it, or leave it out')
    taken_at = (time - EPOCH) // timedelta(milliseconds=1)
    if is_undated(taken_at):
        raise PostError(422, f'time "{text}" is long past: set the camera\'s clock, or leave it out')
    if not is_undated(now_ms) and taken_at > now_ms + MAX_FUTURE_MS:
        raise PostError(422, f'time "{text}" is more than 10 minutes ahead: set the clock of camera or gateway')
    return taken_at


async def _read_multipart(said: bytes, body: AsyncIterator[bytes]) -> Post:
    """Take the parts as they come. The first line is believed over the header, which some cameras get wrong."""
    parts = _Parts()
    head = b""
    try:
        async for piece in body:
            head += piece
            if b"\r\n" in head or len(head) > LONGEST_BOUNDARY:
                break
        parser = parts.parser(_boundary(head, said))
        parser.write(head)
        async for piece in body:
            parser.write(piece)
    except FormParserError as error:
        raise PostError(400, f"multipart: {error}") from error
    if not parts.is_whole:
        raise PostError(400, "multipart: the body ends before its closing boundary")
    return parts.post()


def _boundary(head: bytes, said: bytes) -> bytes:
    line = head.split(b"\r\n", 1)[0]
    boundary = line[2:] if line.startswith(b"--") else said
    if not 0 < len(boundary) <= LONGEST_BOUNDARY:
        raise PostError(400, "multipart: neither the Content-Type header nor the first line names a boundary")
    return boundary


class _Parts:
    """Collects the parts "event" and "picture"; the size of the whole is bounded by whoever feeds it."""

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
        """Return the post once it is whole; raises PostError."""
        if "event" not in self._parts:
            raise PostError(422, 'multipart: part "event" is missing')
        post = _parse(bytes(self._parts["event"]))
        if "picture" not in self._parts:
            return post
        if post.picture is not None:
            raise PostError(422, "picture is there twice: in the event and as a part")
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
            raise PostError(422, f'multipart: part "{name[:40]}" is neither "event" nor "picture"')
        if name in self._parts:
            raise PostError(422, f'multipart: part "{name}" is there twice')
        self._part = self._parts[name] = bytearray()

    def _take(self, data: bytes, start: int, end: int) -> None:
        self._part += data[start:end]
        if self._part is self._parts.get("event") and len(self._part) > MAX_EVENT:
            raise PostError(413, f"event has more than {MAX_EVENT} bytes")

    def _finish(self) -> None:
        self.is_whole = True
