"""Which requests read all points of a device: as few as its limits allow. Pure.

Registers between two points may be read along with them, up to a gap that is still cheaper than another request;
addresses that the device refuses to read never are, for one of them makes it refuse the whole block.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Words = tuple[int, ...]


class Place(Protocol):
    """Where a point stands: ``size`` addresses of a table, from ``address``; a point of a profile is one."""

    @property
    def name(self) -> str:
        """The point's name."""

    @property
    def table(self) -> str:
        """Which table: coil, discrete, holding or input."""

    @property
    def address(self) -> int:
        """Its first address in the table, from 0."""

    @property
    def size(self) -> int:
        """How many addresses it takes."""


@dataclass(frozen=True, slots=True)
class Block:
    """One request: ``count`` registers or bits of a table, from ``address``, and the points that lie in them."""

    table: str
    address: int
    count: int
    points: tuple[Place, ...]

    def __str__(self) -> str:
        return f"{self.table} 0x{self.address:04X}-0x{self.address + self.count - 1:04X}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its points."""
        return tuple(point.name for point in self.points)

    def split(self, words: Words) -> dict[str, Words]:
        """Give each point its own part of the ``count`` words that were read."""
        return {
            point.name: words[point.address - self.address : point.address - self.address + point.size]
            for point in self.points
        }


class Limits(NamedTuple):
    """What one request may span: at most ``max_count`` addresses, at most ``max_gap`` unneeded ones in a row.

    ``illegal`` are (first, last) pairs of addresses, both included.
    """

    max_count: int
    max_gap: int
    illegal: Sequence[tuple[int, int]] = ()


def plan_table(points: Iterable[Place], limits: Limits) -> list[Block]:
    """Return the fewest blocks that hold each point of one table whole, in order of address.

    Beginning at the lowest point not yet read and taking all that one request can reach is best possible: any other
    block with that point would reach no further, and nothing below it needs reading. Raises ValueError for a point
    that no request can read.
    """
    waiting = sorted(points, key=lambda point: (point.address, point.size, point.name))
    blocks: list[Block] = []
    while waiting:
        start = end = waiting[0].address
        taken: list[Place] = []
        left: list[Place] = []
        for point in waiting:
            top = point.address + point.size
            is_reached = point.address - end <= limits.max_gap and top - start <= limits.max_count
            if is_reached and not _is_illegal(end, max(top, end), limits):
                taken.append(point)
                end = max(end, top)
            else:
                left.append(point)
        if not taken:
            raise ValueError(f"{waiting[0].name}: no request can read it: it is too long or lies on illegal addresses")
        blocks.append(Block(taken[0].table, start, end - start, tuple(taken)))
        waiting = left
    return blocks


def _is_illegal(first: int, end: int, limits: Limits) -> bool:
    return any(first <= last_illegal and first_illegal < end for first_illegal, last_illegal in limits.illegal)
