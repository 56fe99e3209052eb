"""Store and forward: what the gateway has accepted and the cloud has not yet confirmed.

Promise: what :meth:`Outbox.append_all` has returned for survives kill -9 and power cuts, is sent until a receipt comes,
and is only ever dropped counted: as given up (too many bytes, too old) or as refused (the cloud's word).

A message is named by (epoch, lane, seq). The epoch is a random identity, new when the file is new or was not closed
cleanly, so that a disk which lost its last writes can never give one name to two messages; what waits keeps the name
that it was given.

All methods block (one transaction is one fsync, which takes a second on a bad SD card) and are thread-safe: call them
through ``asyncio.to_thread``. What they raise is drawn in :mod:`edge.outbox_file`.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog

from edge.clock_state import CLOCK_IS_SET_MS
from edge.contract.clock import Clock
from edge.contract.messages import (
    HEADER_SIZE,
    LANE_KIND,
    Body,
    Counts,
    EpochState,
    Lane,
    LaneState,
    Receipt,
    ReceiptRange,
    seal,
)
from edge.outbox_file import OutboxBrokenError, OutboxError, OutboxFile, OutboxFullError, OutboxLockedError

__all__ = [
    "MessageName",
    "OnCommit",
    "Outbox",
    "OutboxBrokenError",
    "OutboxError",
    "OutboxFullError",
    "OutboxLockedError",
    "Refused",
    "Waiting",
]

KEPT_EPOCHS = 16
KEPT_REFUSED = 64  # messages set aside; a further one takes the place of the oldest
GIVE_UP_ORDER = (Lane.BACKLOG, Lane.LIVE, Lane.BLOBS, Lane.EVENTS)

_log = structlog.get_logger()

OnCommit = Callable[[Iterable[bytes], Sequence[EpochState]], None]
"""Told the payloads just committed and where all epochs stand, before a sender can see them: see edge/journal.py."""


class MessageName(NamedTuple):
    """What everyone calls a message, for ever."""

    epoch: str
    lane: Lane
    seq: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits for its receipt; ids ascend in the order of committing."""

    id: int
    name: MessageName
    payload: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that the cloud will never take, kept for a person to look at."""

    name: MessageName
    reason: str
    refused_at: int  # ms UTC
    payload: bytes


class Outbox:
    """The outbox of one gateway; made by :meth:`open`."""

    def __init__(self, file: OutboxFile, *, max_bytes: int, max_age_ms: int, clock: Clock, on_commit: OnCommit) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_ms
        self._clock = clock
        self._on_commit = on_commit
        self._turn = threading.Lock()
        with file.transaction() as db:
            self.epoch = _open_epoch(db)
            self._load = _load(db)
            on_commit((payload for (payload,) in db.execute("SELECT payload FROM messages ORDER BY id")), _states(db))
        _log.info("outbox open", path=str(file.path), epoch=self.epoch, waiting=sum(self._load.messages.values()))

    @classmethod
    def open(
        cls, path: Path, *, max_bytes: int, max_age_ms: int, clock: Clock, on_commit: OnCommit | None = None
    ) -> Outbox:
        """Open or make the outbox at ``path``; a corrupt file is renamed aside and said.

        At most ``max_bytes`` of payloads wait, none longer than ``max_age_ms``. ``on_commit`` is first told what waits
        already. Raises OutboxLockedError, OutboxFullError, OutboxBrokenError.
        """
        file = OutboxFile.open(path, now_ms=clock.now_ms())
        try:
            return cls(
                file, max_bytes=max_bytes, max_age_ms=max_age_ms, clock=clock, on_commit=on_commit or _tell_nobody
            )
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Mark a clean stop and close; the epoch goes on at the next start."""
        with self._turn:
            try:
                with self._file.transaction() as db:
                    db.execute("UPDATE epochs SET clean = 1 WHERE epoch = ?", (self.epoch,))
            finally:
                self._file.close()

    # --- the agent's side ---

    def append(
        self,
        lane: Lane,
        body: Body,
        *,
        unchanged: int = 0,
        given_up: int = 0,
        open_events: Mapping[str, str | None] | None = None,
    ) -> MessageName:
        """Commit one message; see :meth:`append_all`."""
        return self.append_all([(lane, body)], unchanged=unchanged, given_up=given_up, open_events=open_events)[0]

    def append_all(
        self,
        messages: Sequence[tuple[Lane, Body]],
        *,
        unchanged: int = 0,
        given_up: int = 0,
        open_events: Mapping[str, str | None] | None = None,
    ) -> list[MessageName]:
        """Commit messages, counts and detector state in one transaction; return the names, in order.

        ``unchanged`` and ``given_up`` are readings taken since the last call that are in no message: left out by
        exception, or lost because memory was full while the disk was. With the readings of the batches they make up
        ``taken``. ``open_events`` sets the state (JSON text) of an open event, or removes it with None.
        When all is too much, the oldest of backlog, live, blobs and last events is given up, and counted.
        Raises OutboxFullError (nothing was stored: try again), OutboxBrokenError; ValueError for a message that could
        never fit.
        """
        size = sum(HEADER_SIZE + len(body.data) for _, body in messages)
        if size > self._max_bytes:
            raise ValueError(f"{size} bytes at once can never fit an outbox of {self._max_bytes} bytes")
        taken = unchanged + given_up + sum(body.readings for lane, body in messages if LANE_KIND[lane] == "batch")
        now = self._clock.now_ms()
        with self._turn:
            load = self._load.copy()
            with self._file.transaction() as db:
                dropped = _give_up(db, load, room=self._max_bytes - size, before_ms=now - self._max_age_ms)
                sent = [self._insert(db, load, lane, body, now) for lane, body in messages]
                _count(db, self.epoch, taken=taken, unchanged=unchanged, given_up=given_up)
                _save_open_events(db, open_events or {})
                states = _states(db)
            self._load = load
            self._on_commit([payload for _, payload in sent], states)
        if dropped:
            _log.warning("gave up the oldest messages: beyond outbox.max_mb or max_days", messages=dropped)
        return [name for name, _ in sent]

    def open_events(self) -> dict[str, str]:
        """Return the detector state of the events open at the last commit: key -> JSON text."""
        with self._turn, self._file.transaction() as db:
            return dict(db.execute("SELECT key, state FROM open_events"))

    # --- the sender's side ---

    def next_waiting(self, lane: Lane, *, after: int = 0) -> Waiting | None:
        """Return the oldest message of a lane with an id over ``after``."""
        return self._one_waiting(
            "SELECT id, epoch, lane, seq, payload FROM messages WHERE lane = ? AND id > ? ORDER BY id LIMIT 1",
            lane,
            after,
        )

    def find_waiting(self, message_id: int) -> Waiting | None:
        """Return a message by its id, None when it no longer waits."""
        return self._one_waiting("SELECT id, epoch, lane, seq, payload FROM messages WHERE id = ?", message_id)

    def waiting(self, lane: Lane) -> int:
        """How many messages of a lane wait; does not block."""
        return self._load.messages[lane]

    def forget(self, receipt: Receipt) -> list[int]:
        """Do what a receipt says: delete what is stored, set aside what is refused; return the ids that left.

        Not durable by itself: after a power cut the message may be sent again, which is harmless.
        """
        gone: list[int] = []
        with self._turn:
            load = self._load.copy()
            with self._file.transaction(durable=False) as db:
                for part in receipt.ranges:
                    if part.outcome == "refused":
                        self._set_aside(db, receipt, part)
                    gone += _delete(db, load, receipt, part)
            self._load = load
        return gone

    def refused(self) -> list[Refused]:
        """Return what the cloud refused for good, oldest first; at most the last 64."""
        with self._turn, self._file.transaction() as db:
            rows = db.execute(
                "SELECT epoch, lane, seq, reason, refused_at, payload FROM refused ORDER BY id"
            ).fetchall()
        return [Refused(MessageName(epoch, Lane(lane), seq), *rest) for epoch, lane, seq, *rest in rows]

    def states(self) -> list[EpochState]:
        """Return where each epoch stands, for the status: the current one first, at most 16."""
        with self._turn, self._file.transaction(durable=False) as db:
            return _states(db)

    def _one_waiting(self, query: str, *values: int) -> Waiting | None:
        with self._turn, self._file.transaction(durable=False) as db:
            row = db.execute(query, values).fetchone()
        return Waiting(row[0], MessageName(row[1], Lane(row[2]), row[3]), row[4]) if row else None

    def _insert(
        self, db: sqlite3.Connection, load: _Load, lane: Lane, body: Body, now_ms: int
    ) -> tuple[MessageName, bytes]:
        [[seq]] = db.execute(
            "UPDATE lanes SET next_seq = next_seq + 1 WHERE epoch = ? AND lane = ? RETURNING next_seq - 1",
            (self.epoch, lane),
        ).fetchall()
        payload = seal(body, lane=lane, epoch=self.epoch, seq=seq)
        readings = body.readings if LANE_KIND[lane] == "batch" else 0
        db.execute(
            "INSERT INTO messages (lane, epoch, seq, readings, committed_at, size, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (lane, self.epoch, seq, readings, now_ms, len(payload), payload),
        )
        load.add(lane, 1, len(payload))
        return MessageName(self.epoch, lane, seq), payload

    def _set_aside(self, db: sqlite3.Connection, receipt: Receipt, part: ReceiptRange) -> None:
        rows = db.execute(
            "SELECT seq, readings, payload FROM messages"
            " WHERE epoch = ? AND lane = ? AND seq BETWEEN ? AND ? ORDER BY id DESC LIMIT ?",
            (receipt.epoch, receipt.lane, part.first, part.last, KEPT_REFUSED),
        ).fetchall()
        db.executemany(
            "INSERT INTO refused (lane, epoch, seq, reason, refused_at, payload) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (receipt.lane, receipt.epoch, seq, part.reason, self._clock.now_ms(), payload)
                for seq, _, payload in reversed(rows)
            ],
        )
        db.execute("DELETE FROM refused WHERE id <= (SELECT MAX(id) FROM refused) - ?", (KEPT_REFUSED,))


