"""The accounts in the outbox's file: epochs, where their lanes stand, and what became of the readings of each day.

All functions work within a transaction that their caller has begun.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections import defaultdict
from typing import Final

from edge.contract.messages import MAX_DAYS, Counts, DayCounts, EpochState, GiveUpReason, Head, Lane, LaneState

KEPT_EPOCHS: Final = 16
LATEST_DAYS: Final = 8  # in a status, whether or not something of them waits
KEPT_HEADS: Final = 400
TOLD_HEADS: Final = 8


def open_epoch(db: sqlite3.Connection) -> str:
    """Go on with the last epoch after a clean stop, else begin one; either way the next stop is not clean yet."""
    last = db.execute("SELECT epoch, clean FROM epochs ORDER BY id DESC LIMIT 1").fetchone()
    if last is not None and last[1]:
        db.execute("UPDATE epochs SET clean = 0 WHERE epoch = ?", (last[0],))
        return str(last[0])
    epoch = secrets.token_hex(8)
    db.execute("INSERT INTO epochs (epoch) VALUES (?)", (epoch,))
    db.executemany("INSERT INTO lanes (epoch, lane) VALUES (?, ?)", [(epoch, lane) for lane in Lane])
    db.execute(
        "DELETE FROM epochs WHERE id <= (SELECT MAX(id) FROM epochs) - ?"
        " AND NOT EXISTS (SELECT 1 FROM messages WHERE messages.epoch = epochs.epoch)",
        (KEPT_EPOCHS,),
    )
    return epoch


def close_epoch(db: sqlite3.Connection, epoch: str) -> None:
    """Note that the stop was clean: the epoch may go on."""
    db.execute("UPDATE epochs SET clean = 1 WHERE epoch = ?", (epoch,))


def next_seq(db: sqlite3.Connection, epoch: str, lane: Lane) -> int:
    """Take the next number of a lane."""
    query = "UPDATE lanes SET next_seq = next_seq + 1 WHERE epoch = ? AND lane = ? RETURNING next_seq - 1"
    [[seq]] = db.execute(query, (epoch, lane)).fetchall()
    return int(seq)


def count(
    db: sqlite3.Connection, epoch: str, day: str, *, taken: int = 0, unchanged: int = 0, refused: int = 0,
    waiting: int = 0,
) -> None:  # fmt: skip
    """Add readings of a day of account to what its epoch and the day have."""
    if not (taken or unchanged or refused or waiting):
        return
    _make_day(db, epoch, day)
    db.execute(
        "UPDATE days SET taken = taken + ?, unchanged = unchanged + ?, refused = refused + ?, waiting = waiting + ?"
        " WHERE epoch = ? AND day = ?",
        (taken, unchanged, refused, waiting, epoch, day),
    )
    if taken or unchanged or refused:
        db.execute(
            "UPDATE epochs SET taken = taken + ?, unchanged = unchanged + ?, refused = refused + ? WHERE epoch = ?",
            (taken, unchanged, refused, epoch),
        )


def count_moved(db: sqlite3.Connection, old: str, new: str, day: str, readings: int) -> None:
    """Let an epoch have taken readings that another one had; what that has taken of the day does not fall."""
    if old == new:
        return
    _make_day(db, old, day)
    db.execute("UPDATE days SET moved = moved + ? WHERE epoch = ? AND day = ?", (readings, old, day))
    db.execute("UPDATE epochs SET taken = taken - ? WHERE epoch = ?", (readings, old))
    count(db, new, day, taken=readings)


def count_given_up(db: sqlite3.Connection, epoch: str, day: str, reason: GiveUpReason, readings: int) -> None:
    """Add readings of a day that will never be sent."""
    if not readings:
        return
    _make_day(db, epoch, day)
    db.execute(
        "INSERT INTO given_up (epoch, day, reason, readings) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET readings = readings + excluded.readings",
        (epoch, day, reason, readings),
    )
    db.execute("UPDATE epochs SET given_up = given_up + ? WHERE epoch = ?", (readings, epoch))


def states(db: sqlite3.Connection) -> list[EpochState]:
    """Return the current epoch, then those where something waits, then the newest; at most 16."""
    epochs = db.execute(
        "SELECT epoch, taken, unchanged, given_up, refused FROM epochs ORDER BY id = (SELECT MAX(id) FROM epochs) DESC,"
        " EXISTS (SELECT 1 FROM messages WHERE messages.epoch = epochs.epoch) DESC, id DESC LIMIT ?",
        (KEPT_EPOCHS,),
    ).fetchall()
    lanes = db.execute(
        "SELECT epoch, lane, next_seq, (SELECT MIN(seq) FROM messages"
        " WHERE messages.epoch = lanes.epoch AND messages.lane = lanes.lane) FROM lanes ORDER BY epoch, lane"
    ).fetchall()
    by_epoch: dict[str, dict[str, LaneState]] = {epoch: {} for epoch, *_ in epochs}
    for epoch, lane, seq, oldest in lanes:
        if epoch in by_epoch:
            by_epoch[epoch][Lane(lane).name.lower()] = LaneState(oldest or seq, seq)
    days = _days(db)
    return [EpochState(epoch, by_epoch[epoch], Counts(*counts), days[epoch]) for epoch, *counts in epochs]


def keep_head(db: sqlite3.Connection, head: Head) -> None:
    """Keep a head of the cloud's chain; the first one that came for a day stays, because a later one is the lie."""
    db.execute("INSERT INTO heads (day, hash) VALUES (?, ?) ON CONFLICT DO NOTHING", (head.day, head.hash))
    db.execute("DELETE FROM heads WHERE day NOT IN (SELECT day FROM heads ORDER BY day DESC LIMIT ?)", (KEPT_HEADS,))


def heads(db: sqlite3.Connection, most: int) -> list[Head]:
    """Return the newest heads, newest first."""
    return [Head(*row) for row in db.execute("SELECT day, hash FROM heads ORDER BY day DESC LIMIT ?", (most,))]


def _make_day(db: sqlite3.Connection, epoch: str, day: str) -> None:
    made = db.execute("INSERT INTO days (epoch, day) VALUES (?, ?) ON CONFLICT DO NOTHING", (epoch, day)).rowcount
    if made:
        db.execute(
            "DELETE FROM days WHERE epoch = ? AND waiting = 0 AND day < ?"
            " AND day NOT IN (SELECT day FROM days WHERE epoch = ? ORDER BY day DESC LIMIT ?)",
            (epoch, day, epoch, MAX_DAYS),
        )


def _days(db: sqlite3.Connection) -> defaultdict[str, list[DayCounts]]:
    given_up: defaultdict[tuple[str, str], dict[GiveUpReason, int]] = defaultdict(dict)
    for epoch, day, reason, readings in db.execute("SELECT epoch, day, reason, readings FROM given_up"):
        given_up[epoch, day][GiveUpReason(reason)] = readings
    by_epoch: defaultdict[str, list[DayCounts]] = defaultdict(list)
    for epoch, day, taken, unchanged, refused, waiting, moved in db.execute(
        "SELECT epoch, day, taken, unchanged, refused, waiting, moved FROM days ORDER BY epoch, day DESC"
    ):
        its = by_epoch[epoch]
        if (len(its) < LATEST_DAYS or waiting) and len(its) < MAX_DAYS:
            its.append(DayCounts(day, taken, unchanged, refused, waiting, given_up[epoch, day], moved))
    return by_epoch
