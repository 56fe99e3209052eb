"""Numbers as *planes*: first all lowest bytes, then all second bytes, and so on.

So the slow high bytes lie together and compress to almost nothing. Integers travel as steps, as narrow as they fit.
"""

from __future__ import annotations

import operator
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated

from msgspec import Meta, Struct

from edge.contract.readings import ContractError

_WIDTHS = {1: "b", 2: "h", 4: "i", 8: "q"}
_RAW = 0  # in place of a width: 64-bit integers as they are, for steps that themselves need more than 64 bits


class Integers(Struct, array_like=True, frozen=True):
    """Whole numbers on the wire."""

    width: int  # bytes of a step, or 0
    first: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
    planes: bytes

    @property
    def count(self) -> int:
        """How many they are, before they are unpacked."""
        return len(self.planes) // max(self.width, 1)


def pack_floats(numbers: array[float]) -> bytes:
    """Return the planes of single or double precision numbers."""
    return _planes(numbers)


def unpack_floats(planes: bytes, typecode: str, what: str) -> list[float]:
    """Return what was packed; raises ContractError."""
    return _from_planes(planes, typecode, what)  # type: ignore[return-value]


def pack_integers(values: Sequence[int]) -> Integers:
    """Write whole numbers of 64 bits."""
    if not values:
        return Integers(1, 0, b"")
    # The first value is a field of its own; a leading step of zero keeps one step a value.
    steps = [0, *map(operator.sub, values[1:], values)]
    highest, lowest = max(steps), min(steps)
    reach = max(highest, ~lowest)
    for width, typecode in _WIDTHS.items():
        if reach < 1 << (8 * width - 1):
            return Integers(width, values[0], _planes(array(typecode, steps)))
    return Integers(_RAW, 0, _planes(array("q", values)))


def unpack_integers(packed: Integers, what: str) -> list[int]:
    """Return what was packed; raises ContractError."""
    if packed.width == _RAW:
        return _from_planes(packed.planes, "q", what)  # type: ignore[return-value]
    if packed.width not in _WIDTHS:
        raise ContractError(f"{what}: unknown width {packed.width}")
    steps: list[int] = _from_planes(packed.planes, _WIDTHS[packed.width], what)  # type: ignore[assignment]
    if not steps:
        return []
    steps[0] += packed.first
    values = list(accumulate(steps))
    if max(values) >= 2**63 or min(values) < -(2**63):
        raise ContractError(f"{what}: an integer does not fit 64 bits")
    return values


def _planes(numbers: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    data = numbers.tobytes()
    return b"".join(data[place :: numbers.itemsize] for place in range(numbers.itemsize))


def _from_planes(planes: bytes, typecode: str, what: str) -> list[int] | list[float]:
    numbers = array(typecode)
    if not planes:
        return []
    size = numbers.itemsize
    count, rest = divmod(len(planes), size)
    if rest:
        raise ContractError(f"{what}: {len(planes)} bytes are no whole number of {size}-byte values")
    data = bytearray(len(planes))
    for place in range(size):
        data[place::size] = planes[place * count : (place + 1) * count]
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