@dataclass(slots=True)
class _Load:
    """What waits, kept in memory so that nobody counts rows."""

    messages: dict[Lane, int]
    bytes: int

    def copy(self) -> _Load:
        return _Load(dict(self.messages), self.bytes)

    def add(self, lane: Lane, messages: int, size: int) -> None:
        self.messages[lane] += messages
        self.bytes += size


def _tell_nobody(_payloads: Iterable[bytes], _states: Sequence[EpochState]) -> None:
    """Stand in where no journal is kept."""


def _open_epoch(db: sqlite3.Connection) -> str:
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


def _load(db: sqlite3.Connection) -> _Load:
    load = _Load(dict.fromkeys(Lane, 0), 0)
    for lane, messages, size in db.execute("SELECT lane, COUNT(*), SUM(size) FROM messages GROUP BY lane"):
        load.add(Lane(lane), messages, size)
    return load


def _states(db: sqlite3.Connection) -> list[EpochState]:
    """Return the current epoch, then those where something waits, then the newest."""
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
    for epoch, lane, next_seq, oldest in lanes:
        if epoch in by_epoch:
            by_epoch[epoch][Lane(lane).name.lower()] = LaneState(oldest or next_seq, next_seq)
    return [EpochState(epoch, by_epoch[epoch], Counts(*counts)) for epoch, *counts in epochs]


