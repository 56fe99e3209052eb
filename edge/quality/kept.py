"""What a judge or a check remembers, as bytes that outlive a restart: all of it, or none.

What is remembered is one msgspec struct, whose fields say what they may be with the types below. It is kept under a
checksum that covers the shape of the struct too: the names and types of all that is in it. So nothing is read back
that was damaged, or that a version wrote which remembers other things: the sensor is learned anew. The bounds hold
whoever wrote it: a judge that goes on from a state cannot raise, and holds no more memory than it ever does.
"""

from __future__ import annotations

import zlib
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from edge.contract.readings import LATEST

LARGEST: Final = 1e300  # some of them added up are still a number
MOST_BYTES: Final = 50_000  # of one state; the largest, that of a meter, has 22,000

Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Size = Annotated[float, Meta(ge=0, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Moment = Annotated[int, Meta(ge=-2 * LATEST, le=2 * LATEST)]  # ms; 0, or before, by clocks that were set
Day = Annotated[int, Meta(ge=-(10**5), le=10**5)]  # since 1970

S = TypeVar("S", bound=Struct)


class Kept(Generic[S]):
    """A judge or check that remembers one struct."""

    __slots__ = ("_state",)

    def __init__(self, state: S) -> None:
        """``state``: while nothing is known."""
        self._state = state

    def state(self) -> bytes:
        """Everything that was learned and is remembered."""
        return sealed(type(self._state), msgspec.msgpack.encode(self._state))

    def restore(self, kept: bytes) -> None:
        """Go on from a state; raises ValueError, and nothing changes, for one that is not of this shape."""
        self.go_on(opened(type(self._state), kept))

    def go_on(self, state: S) -> None:
        """Take a state as one's own; what is configured now goes before what was then."""
        self._state = state


def sealed(kind: type[Struct], plain: bytes) -> bytes:
    """Put a struct's MessagePack under its checksum; compressed, as most of a histogram is empty."""
    packed = zlib.compress(plain, level=1)
    return _checksum(kind, packed) + packed


def opened(kind: type[S], kept: bytes) -> S:
    """Read what was kept of a struct; raises ValueError for all else."""
    packed = kept[4:]
    if kept[:4] != _checksum(kind, packed):
        raise ValueError("it is damaged, or of a version that remembers other things")
    try:
        plain = zlib.decompressobj().decompress(packed, MOST_BYTES)
        return msgspec.msgpack.decode(plain, type=kind)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"it is none: {error}") from None


def _checksum(kind: type[Struct], packed: bytes) -> bytes:
    return zlib.crc32(packed, zlib.crc32(_shape(kind).encode())).to_bytes(4, "big")


@cache
def _shape(kind: Any) -> str:
    """Names and types of all that a struct is made of; bounds, defaults and the names of structs are no part of it."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return str({name: _shape(its) for name, its in get_type_hints(kind).items()})
    whole = get_origin(kind) or kind
    name = whole.__name__ if isinstance(whole, type) and whole is not UnionType else "|"
    return name + str([_shape(part) for part in get_args(kind)])
