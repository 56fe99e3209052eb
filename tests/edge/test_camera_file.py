"""A saved message is read as a live one is, whatever stands in the file."""

from __future__ import annotations

from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.camera_file import MOST_BYTES, read_saved
from edge.contract.camera_config import Brand
from edge.drivers.cameras import Refused, Why
from tests.edge.drivers.cameras.samples import load_samples
from tests.edge.drivers.cameras.stand import camera

CHUNKED = b"POST /v1/trigger HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
HEADS = (
    b"",
    CHUNKED,
    b"POST /x HTTP/1.1\r\nContent-Type: \xff\x00\r\n\r\n",
    b"HTTP/1.1 200 OK\n\n",
    b"GET x HTTP/1.1\n",
)
TYPES = (
    "",
    "frigate/available",
    "frigate/reviews",
    "application/json",
    "multipart/form-data; boundary=\0",
    "x; boundary*=utf-8''%ff",
)
BODIES = [sample.body for sample in load_samples() if len(sample.body) < 20_000]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(get_args(Brand)),
    st.sampled_from(HEADS),
    st.sampled_from(TYPES),
    st.sampled_from(BODIES) | st.binary(max_size=200),
)
def test_any_file_is_read_or_refused(brand: Brand, head: bytes, content_type: str, body: bytes) -> None:
    """Whatever is saved, of whichever brand it is said to be, there is one error."""
    with suppress(Refused):
        read_saved(camera(brand=brand), head + body, content_type=content_type)


def test_a_file_that_is_too_large_is_refused() -> None:
    """A film is no message."""
    with pytest.raises(Refused, match="more than 16777216 bytes") as raised:
        read_saved(camera(), bytes(MOST_BYTES + 1))
    assert raised.value.why is Why.TOO_LARGE


def test_the_head_of_a_request_says_what_its_body_is() -> None:
    """And the Content-Type that somebody types goes before it."""
    box, body = camera(), b'{"class": "CAM.BIN"}'
    saved = b"POST /v1/trigger HTTP/1.1\r\nContent-Type: text/plain\r\n\r\n" + body
    with pytest.raises(Refused, match="text/plain"):
        read_saved(box, saved)
    for said in (read_saved(box, saved, content_type="application/json"), read_saved(box, body)):
        assert [sighting.kind for sighting in said] == ["CAM.BIN"]


def test_a_request_in_pieces_is_put_together() -> None:
    """What the listener takes live is taken from a file too; one that was cut off is said to be."""
    pieces = b'6\r\n{"clas\r\nE;x=y\r\ns": "CAM.BIN"}\r\n0\r\n\r\n'
    assert [sighting.kind for sighting in read_saved(camera(), CHUNKED + pieces)] == ["CAM.BIN"]
    with pytest.raises(Refused, match="ends before the last piece"):
        read_saved(camera(), CHUNKED + pieces[:-5])


@pytest.mark.parametrize(
    ("brand", "saved", "topic", "words"),
    [
        ("anlan", b" \r\n", "", "the file is empty"),
        ("anlan", b"class=CAM.BIN", "", "cannot be guessed: say it, such as --type"),
        ("frigate", b"\xff\xd8\xff\xd9", "frigate/gate/car/snapshot", "by itself it raises nothing"),
    ],
)
def test_a_file_that_says_nothing_is_told_as_that(brand: str, saved: bytes, topic: str, words: str) -> None:
    """Not as a camera whose firmware sends what it should not."""
    with pytest.raises(Refused, match=words):
        read_saved(camera(brand=brand), saved, content_type=topic)


def test_whether_frigate_is_there_raises_nothing() -> None:
    """As live, it is no refusal either."""
    for topic in ("frigate/available", "frigate/gate/status/detect"):
        assert read_saved(camera(brand="frigate"), b"online", content_type=topic) == []
