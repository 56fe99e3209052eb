"""A message of a camera that somebody has saved, its body or the whole HTTP request."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from edge.contract.camera_config import CameraConfig
from edge.contract.camera_tables import OWN_WORDS
from edge.drivers.cameras import Refused, Sighting, Why
from edge.drivers.cameras.brands import reader_of
from edge.drivers.cameras.frigate_read import read_object, read_review

MOST_BYTES: Final = 16 * 1024 * 1024
FIRST_LINE: Final = re.compile(rb"(?:[A-Z]{3,7} \S{1,2000} HTTP/1\.[01]|HTTP/1\.[01] \d{3}[^\r\n]*)\r?\n")
HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
CONTENT_TYPE: Final = re.compile(rb"(?im)^content-type[ \t]*:[ \t]*([^\r\n]{0,200})")
CHUNKED: Final = re.compile(rb"(?im)^transfer-encoding[ \t]*:[ \t]*chunked")
CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,200}\r?\n")
PRESENCE: Final = re.compile("available|[^/]+/status/[^/]+")
BEGINNINGS: Final = ((b"--", "multipart/form-data"), (b"<", "application/xml"), (b"{", "application/json"))


def read_saved(camera: CameraConfig, saved: bytes, *, content_type: str = "") -> list[Sighting]:
    """Return what a saved message says, as the reader of the camera's brand takes it. Raises Refused.

    ``content_type`` goes before what the message itself shows; of Frigate it is the topic.
    """
    if len(saved) > MOST_BYTES:
        raise Refused(Why.TOO_LARGE, f"the file has more than {MOST_BYTES} bytes: one message is none of so many")
    if not saved.strip():
        raise Refused(Why.MALFORMED, "the file is empty")
    if camera.brand == "frigate":
        return _read_frigate(camera, saved, content_type)
    head, body = _split(saved)
    if CHUNKED.search(head):
        body = _unchunked(body)
    found = CONTENT_TYPE.search(head)
    said = content_type or (found[1].decode("latin-1").strip() if found else _guess(body))
    if not said and camera.brand in OWN_WORDS:
        raise Refused(Why.MALFORMED, "what the file is cannot be guessed: say it, such as --type application/json")
    return reader_of(camera.brand)(said, body, zone=camera.time_zone)


def _read_frigate(camera: CameraConfig, body: bytes, topic: str) -> list[Sighting]:
    inside = topic.partition("/")[2]
    if PRESENCE.fullmatch(inside):
        return []
    if inside.endswith("/snapshot"):
        raise Refused(Why.CONTENT, "a picture belongs to an event: by itself it raises nothing")
    told = (read_review if (topic.endswith("reviews") if topic else _is_review(body)) else read_object)(body)
    name = camera.channel or camera.id
    if told.camera != name:
        raise Refused(Why.CONTENT, f'it is of Frigate\'s camera "{told.camera}", and {camera.id} is "{name}"')
    return told.sightings


def _is_review(body: bytes) -> bool:
    try:
        return "severity" in msgspec.json.decode(body)["after"]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return False  # whoever reads it says what is wrong


def _split(saved: bytes) -> tuple[bytes, bytes]:
    end = HEAD_END.search(saved) if FIRST_LINE.match(saved) else None
    return (saved[: end.start()], saved[end.end() :]) if end else (b"", saved)


def _unchunked(body: bytes) -> bytes:
    """Put together what went over the network in pieces, each behind its length."""
    at, whole = 0, bytearray()
    while (size := CHUNK.match(body, at)) is not None:
        begin = size.end()
        end = begin + int(size[1], 16)
        if begin == end:
            return bytes(whole)
        whole += body[begin:end]
        at = end + (2 if body.startswith(b"\r\n", end) else 1)
    raise Refused(Why.MALFORMED, "chunked: the file ends before the last piece")


def _guess(body: bytes) -> str:
    text = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    return next((kind for begin, kind in BEGINNINGS if text.startswith(begin)), "")
