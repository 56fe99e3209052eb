"""What can still be read of a corrupt outbox goes over into a new one, under the names that it had.

Messages and drafts are looked for in every page of the file (:mod:`edge.outbox_pages`), as they must not be lost
because a page that leads to them is; one whose checksum does not match is not taken over. Counts, which name what is
lost, and the rest are asked from SQLite, as far as it gives them. How many readings of each day were in messages that
are lost is known from the counts, and is given up as damaged.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from edge import outbox_accounts as accounts
from edge.contract.days import day_of
from edge.contract.envelope import open_body
from edge.contract.messages import LANE_KIND, ContractError, GiveUpReason, Header, Lane, decode_header
from edge.outbox_drafts import Draft, DraftError
from edge.outbox_pages import Pages, Value, page_size_of, rows_in

Row = tuple[Any, ...]


class Salvaged(NamedTuple):
    """What was taken over, and how many readings are known to be lost."""

    messages: int
    drafts: int
    lost: int


def salvage(path: Path, new: sqlite3.Connection) -> Salvaged:
    """Take over what can be read of a file, in one transaction."""
    new.execute("BEGIN IMMEDIATE")
    with closing(sqlite3.connect(path, isolation_level=None)) as old:  # closing brings the log into the file
        if _can_be_asked(old):
            _copy_counts(old, new)
    messages, drafts = _copy_rows(path, new)
    lost = _give_up_lost(new)
    new.execute("COMMIT")
    return Salvaged(messages, drafts, lost)


def _can_be_asked(old: sqlite3.Connection) -> bool:
    try:
        old.execute("PRAGMA locking_mode = EXCLUSIVE")  # as the outbox has it: no shared-memory file
        old.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.DatabaseError:
        return False
    return True


def _copy_counts(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    _copy_epochs(old, new)
    for row in _in_order(old, "SELECT id, lane, epoch, seq, reason, refused_at, payload FROM refused"):
        new.execute("INSERT OR IGNORE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    for key, state in _in_order(old, "SELECT key, state FROM open_events"):
        new.execute("INSERT OR IGNORE INTO open_events VALUES (?, ?)", (key, state))
    for day, digest in _in_order(old, "SELECT day, hash FROM heads"):
        new.execute("INSERT OR IGNORE INTO heads VALUES (?, ?)", (day, digest))


def _copy_epochs(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    for row in _in_order(old, "SELECT id, epoch, taken, unchanged, given_up, refused FROM epochs"):
        new.execute(
            "INSERT OR IGNORE INTO epochs (id, epoch, taken, unchanged, given_up, refused) VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
    for row in _in_order(old, "SELECT epoch, lane, next_seq FROM lanes"):
        new.execute(
            "INSERT OR IGNORE INTO lanes (epoch, lane, next_seq) SELECT ?1, ?2, ?3"
            " WHERE EXISTS (SELECT 1 FROM epochs WHERE epoch = ?1)",
            row,
        )
    for row in _in_order(old, "SELECT epoch, day, taken, unchanged, refused, waiting, moved FROM days"):
        new.execute(
            "INSERT OR IGNORE INTO days (epoch, day, taken, unchanged, refused, waiting, moved)"
            " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7"
            " WHERE EXISTS (SELECT 1 FROM epochs WHERE epoch = ?1)",
            row,
        )
    for row in _in_order(old, "SELECT epoch, day, reason, readings FROM given_up"):
        new.execute(
            "INSERT OR IGNORE INTO given_up (epoch, day, reason, readings) SELECT ?1, ?2, ?3, ?4"
            " WHERE EXISTS (SELECT 1 FROM days WHERE epoch = ?1 AND day = ?2)",
            row,
        )


def _copy_rows(path: Path, new: sqlite3.Connection) -> tuple[int, int]:
    """Take over messages and drafts; return how many."""
    with path.open("rb") as file:
        size = page_size_of(file.read(100))
        pages = os.fstat(file.fileno()).st_size // size
        messages = drafts = 0
        for row_id, values in rows_in(Pages(lambda number: _page(file, number, size), pages, size)):
            if len(values) in (8, 10):
                messages += _copy_message(new, row_id, values)
            elif len(values) == 6:
                drafts += _copy_draft(new, row_id, values)
    return messages, drafts


def _page(file: BinaryIO, number: int, size: int) -> bytes:
    file.seek((number - 1) * size)
    return file.read(size)


def _copy_message(new: sqlite3.Connection, row_id: int, values: list[Value]) -> bool:
    _, lane, epoch, seq, _, committed_at, _, payload, *more = values
    header = _header_of(payload)
    if header is None or (header.lane, header.epoch, header.seq) != (lane, epoch, seq):
        return False
    _know_epoch(new, header)
    readings = header.readings if LANE_KIND[header.lane] == "batch" else 0
    size = len(payload) if isinstance(payload, bytes) else 0
    row = (row_id, lane, epoch, seq, readings, committed_at, size, payload, *(more or ("", 0)))
    return new.execute("INSERT OR IGNORE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount == 1


def _header_of(payload: Value) -> Header | None:
    """Return the header of a whole message; None for anything else."""
    if not isinstance(payload, bytes):
        return None
    try:
        return open_body(payload, LANE_KIND[decode_header(payload).lane])[0]
    except ContractError:
        return None


def _copy_draft(new: sqlite3.Connection, row_id: int, values: list[Value]) -> bool:
    content = values[5]
    try:
        readings = Draft.from_bytes(content).readings if isinstance(content, bytes) else None
    except DraftError:
        return False
    if readings != values[3]:
        return False
    return new.execute("INSERT OR IGNORE INTO drafts VALUES (?, ?, ?, ?, ?, ?)", (row_id, *values[1:])).rowcount == 1


def _know_epoch(new: sqlite3.Connection, header: Header) -> None:
    """Make what is missing of an epoch of which a message was read, so that its names go on."""
    new.execute("INSERT OR IGNORE INTO epochs (epoch) VALUES (?)", (header.epoch,))
    lanes = [(header.epoch, each) for each in Lane]
    new.executemany("INSERT OR IGNORE INTO lanes (epoch, lane) VALUES (?, ?)", lanes)
    following = (header.seq + 1, header.epoch, header.lane)
    new.execute("UPDATE lanes SET next_seq = MAX(next_seq, ?) WHERE epoch = ? AND lane = ?", following)


def _give_up_lost(new: sqlite3.Connection) -> int:
    """Let the counts of waiting readings be those of the messages that are there."""
    kept: Counter[tuple[str, str]] = Counter()
    for epoch, day, committed_at, readings in new.execute("SELECT epoch, day, committed_at, readings FROM messages"):
        kept[epoch, day or day_of(committed_at)] += readings
    counted = {(epoch, day): n for epoch, day, n in new.execute("SELECT epoch, day, waiting FROM days").fetchall()}
    lost = 0
    for epoch, day in counted.keys() | kept.keys():
        more = kept[epoch, day] - counted.get((epoch, day), 0)
        if more < 0:
            accounts.count(new, epoch, day, waiting=more)
            accounts.count_given_up(new, epoch, day, GiveUpReason.DAMAGED, -more)
            lost -= more
        else:
            new.execute(
                "INSERT INTO days (epoch, day, taken, waiting) VALUES (?1, ?2, ?3, ?3)"
                " ON CONFLICT DO UPDATE SET taken = taken + ?3, waiting = waiting + ?3",
                (epoch, day, more),
            )
    new.execute(
        "UPDATE epochs SET taken ="
        " MAX(taken, (SELECT CAST(TOTAL(taken - moved) AS INTEGER) FROM days WHERE days.epoch = epochs.epoch))"
    )
    return lost


def _in_order(old: sqlite3.Connection, query: str) -> Iterator[Row]:
    """Give the rows of a small table until one cannot be read."""
    try:
        yield from old.execute(query)
    except sqlite3.DatabaseError:
        return
