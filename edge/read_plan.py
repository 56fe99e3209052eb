"""Which requests read the points of a device: those that take the least time on its line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple, get_args

from edge.bus_time import NETWORK, Wire
from edge.contract.profile import ModbusProfile, Reads, RegisterPoint, Table

_slice = cache(slice)  # hundreds of devices of one model have the same ones


@dataclass(frozen=True)
class Block:
    """One request: ``count`` registers or bits of a table from ``address`` on, and the points that lie in them."""

    table: Table
    address: int
    count: int
    points: tuple[RegisterPoint, ...]

    def __str__(self) -> str:
        last = self.address + self.count - 1
        return f"{self.table} {self.address:#06x}" + (f" to {last:#06x}" if self.count > 1 else "")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of its points."""
        return tuple(point.name for point in self.points)

    def split(self, words: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Give each point its own part of the ``count`` words that were read."""
        return dict(zip(self.names, map(words.__getitem__, self._places), strict=True))

    @cached_property
    def _places(self) -> tuple[slice, ...]:
        """Where each point is in the words."""
        return tuple(
            _slice(point.registers.start - self.address, point.registers.stop - self.address) for point in self.points
        )


class _Item(NamedTuple):
    """Registers that lie within those of no other item, and the points that are read with them."""

    registers: range
    points: tuple[RegisterPoint, ...]


def plan(points: Iterable[RegisterPoint], reads: Reads, wire: Wire) -> list[Block]:
    """Return the blocks that read each point once and whole in the least bus time, ordered by table, then address.

    Of plans that take equally long, it is one with the fewest requests, and of those one with the fewest registers.

    A block spans at most ``reads.max_registers`` addresses. Unneeded ones between two points are read along where that
    saves time: at most ``reads.max_gap`` in a row, which is what the device permits, and never an illegal one, for that
    would make it refuse the whole block. (The loader has seen to it that each point fits one block and is legal.)

    **Why this is the least.** A point whose registers lie within another's is read with that one for nothing (bits of
    one register, a value between another and its scale factor): the *items* are the points that lie within no other.
    In order of address both their first and their last registers ascend. In a plan of least time each block may be
    taken to hold *consecutive* items of its table: let blocks A and B interleave, A beginning first. A may have those
    items of B that end before A does. They lie in A's span, so this stays as it is, and its gaps only become narrower;
    B loses its first items, at least one, so it begins later or is not needed, and keeps the rest of its gaps. Nothing
    illegal comes into a span, no span grows, and a request never takes longer for fewer registers: the plan still takes
    the least time. The sum of the spans has fallen, so after some such steps no two blocks interleave.

    Of plans of consecutive items the best is found exactly: the best one for the first n items ends in a request for
    items k to n, after the best one for the first k - 1 (Bellman's principle, as all three costs are sums).
    """
    by_table: dict[Table, list[RegisterPoint]] = {table: [] for table in get_args(Table)}
    for point in points:
        by_table[point.table].append(point)
    return [block for table, its in by_table.items() for block in _plan_table(table, _items(its), reads, wire)]


def plan_of(profile: ModbusProfile, wire: Wire = NETWORK) -> list[Block]:
    """Return the plan for all points of a profile."""
    return plan(profile.points, profile.reads, wire)


def _items(points: list[RegisterPoint]) -> list[_Item]:
    """Put each point that lies within another to that one; by address, of the first registers as of the last ones."""
    items: list[_Item] = []
    for point in sorted(points, key=lambda each: (each.registers.start, -each.registers.stop, each.name)):
        if items and point.registers.stop <= items[-1].registers.stop:
            around, its = items.pop()
            items.append(_Item(around, (*its, point)))
        else:
            items.append(_Item(point.registers, (point,)))
    return items


def _plan_table(table: Table, items: Sequence[_Item], reads: Reads, wire: Wire) -> list[Block]:
    """The best plan for consecutive items, built up from the best ones for the first 1, 2, 3, … of them."""
    starts, stops = [item.registers.start for item in items], [item.registers.stop for item in items]
    longest = max([reads.max_registers, *map(len, (item.registers for item in items))])
    costs = [_packed(wire.request_ns(table, count), 1, count) for count in range(longest + 1)]
    best, begins = [0], [0]  # for the first n items: the cost, and with which item the last request begins
    earliest = 0
    for last, stop in enumerate(stops):
        if last and not _may_join(items[last - 1], items[last], table, reads):
            earliest = last
        while earliest < last and stop - starts[earliest] > reads.max_registers:
            earliest += 1
        choices = [best[first] + costs[stop - starts[first]] for first in range(earliest, last + 1)]
        best.append(min(choices))
        begins.append(earliest + choices.index(best[-1]))
    blocks: list[Block] = []
    end = len(items)
    while end:
        first = begins[end]
        its = tuple(point for item in items[first:end] for point in item.points)
        blocks.append(Block(table, starts[first], stops[end - 1] - starts[first], its))
        end = first
    return blocks[::-1]


def _packed(time_ns: int, requests: int, registers: int) -> int:
    """Three costs as one number; sums compare by time, then requests, then registers."""
    return (time_ns << 48) + (requests << 24) + registers


def _may_join(before: _Item, here: _Item, table: Table, reads: Reads) -> bool:
    """Whether one request may read through from an item to the next one."""
    first, last = before.registers.stop, here.registers.start - 1
    if last - first + 1 > reads.max_gap:
        return False
    return not any(each.table == table and each.first <= last and first <= each.last for each in reads.illegal)
