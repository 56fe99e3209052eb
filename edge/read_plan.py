"""Which requests read all points of a device: as few as its profile allows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from edge.contract.profile import ModbusProfile, Reads, RegisterPoint, Table


@dataclass(frozen=True, slots=True)
class Block:
    """One request: ``count`` registers or bits of a table from ``address`` on, and the points that lie in them."""

    table: Table
    address: int
    count: int
    points: tuple[RegisterPoint, ...]

    def __str__(self) -> str:
        last = self.address + self.count - 1
        return f"{self.table} {self.address:#06x}" + (f" to {last:#06x}" if self.count > 1 else "")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its points."""
        return tuple(point.name for point in self.points)

    def split(self, words: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Give each point its own part of the ``count`` words that were read."""
        return {
            point.name: words[point.registers.start - self.address : point.registers.stop - self.address]
            for point in self.points
        }


def plan(profile: ModbusProfile) -> list[Block]:
    """Return the fewest blocks that read each point once and whole, ordered by table, then address.

    A block spans at most ``reads.max_registers`` addresses. Unneeded ones between two points are read along, at most
    ``reads.max_gap`` in a row and never an illegal one, for that would make the device refuse the whole block.

    Filling each block as far as it goes is best possible, because points do not overlap: a block that ended earlier
    would leave more to the next one. (The loader has seen to it that each point fits one block and is legal.)
    """
    blocks: list[Block] = []
    for table in get_args(Table):
        points = sorted((p for p in profile.points if p.table == table), key=lambda point: (point.address, point.name))
        while points:
            size = _reach(points, table, profile.reads)
            taken, points = points[:size], points[size:]
            start, stop = taken[0].registers.start, taken[-1].registers.stop
            blocks.append(Block(table, start, stop - start, tuple(taken)))
    return blocks


def _reach(points: list[RegisterPoint], table: Table, reads: Reads) -> int:
    """Return how many of the points, sorted by address, the first request can take."""
    start = points[0].registers.start
    for index in range(1, len(points)):
        before, here = points[index - 1].registers, points[index].registers
        if here.stop - start > reads.max_registers or here.start - before.stop > reads.max_gap:
            return index
        if any(t.table == table and before.stop <= t.last and t.first < here.start for t in reads.illegal):
            return index
    return len(points)
