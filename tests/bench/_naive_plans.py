"""Read plans as other programs make them, to be compared with the one of least bus time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from edge.contract.profile import Reads, RegisterPoint, Table
from edge.read_plan import Block


def one_by_one(points: Iterable[RegisterPoint]) -> list[Block]:
    """Return one request for each point, by table and address."""
    its = list(points)
    return [
        Block(each.table, each.registers.start, len(each.registers), (each,))
        for table in get_args(Table)
        for each in sorted((p for p in its if p.table == table), key=lambda p: (p.registers.start, p.name))
    ]


def merge_adjacent(points: Iterable[RegisterPoint], reads: Reads) -> list[Block]:
    """Return one request for each run of points without a gap, as long as the device's largest request allows."""
    blocks: list[Block] = []
    for single in one_by_one(points):
        before = blocks[-1] if blocks and blocks[-1].table == single.table else None
        if before is not None and single.address <= before.address + before.count:
            stop = max(before.address + before.count, single.address + single.count)
            if stop - before.address <= reads.max_registers:
                its = (*before.points, *single.points)
                blocks[-1] = Block(before.table, before.address, stop - before.address, its)
                continue
        blocks.append(single)
    return blocks
