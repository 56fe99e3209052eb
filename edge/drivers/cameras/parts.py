"""Multipart bodies as cameras send them, whole or without end. Pure.

Learned from the issues of those who read such streams (mezz64/pyHik 14 and 62, rroller/dahua 166, 404 and 504,
iobroker-community-adapters/ioBroker.hikvision-alarmserver 5 and 7):

- The boundary of the header is often not that of the body, so the first line that begins with ``--`` is believed.
- Content-Length of a part may be absent or wrong: it is believed only where a boundary, or nothing yet, comes after it.
- A part ends with the next boundary, which on a live stream may come a minute later. So a part whose own syntax says
  that it is whole is given away at its Content-Length, or at the next :meth:`Parts.pause`.
- Line ends are CRLF, LF or both, with blank lines before the boundary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from edge.drivers.cameras import Refused, Why

MOST_PART: Final = 4 * 1024 * 1024  # bytes of one part: a picture of 4K
MOST_HEAD: Final = 8 * 1024
MOST_PARTS: Final = 64  # in one post
LONGEST_BOUNDARY: Final = 200
JPEG_BEGIN: Final = b"\xff\xd8\xff"
JPEG_END: Final = b"\xff\xd9"

_BLANK: Final = re.compile(rb"[\r\n]+")
_HEADER: Final = re.compile(rb"[\w.-]+[ \t]*:")
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_LENGTH: Final = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,9})[ \t]*\r?$")
_KIND: Final = re.compile(rb"(?im)^content-type[ \t]*:[ \t]*([^\r\n]{0,200})")
_FIRST_TAG: Final = re.compile(rb"<([A-Za-z_][\w:.-]{0,99})")
_LAST_TAG: Final = re.compile(rb"</([\w:.-]{1,100})\s*>\Z")
_OPTION: Final = re.compile(rb'\b(?:file)?name="?([^";\r\n]{0,200})')


class Part(NamedTuple):
    """One part: what its header says it is, the names it gives itself (never names of files of ours), its bytes."""

    content_type: str
    names: str
    body: bytes

    @property
    def is_picture(self) -> bool:
        """Whether it is a JPEG, whatever its header says."""
        return self.body.startswith(JPEG_BEGIN)


class Parts:
    """Takes a multipart body in pieces of any size and gives its parts."""

    def __init__(self, *, most_part: int = MOST_PART) -> None:
        self._most_part = most_part
        self._buffer = bytearray()
        self._seen = 0  # bytes of the buffer in which there is no boundary
        self._boundary = b""
        self._head: bytes | None = None  # of the part that is under way
        self._length: int | None = None
        self._is_over = False

    def feed(self, data: bytes) -> Iterator[Part]:
        """Take a piece and give the parts that are whole now. Raises Refused, after which nothing can be fed."""
        self._buffer += data
        while not self._is_over:
            if not self._boundary and not self._find_boundary():
                return
            if self._head is None:
                if not self._find_head():
                    return
                continue
            part = self._next_part()
            if part is None:
                return
            if part.body:
                yield part
        self._buffer.clear()

    def pause(self) -> Part | None:
        """Give the part under way, if it is whole by its own syntax: nothing has come for a while."""
        if self._head is None or not _is_whole(self._buffer):
            return None
        return self._give(len(self._buffer))

    def finish(self) -> Part | None:
        """Give what is left at the end of the body: some senders leave out the closing boundary."""
        if self._is_over or not self._boundary or not self._buffer.strip():
            return None
        return self._give(len(self._buffer))

    def _find_boundary(self) -> bool:
        """Skip what stands before the first line that begins with two hyphens."""
        begin = 0 if self._buffer.startswith(b"--") else self._buffer.find(b"\n--") + 1
        if begin == 0 and not self._buffer.startswith(b"--"):
            self._bound(self._buffer, MOST_HEAD, "multipart: no boundary")
            return False
        end = self._buffer.find(b"\n", begin)
        if end < 0:
            self._bound(self._buffer[begin:], LONGEST_BOUNDARY, "multipart: a boundary without end")
            return False
        line = bytes(self._buffer[begin:end]).rstrip()
        if not 2 < len(line) <= LONGEST_BOUNDARY:
            raise Refused(Why.MALFORMED, "multipart: the first line names no boundary")
        self._boundary = line
        del self._buffer[: end + 1]
        return True

    def _find_head(self) -> bool:
        """Read the header of a part, which may be absent; True when there may be more to read."""
        self._skip_to_head()
        if self._is_over:
            return True
        line_end = self._buffer.find(b"\n", 0, MOST_HEAD)
        if line_end >= 0 and not _HEADER.match(self._buffer):
            return self._begin(0, 0)
        found = _HEAD_END.search(self._buffer, 0, MOST_HEAD)
        if found is None:
            self._bound(self._buffer, MOST_HEAD, "multipart: no end of the header of a part")
            return False
        return self._begin(found.start(), found.end())

    def _begin(self, end: int, consumed: int) -> bool:
        self._head = bytes(self._buffer[:end])
        length = _LENGTH.search(self._head)
        self._length = int(length[1]) if length else None
        self._seen = 0
        del self._buffer[:consumed]
        return True

    def _skip_to_head(self) -> None:
        """Take off blank lines and boundaries that stand before a header, and see whether it was the last boundary."""
        while True:
            blank = _BLANK.match(self._buffer)
            del self._buffer[: blank.end() if blank else 0]
            if not self._buffer.startswith(self._boundary):
                return
            end = self._buffer.find(b"\n")
            line = self._buffer[len(self._boundary) : end if end >= 0 else None]
            if line.startswith(b"--"):
                self._is_over = True
                return
            if end < 0:
                return
            del self._buffer[: end + 1]

    def _next_part(self) -> Part | None:
        """Give the part under way if its end has come; else None."""
        if self._length is not None and self._is_right_length(self._length):
            return self._give(self._length)
        at = self._find_end()
        if at >= 0:
            return self._give(at)
        self._bound(self._buffer, self._most_part, "multipart: no end of a part")
        return None

    def _is_right_length(self, length: int) -> bool:
        """Whether a boundary follows what Content-Length counts, or nothing yet and the part is whole."""
        if not 0 < length <= self._most_part or len(self._buffer) < length:
            return False
        after = self._buffer[length : length + len(self._boundary) + 8].lstrip(b"\r\n")
        if after:
            return after.startswith(self._boundary)
        return _is_whole(self._buffer[:length])

    def _find_end(self) -> int:
        """Return where the next line that is the boundary begins, -1 where none has come."""
        at = 0 if self._buffer.startswith(self._boundary) else -1
        if at < 0:
            newline = self._buffer.find(b"\n" + self._boundary, self._seen)
            at = newline + 1 if newline >= 0 else -1
        self._seen = max(0, len(self._buffer) - len(self._boundary) - 1)
        return at

    def _give(self, end: int) -> Part:
        head = self._head or b""
        body = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._head, self._length, self._seen = None, None, 0
        kind = _KIND.search(head)
        names = b" ".join(_OPTION.findall(head)[:4])
        text = body.rstrip(b"\r\n") if body.startswith(JPEG_BEGIN) else body.strip()
        return Part(kind[1].decode("latin-1").strip() if kind else "", names.decode("latin-1"), text)

    def _bound(self, held: bytes | bytearray, most: int, what: str) -> None:
        if len(held) > most:
            why = Why.TOO_LARGE if most == self._most_part else Why.MALFORMED
            raise Refused(why, f"{what} within {most} bytes")


def split_body(content_type: str, body: bytes) -> list[Part]:
    """Return the parts of a whole body; one that is no multipart is a part by itself. Raises Refused."""
    if not (content_type.strip().lower().startswith("multipart/") or body.lstrip()[:2] == b"--"):
        return [Part(content_type, "", body)]
    parts = Parts(most_part=max(MOST_PART, len(body)))
    found: list[Part] = []
    for part in parts.feed(body):
        if len(found) == MOST_PARTS:
            raise Refused(Why.HOSTILE, f"multipart: more than {MOST_PARTS} parts")
        found.append(part)
    last = parts.finish()
    return [*found, last] if last else found


def _is_whole(held: bytes | bytearray) -> bool:
    """Whether these bytes end as a document of their kind does."""
    if held.startswith(JPEG_BEGIN):
        return held.rstrip(b"\r\n").endswith(JPEG_END)
    body = bytes(held).strip()
    if body.startswith(b"<"):
        first, last = _FIRST_TAG.search(body, 0, MOST_HEAD), _LAST_TAG.search(body, max(0, len(body) - 128))
        return first is not None and last is not None and first[1] == last[1]
    return bool(body) and body.count(b"{") == body.count(b"}")
