"""Blacks out regions of a picture before it leaves the gateway. What cannot be masked is not sent."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Final

MOST_PIXELS: Final = 16_000_000  # 48 MB while it is worked on; a 4K camera has 8 million
QUALITY: Final = 85

Region = Sequence[tuple[float, float]]


class MaskError(Exception):
    """The picture cannot be decoded, or is too large to be."""


def masked(picture: bytes, regions: Sequence[Region]) -> bytes:
    """Return a JPEG with the regions black and nothing but its pixels: no metadata, no preview. Raises MaskError.

    Corners are shares of width and height of the picture as it is shown. Takes up to a second: for a thread.
    """
    from PIL import Image, ImageDraw, ImageOps  # noqa: PLC0415 -- 8 MB that only a camera with a mask needs

    try:
        with Image.open(BytesIO(picture), formats=["JPEG"]) as opened:
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise MaskError(f"{width} x {height} pixels are more than can be masked here")
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            plain = Image.new("RGB", upright.size)
            plain.paste(upright)
            draw = ImageDraw.Draw(plain)
            for region in regions:
                draw.polygon([(x * plain.width, y * plain.height) for x, y in region], fill="black", outline="black")
            result = BytesIO()
            plain.save(result, "JPEG", quality=QUALITY)
            return result.getvalue()
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise MaskError(f"cannot be decoded: {str(error)[:100]}") from error
    except Image.DecompressionBombError as error:
        raise MaskError("a picture of so many pixels is none") from error
