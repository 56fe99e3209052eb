"""Pure: the rows that can still be found in the pages of a SQLite file, whatever else in it is damaged.

SQLite reaches a row through a tree, and where a page of that is gone it reaches none below it. Here each page that
holds rows is read for itself, with what of a row lies in further pages. Pages on the free list, which hold rows that
were deleted, are left out. Format: sqlite.org/fileformat2.html, sections 1.5, 1.6 and 2.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

PAGE: Final = 4096  # SQLite's own choice, where the header cannot be read
LEAF: Final = 0x0D  # of a table with row ids
LONGEST: Final = 1024 * 1024  # bytes of a row; ours are smaller

Value = int | float | str | bytes | None


def page_size_of(head: bytes) -> int:
    """Return the size of the pages of a file, by its first bytes."""
    magic, size = struct.unpack_from(">16sH", head.ljust(18, b"\0"))
    return size if magic == b"SQLite format 3\0" and size >= 512 and size & (size - 1) == 0 else PAGE


class Pages(NamedTuple):
    """A file's pages."""

    read: Callable[[int], bytes]  # returns a page by its number, from 1
    total: int
    size: int


def rows_in(pages: Pages) -> Iterator[tuple[int, list[Value]]]:
    """Give row id and values of every row in every page; those that cannot be read are left out."""
    free = _free_pages(pages) if pages.total else set()
    for number in range(1, pages.total + 1):
        if number not in free:
            yield from _rows_of_page(pages, number)


def _free_pages(pages: Pages) -> set[int]:
    free: set[int] = set()
    [trunk] = struct.unpack_from(">I", pages.read(1), 32)
    while 1 < trunk <= pages.total and trunk not in free:
        free.add(trunk)
        page = pages.read(trunk)
        trunk, count = struct.unpack_from(">II", page)
        free.update(struct.unpack_from(f">{min(count, len(page) // 4 - 2)}I", page, 8))
    return free


def _rows_of_page(pages: Pages, number: int) -> Iterator[tuple[int, list[Value]]]:
    page, size = pages.read(number), pages.size
    start = 100 if number == 1 else 0
    if len(page) < size or page[start] != LEAF:
        return
    [cells] = struct.unpack_from(">H", page, start + 3)
    for at in range(start + 8, min(start + 8 + 2 * cells, size - 1), 2):
        try:
            [place] = struct.unpack_from(">H", page, at)
            length, place = _number(page, place)
            row_id, place = _number(page, place)
            if length <= LONGEST:
                yield row_id, _values(_content(pages, page, place, length))
        except (IndexError, ValueError, struct.error):  # noise: any byte may be anything
            continue


def _content(pages: Pages, page: bytes, place: int, length: int) -> bytes:
    """Return a row's bytes: those in its page, and those in the pages that follow it."""
    size = pages.size
    if length <= size - 35:
        return page[place : place + length]
    least = (size - 12) * 32 // 255 - 23
    local = least + (length - least) % (size - 4)
    if local > size - 35:
        local = least
    parts = [page[place : place + local]]
    [following] = struct.unpack_from(">I", page, place + local)
    missing = length - local
    while missing > 0:
        if not 1 < following <= pages.total:
            raise ValueError("the row is cut off")
        page = pages.read(following)
        parts.append(page[4 : 4 + missing])
        missing -= size - 4
        [following] = struct.unpack_from(">I", page)
    return b"".join(parts)


def _values(content: bytes) -> list[Value]:
    end, at = _number(content, 0)
    place = end
    values: list[Value] = []
    while at < end:
        kind, at = _number(content, at)
        value, place = _value(content, kind, place)
        values.append(value)
    return values


_WIDTHS: Final = (0, 1, 2, 3, 4, 6, 8)


def _value(content: bytes, kind: int, place: int) -> tuple[Value, int]:
    if kind == 0:
        return None, place
    if kind in (8, 9):
        return kind - 8, place
    width = (kind - 12) // 2 if kind >= 12 else 8 if kind == 7 else _WIDTHS[kind]
    part = content[place : place + width]
    if len(part) < width:
        raise ValueError("the row is cut off")
    place += width
    if kind == 7:
        return struct.unpack(">d", part)[0], place
    if kind < 12:
        return int.from_bytes(part, "big", signed=True), place
    return (part.decode() if kind % 2 else part), place


def _number(data: bytes, place: int) -> tuple[int, int]:
    """Read a number of one to nine bytes; return it and where the next begins."""
    number = 0
    for at in range(place, place + 8):
        number = number << 7 | data[at] & 0x7F
        if data[at] < 0x80:
            return number, at + 1
    return number << 8 | data[place + 8], place + 9