def _count(db: sqlite3.Connection, epoch: str, *, taken: int, unchanged: int, given_up: int) -> None:
    db.execute(
        "UPDATE epochs SET taken = taken + ?, unchanged = unchanged + ?, given_up = given_up + ? WHERE epoch = ?",
        (taken, unchanged, given_up, epoch),
    )


def _save_open_events(db: sqlite3.Connection, changes: Mapping[str, str | None]) -> None:
    for key, state in changes.items():
        if state is None:
            db.execute("DELETE FROM open_events WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO open_events (key, state) VALUES (?, ?)", (key, state))


def _give_up(db: sqlite3.Connection, load: _Load, *, room: int, before_ms: int) -> int:
    """Drop what was committed before a time, and the oldest until at most ``room`` bytes wait; return how many."""
    dropped = 0
    oldest = "SELECT id, epoch, readings, size, committed_at FROM messages WHERE lane = ? ORDER BY id LIMIT 1"
    for lane in GIVE_UP_ORDER:
        while row := db.execute(oldest, (lane,)).fetchone():
            message_id, epoch, readings, size, committed_at = row  # the age of what an unset clock stored is unknown
            if load.bytes <= room and not CLOCK_IS_SET_MS <= committed_at < before_ms:
                break
            db.execute("DELETE FROM messages WHERE id = ?", (message_id,))
            _count(db, epoch, taken=0, unchanged=0, given_up=readings)
            load.add(lane, -1, -size)
            dropped += 1
    return dropped


def _delete(db: sqlite3.Connection, load: _Load, receipt: Receipt, part: ReceiptRange) -> list[int]:
    """Delete what a range names; count its readings when it is refused; return the ids."""
    rows = db.execute(
        "DELETE FROM messages WHERE epoch = ? AND lane = ? AND seq BETWEEN ? AND ? RETURNING id, readings, size",
        (receipt.epoch, receipt.lane, part.first, part.last),
    ).fetchall()
    load.add(receipt.lane, -len(rows), -sum(size for _, _, size in rows))
    if rows and part.outcome == "refused":
        readings = sum(readings for _, readings, _ in rows)
        db.execute("UPDATE epochs SET refused = refused + ? WHERE epoch = ?", (readings, receipt.epoch))
        lane = receipt.lane.name.lower()
        _log.error("the cloud refused messages: set aside", messages=len(rows), lane=lane, reason=part.reason)
    return [message_id for message_id, _, _ in rows]
