"""What a simulated device holds that tells what it is: the registers of its profile's signature. Pure."""

from __future__ import annotations

import struct

from edge.contract.profile import Signature
from edge.contract.registers import FLOATS

Words = dict[int, int]


def signature_words(mark: Signature) -> Words:
    """The registers of a signature as this model has them, by address; of a range, its middle."""
    if mark.type == "string":
        text = str(mark.equals if mark.equals is not None else mark.begins)
        data = text.encode("ascii").ljust(2 * mark.length, b"\0")
    else:
        number = mark.equals if mark.between is None else sum(mark.between) / 2
        data = _bytes_of(mark, float(number or 0))
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    if mark.word_order == "low_first" and mark.type != "string":
        words.reverse()
    if mark.byte_order == "low_first":
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    return dict(zip(mark.registers, words, strict=True))


def _bytes_of(mark: Signature, number: float) -> bytes:
    """The number, high byte first; those of signature registers are small and not negative."""
    if mark.type in FLOATS:
        return struct.pack(">f" if mark.type == "float32" else ">d", number)
    whole = int(str(round(number)), 16) if mark.type.startswith("bcd") else int(number)
    return whole.to_bytes(2 * len(mark.registers), "big")
