"""A file that an older program has written: brought up to date without touching what waits."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from edge.contract.days import day_of
from edge.contract.messages import Body, Counts, DayCounts, GiveUpReason, Lane, seal
from edge.outbox import MessageName
from tests.edge.outbox_parts import NOW, body, draft, names, open_outbox, receipt, waiting_in

FORMAT_1 = """
CREATE TABLE epochs (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL UNIQUE, clean INTEGER NOT NULL DEFAULT 0,
    taken INTEGER NOT NULL DEFAULT 0, unchanged INTEGER NOT NULL DEFAULT 0,
    given_up INTEGER NOT NULL DEFAULT 0, refused INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE lanes (
    epoch TEXT NOT NULL REFERENCES epochs (epoch) ON DELETE CASCADE, lane INTEGER NOT NULL,
    next_seq INTEGER NOT NULL DEFAULT 1, PRIMARY KEY (epoch, lane)
) WITHOUT ROWID;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, epoch TEXT NOT NULL REFERENCES epochs (epoch),
    seq INTEGER NOT NULL, readings INTEGER NOT NULL, committed_at INTEGER NOT NULL, size INTEGER NOT NULL,
    payload BLOB NOT NULL, UNIQUE (epoch, lane, seq)
);
CREATE INDEX messages_in_order ON messages (lane, id, size);
CREATE TABLE refused (
    id INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL,
    reason TEXT NOT NULL, refused_at INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE open_events (key TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
EPOCH = "8f3a61c2d47b905e"


def write_format_1(path: Path, *, clean: int) -> list[bytes]:
    """Write a file with five batches and an event; return their payloads."""
    lanes = [Lane.LIVE] * 3 + [Lane.BACKLOG] * 2 + [Lane.EVENTS]
    payloads = []
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(FORMAT_1)
        db.execute("INSERT INTO epochs (epoch, clean, taken, unchanged) VALUES (?, ?, 100, 60)", (EPOCH, clean))
        for lane in Lane:
            db.execute("INSERT INTO lanes VALUES (?, ?, ?)", (EPOCH, lane, 10))
        for number, lane in enumerate(lanes):
            payload = seal(Body(4, 0, 3, b"%03d" % number), lane=lane, epoch=EPOCH, seq=number + 1)
            row = (lane, EPOCH, number + 1, 4, NOW + number, len(payload), payload)
            db.execute(
                "INSERT INTO messages (lane, epoch, seq, readings, committed_at, size, payload)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            payloads.append(payload)
        db.execute("INSERT INTO open_events VALUES ('key', '{}')")
    return payloads


def test_what_waits_in_an_older_file_is_kept_as_it_is(tmp_path: Path) -> None:
    """Names, contents, order and counts stay; the epoch goes on after a clean stop; the days begin with what waits."""
    path = tmp_path / "outbox.sqlite"
    payloads = write_format_1(path, clean=1)
    outbox = open_outbox(path)
    waiting = [each for lane in (Lane.LIVE, Lane.BACKLOG, Lane.EVENTS) for each in waiting_in(outbox, lane)]
    assert [each.payload for each in waiting] == payloads
    assert (outbox.epoch, outbox.open_events()) == (EPOCH, {"key": "{}"})
    [state] = outbox.states()
    assert state.counts == Counts(taken=100, unchanged=60)
    assert state.days == [DayCounts(day_of(NOW), taken=20, waiting=20)]
    assert outbox.append(Lane.LIVE, body(2)).seq == 10
    outbox.forget(receipt(MessageName(EPOCH, Lane.LIVE, 1), "refused"))
    outbox.forget(receipt(MessageName(EPOCH, Lane.LIVE, 2)))
    assert outbox.states()[0].days == [DayCounts(day_of(NOW), taken=22, waiting=14, refused=4)]
    outbox.close()


def test_an_older_file_that_was_not_closed(tmp_path: Path) -> None:
    """It is checked, as any file, and a new epoch begins; what is given up of the older one is counted by day."""
    path = tmp_path / "outbox.sqlite"
    write_format_1(path, clean=0)
    outbox = open_outbox(path, max_bytes=400)
    assert outbox.epoch != EPOCH
    assert len(names(outbox)) == 6
    outbox.append_all(draft=draft(NOW + 1000, NOW + 2000))
    outbox.append(Lane.EVENTS, body(0, size=150))
    [day] = outbox.states()[1].days
    assert day.given_up[GiveUpReason.OUTBOX_FULL] == 20 - day.waiting
    outbox.close()
