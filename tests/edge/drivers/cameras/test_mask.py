"""What is masked is black, what cannot be masked does not leave, and no picture is larger in memory than it may be."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge.drivers.cameras import Sighting
from edge.drivers.cameras.mask import MaskError, masked
from tests.edge.drivers.cameras.stand import START, Outbox, camera, intake_of
from tests.edge.hand_clock import HandClock

LEFT = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


def picture(size: tuple[int, int] = (64, 48), *, exif: Image.Exif | None = None) -> bytes:
    """A white JPEG."""
    made = BytesIO()
    Image.new("RGB", size, "white").save(made, "JPEG", **({"exif": exif} if exif else {}))
    return made.getvalue()


def brightness(data: bytes, x: int, y: int) -> int:
    with Image.open(BytesIO(data)) as opened:
        value = opened.convert("L").getpixel((x, y))
    assert isinstance(value, int)
    return value


def test_a_region_is_black_and_the_rest_is_not() -> None:
    """Corners are shares of the picture, whatever its size."""
    for size in ((64, 48), (1920, 1080)):
        shown = masked(picture(size), [LEFT])
        assert brightness(shown, size[0] // 4, size[1] // 2) < 10
        assert brightness(shown, size[0] * 3 // 4, size[1] // 2) > 245


def test_nothing_but_pixels_is_left() -> None:
    """Metadata, and the preview that it may hold, do not leave with a masked picture; it is masked as it is shown."""
    exif = Image.Exif()
    exif[0x0112] = 3  # to be turned by 180 degrees
    exif[0x010E] = "plate 12345"
    data = picture(exif=exif)
    shown = masked(data, [LEFT])
    assert b"plate 12345" in data
    assert b"plate 12345" not in shown
    assert brightness(shown, 16, 24) < 10


def huge(width: int, height: int) -> bytes:
    """A small JPEG whose header claims to be huge."""
    data = bytearray(picture())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0" + bytes(1000),
        picture()[:200],
        huge(65_000, 65_000),
        huge(5_000, 4_000),
        b"\x89PNG\r\n\x1a\n" + zlib.compress(bytes(100)),
    ],
)
def test_what_cannot_be_masked_is_said(data: bytes) -> None:
    """Cut off, no JPEG, or of more pixels than fit in memory: one error, whatever is wrong."""
    with pytest.raises(MaskError):
        masked(data, [LEFT])


@settings(max_examples=150, deadline=None)
@given(at=st.integers(2, 600), patch=st.binary(min_size=1, max_size=12))
def test_damaged_pictures_raise_nothing_else(at: int, patch: bytes) -> None:
    """A JPEG with some bytes replaced is masked or refused."""
    data = bytearray(picture())
    data[at : at + len(patch)] = patch
    try:
        masked(bytes(data), [LEFT])
    except MaskError:
        return


@pytest.mark.parametrize("is_good", [True, False])
async def test_only_a_masked_picture_leaves(tmp_path: Path, *, is_good: bool) -> None:
    """With a mask configured, a picture that cannot be masked stays, the event goes, and its note says so."""
    outbox = Outbox()
    intake = intake_of(camera(mask=(LEFT,)), outbox, HandClock(START))
    data = picture() if is_good else picture()[:100]
    await intake.take(Sighting("CAM.BIN", "pulse", START, picture=data))
    ((event,), (shown,)) = outbox.events, outbox.pictures
    if is_good:
        assert shown is not None
        assert brightness(shown, 16, 24) < 10
        assert (len(event.blobs), event.note) == (1, "")
    else:
        assert (shown, event.blobs) == (None, [])
        assert event.note.startswith("its picture cannot be decoded: ")
        assert event.note.endswith("so it could not be masked: left out")
