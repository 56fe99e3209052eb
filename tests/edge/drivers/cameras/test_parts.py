"""A multipart body in pieces: the same parts come out, however it was cut and whatever its lengths claim."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.drivers.cameras import Refused, Why
from edge.drivers.cameras.parts import Part, Parts, split_body
from tests.edge.drivers.cameras.samples import JPEG

XML = b"<EventNotificationAlert>\r\n<eventType>VMD</eventType>\r\n</EventNotificationAlert>"
BODY = b"\r\n".join(
    [
        *(b"--boundary", b"Content-Type: application/xml", b"Content-Length: 5", b"", XML),
        *(b"--boundary", b"Content-Type: image/jpeg", b"Content-Length: %d" % len(JPEG), b"", JPEG),
        *(b"--boundary", b"Content-Type: text/plain", b"", b"Heartbeat", b""),
        b"--boundary--\r\n",
    ]
)
PARTS = [Part("application/xml", "", XML), Part("image/jpeg", "", JPEG), Part("text/plain", "", b"Heartbeat")]


def pieces(body: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    begin = 0
    for cut in sorted({*cuts, len(body)}):
        yield body[begin:cut]
        begin = cut


@given(st.lists(st.integers(0, len(BODY)), max_size=12))
def test_the_cut_does_not_matter(cuts: list[int]) -> None:
    """Wherever the network cuts the body, the same three parts come out."""
    parts = Parts()
    assert [part for piece in pieces(BODY, cuts) for part in parts.feed(piece)] == PARTS
    assert parts.finish() is None


def test_byte_by_byte() -> None:
    """A camera that sends one byte at a time is understood."""
    parts = Parts()
    assert [part for byte in BODY for part in parts.feed(bytes([byte]))] == PARTS


def test_a_part_comes_at_its_length_before_the_next_boundary() -> None:
    """With a right Content-Length nobody waits for the next part of a live stream."""
    parts = Parts()
    head = b"--b\r\nContent-Type: application/xml\r\nContent-Length: " + str(len(XML)).encode() + b"\r\n\r\n"
    assert list(parts.feed(head + XML)) == [Part("application/xml", "", XML)]
    assert list(parts.feed(b"\r\n--b\r\nContent-Length:9\r\n\r\nHeartbeat")) == [Part("", "", b"Heartbeat")]


def test_a_pause_gives_what_is_whole() -> None:
    """Without a length, a document that has ended is given once nothing more comes; half a document is kept."""
    parts = Parts()
    assert list(parts.feed(b"--b\r\nContent-Type: application/xml\r\n\r\n" + XML[:-9])) == []
    assert parts.pause() is None
    assert list(parts.feed(XML[-9:])) == []
    assert parts.pause() == Part("application/xml", "", XML)
    assert parts.pause() is None
    assert list(parts.feed(b"\r\n\r\n--b--")) == []


def test_a_boundary_inside_a_picture_is_passed_over_by_its_length() -> None:
    """Bytes of a picture that look like the boundary end nothing where Content-Length says otherwise."""
    picture = JPEG[:-2] + b"\r\n--b\r\n\xff\xd9"
    length = str(len(picture)).encode()
    body = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: " + length + b"\r\n\r\n" + picture + b"\r\n--b--"
    assert split_body("multipart/mixed; boundary=b", body) == [Part("image/jpeg", "", picture)]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"no boundary at all" * 1000, Why.MALFORMED),
        (b"--" + b"b" * 300, Why.MALFORMED),
        (b"--\r\n\r\n", Why.MALFORMED),
        (b"--b\r\nX: " + b"x" * 9000, Why.MALFORMED),
        (b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + b"x" * 9000, Why.TOO_LARGE),
    ],
    ids=["no boundary", "endless boundary", "empty boundary", "endless header", "endless part"],
)
def test_what_has_no_end_is_refused(body: bytes, why: Why) -> None:
    """Nothing is collected beyond its bound, and the reason is said."""
    parts = Parts(most_part=8000)
    with pytest.raises(Refused) as refusal:
        list(itertools.chain.from_iterable(map(parts.feed, pieces(body, range(0, len(body), 64)))))
    assert refusal.value.why == why


def test_nothing_but_boundaries_is_passed_over_in_one_go() -> None:
    """Hundreds of thousands of empty parts are skipped without looking at the rest again for each of them."""
    assert split_body("multipart/mixed; boundary=b", b"--b\n" * 300_000) == []
