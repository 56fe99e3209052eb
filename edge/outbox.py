"""Store and forward: what the gateway has accepted and the cloud has not yet confirmed.

Promise: what :meth:`Outbox.append_all` has returned for survives kill -9 and power cuts, is sent until a receipt comes,
and is only ever dropped counted: as given up, with the reason, or as refused (the cloud's word).

Readings come as *drafts* (:mod:`edge.outbox_drafts`), which :meth:`Outbox.seal_drafts` makes into batches now and then;
they count as taken from then on. A message is named by (epoch, lane, seq). The epoch is a random identity, new when the
file is new or was not closed cleanly, so that a disk which lost its last writes can never give one name to two
messages; what waits keeps the name that it was given. Drafts that a kill has left are sealed when the file is opened,
under the new epoch.

All methods block (one transaction is one fsync, which takes a second on a bad SD card) and are thread-safe: call them
through ``asyncio.to_thread``. What they raise is drawn in :mod:`edge.outbox_file`.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import structlog

from edge import outbox_accounts as accounts
from edge.clock_state import CLOCK_IS_SET_MS
from edge.contract.clock import Clock
from edge.contract.days import day_of
from edge.contract.messages import HEADER_SIZE, Body, EpochState, GiveUpReason, Head, Lane, Receipt
from edge.outbox_change import Change, KeptDraft, Load, MessageName, kept_drafts, load_of
from edge.outbox_drafts import Draft, bodies_of
from edge.outbox_file import (
    OutboxBrokenError,
    OutboxError,
    OutboxFile,
    OutboxFullError,
    OutboxLockedError,
)
from edge.outbox_room import make_room
from edge.outbox_salvage import Salvaged

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

SEALED_AT_ONCE: Final = 40_000  # readings in one commit, so that even the smallest outbox takes it
DATED_AT_ONCE: Final = 500  # drafts
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

_log = structlog.get_logger()
T = TypeVar("T")

OnCommit = Callable[[Iterable[tuple[str, Draft]], Sequence[EpochState]], None]
"""Told the drafts just committed, by name, once they have their time; and where the epochs stand, when drafts have been
counted. It is called before anything of it is sealed or sent: see edge/journal.py."""


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

    def __init__(
        self, path: Path, *, max_bytes: int, max_age_ms: int, clock: Clock, on_commit: OnCommit, boot: str
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_ms
        self._clock = clock
        self._on_commit = on_commit
        self._boot = boot
        self._turn = threading.RLock()
        self._file: OutboxFile | None = None
        self._load = Load()
        self._own_offset_ms = 0
        self._backlog_sent_up_to = 0  # the highest id, since the file is open
        self.epoch = ""  # until the disk has taken it
        self.salvaged: Salvaged | None = None

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        max_bytes: int,
        max_age_ms: int,
        clock: Clock,
        on_commit: OnCommit | None = None,
        boot: str | None = None,
    ) -> Outbox:
        """Open or make the outbox at ``path``; what can be read of a corrupt file is taken over.

        At most ``max_bytes`` wait, none longer than ``max_age_ms`` of the time that the outbox is open. ``on_commit``
        is first told the drafts that wait already. ``boot`` names this run of the machine. Where the disk takes
        nothing, it can be read from (if there is a file), and each call that changes something tries again. Raises
        OutboxLockedError, OutboxBrokenError.
        """
        outbox = cls(
            path,
            max_bytes=max_bytes,
            max_age_ms=max_age_ms,
            clock=clock,
            on_commit=on_commit or _tell_nobody,
            boot=boot or BOOT_ID.read_text(encoding="ascii").strip(),
        )
        try:
            outbox._begin()
            while outbox.seal_drafts(Lane.BACKLOG):
                pass
        except OutboxFullError as error:
            _log.error("the outbox cannot be written", reason=str(error))
        except BaseException:
            if outbox._file is not None:
                outbox._file.close()
            raise
        return outbox

    def close(self) -> None:
        """Mark a clean stop and close; the epoch goes on at the next start."""
        with self._turn:
            if self._file is None:
                return
            try:
                with suppress(OutboxFullError), self._file.transaction() as db:
                    accounts.close_epoch(db, self.epoch)
            finally:
                self._file.close()

    # --- the agent's side ---

    def append(self, lane: Lane, body: Body) -> MessageName:
        """Commit one message; see :meth:`append_all`."""
        return self.append_all([(lane, body)])[0]

    def append_all(
        self,
        messages: Sequence[tuple[Lane, Body]] = (),
        *,
        draft: Draft | None = None,
        open_events: Mapping[str, str | None] | None = None,
    ) -> list[MessageName]:
        """Commit messages, a draft and detector state in one transaction; return the names of the messages, in order.

        What of the draft is undated waits for :meth:`date`. ``open_events`` sets the state (JSON text) of an open
        event, or removes it with None. The readings of a batch among the messages count for today.
        When all is too much, backlog is thinned, then dropped, then the rest: see edge/outbox_room.py.
        Raises OutboxFullError (nothing was stored: try again), OutboxBrokenError; ValueError for what could never fit.
        """
        dated, undated = (None, None) if draft is None else draft.split()
        parts = [(one, one.to_bytes(), one is undated) for one in (dated, undated) if one]
        size = sum(HEADER_SIZE + len(body.data) for _, body in messages) + sum(len(content) for _, content, _ in parts)
        with self._change() as change:
            self._make_room(change, size)
            names = [change.put_new(lane, body) for lane, body in messages]
            for one, content, is_undated in parts:
                change.put_draft(secrets.token_hex(8), one, content, is_undated=is_undated)
            _save_open_events(change.db, open_events or {})
        return names

    @property
    def drafted(self) -> int:
        """How many readings wait to be sealed."""
        return self._load.drafted

    @property
    def has_drafts(self) -> bool:
        """Whether there is anything for :meth:`seal_drafts`."""
        return self._load.drafts + self._load.strangers > 0

    @property
    def has_undated(self) -> bool:
        """Whether anything that was taken in this run of the machine waits for its time."""
        return self._load.undated > 0

    def seal_drafts(self, lane: Lane) -> bool:
        """Make the oldest drafts into batches of a lane, some 40,000 readings at once; say whether more are left.

        Undated ones of another run of the machine are given up as soon as it is known which day it is.
        Raises OutboxFullError (nothing has changed), OutboxBrokenError.
        """
        if self._load.strangers and self._clock.now_ms() >= CLOCK_IS_SET_MS:
            self._give_up_strangers()
        kept = self._read(lambda db: list(_first(kept_drafts(db, ""), SEALED_AT_ONCE))) or []
        if not kept:
            return False
        drafts = [each.draft for each in kept if each.draft is not None]
        sealed = list(bodies_of(drafts))  # takes long: meanwhile others may read
        with self._change() as change:
            change.remove_drafts(kept)
            self._make_room(change, sum(HEADER_SIZE + len(each.body.data) for each in sealed if each.body))
            for each in sealed:
                change.put_sealed(lane, each)
            for draft in drafts:
                change.count_unsent(draft.unchanged, draft.disk_full)
            unread = sum(each.readings for each in kept if each.draft is None)
            change.lose(day_of(change.now_ms), GiveUpReason.DAMAGED, unread)
            change.states = accounts.states(change.db)
        faults = {each.fault for each in sealed if each.body is None}
        if unread or faults:
            _log.error("gave up readings that no batch can carry", drafts_unread=unread, faults=sorted(faults))
        return len(kept) < self._load.drafts

    def date(self, offset_ms: int, known_since: int) -> None:
        """Give all that was taken undated in this run of the machine its time: ``offset_ms`` later than it shows.

        ``known_since``: when the time became known, which says how good these times are.
        Raises OutboxFullError (call it again with the same offset), OutboxBrokenError.
        """
        while self._load.undated:
            with self._change() as change:
                for kept in list(islice(kept_drafts(change.db, self._boot), DATED_AT_ONCE)):
                    change.date(kept, offset_ms, known_since)

    def open_events(self) -> dict[str, str]:
        """Return the detector state of the events open at the last commit: key -> JSON text."""
        return self._read(lambda db: dict(db.execute("SELECT key, state FROM open_events"))) or {}

    # --- the sender's side ---

    def next_waiting(self, lane: Lane, *, after: int = 0) -> Waiting | None:
        """Return the oldest message of a lane with an id over ``after``."""
        return self._one_waiting(
            "SELECT id, epoch, lane, seq, payload FROM messages WHERE lane = ? AND id > ? ORDER BY id LIMIT 1",
            lane,
            after,
        )

    def next_to_send(self, lane: Lane, *, after: int = 0) -> Waiting | None:
        """Return what :meth:`next_waiting` does, to be sent: from now on the cloud may have it."""
        with self._turn:
            found = self.next_waiting(lane, after=after)
            if found is not None and lane is Lane.BACKLOG:
                self._backlog_sent_up_to = max(self._backlog_sent_up_to, found.id)
        return found

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
        with self._change(durable=False) as change:
            for part in receipt.ranges:
                its = change.forget(receipt, part)
                if its and part.outcome == "refused":
                    lane = receipt.lane.name.lower()
                    _log.error(
                        "the cloud refused messages: set aside", messages=len(its), lane=lane, reason=part.reason
                    )
                gone += its
        return gone

    def refused(self) -> list[Refused]:
        """Return what the cloud refused for good, oldest first; at most the last 64."""
        query = "SELECT epoch, lane, seq, reason, refused_at, payload FROM refused ORDER BY id"
        rows = self._read(lambda db: db.execute(query).fetchall()) or []
        return [Refused(MessageName(epoch, Lane(lane), seq), *rest) for epoch, lane, seq, *rest in rows]

    def states(self) -> list[EpochState]:
        """Return where each epoch stands, for the status: the current one first, at most 16."""
        return self._read(accounts.states) or []

    def keep_head(self, head: Head) -> None:
        """Keep a head of the cloud's statements as their witness: the first that came for its day, of 400 days."""
        with self._change() as change:
            accounts.keep_head(change.db, head)

    def heads(self) -> list[Head]:
        """Return the newest 8 heads, newest first."""
        return self._read(lambda db: accounts.heads(db, accounts.TOLD_HEADS)) or []

    def _one_waiting(self, query: str, *values: int) -> Waiting | None:
        row = self._read(lambda db: db.execute(query, values).fetchone())
        return Waiting(row[0], MessageName(row[1], Lane(row[2]), row[3]), row[4]) if row else None

    def _begin(self) -> OutboxFile:
        """Open the file, and the epoch in it, unless that is done. Raises OutboxError."""
        with self._turn:
            if self._file is None:
                self._file = OutboxFile.open(self._path, now_ms=self._clock.now_ms())
                self.salvaged = self._file.salvaged
                with self._file.transaction(durable=False) as db:
                    self._load = load_of(db, self._boot)
                    self._own_offset_ms = _own_time_of(db, self._clock) - self._clock.monotonic_ms()
            if not self.epoch:
                with self._file.transaction() as db:
                    epoch = accounts.open_epoch(db)
                    drafts = ((kept.name, kept.draft) for kept in kept_drafts(db, "") if kept.draft is not None)
                    self._on_commit(drafts, accounts.states(db))
                self.epoch = epoch
                waiting = sum(self._load.messages.values())
                _log.info("outbox open", path=str(self._path), epoch=epoch, waiting=waiting)
            return self._file

    def _read(self, ask: Callable[[sqlite3.Connection], T]) -> T | None:
        """Return the answer of the file; None where none could be opened yet."""
        with self._turn:
            if self._file is None:
                return None
            with self._file.transaction(durable=False) as db:
                return ask(db)

    @contextmanager
    def _change(self, *, durable: bool = True) -> Iterator[Change]:
        """Change the outbox in one transaction; what waits counts, and is told, once it is committed."""
        with self._turn:
            with self._begin().transaction(durable=durable) as db:
                own_ms = self._clock.monotonic_ms() + self._own_offset_ms
                change = Change(db, self._load.copy(), self.epoch, self._boot, self._clock.now_ms(), own_ms)
                yield change
            self._load = change.load
            if change.dated or change.states:
                self._on_commit(change.dated, change.states)

    def _give_up_strangers(self) -> None:
        with self._change() as change:
            readings = change.give_up_strangers()
        _log.error("gave up readings taken before the clock was set, when the machine last ran", readings=readings)

    def _make_room(self, change: Change, size: int) -> None:
        """Give up what is too old, and the oldest until ``size`` more bytes fit; ValueError where they never can."""
        if size > self._max_bytes:
            raise ValueError(f"{size} bytes at once can never fit an outbox of {self._max_bytes} bytes")
        make_room(
            change,
            room=self._max_bytes - size,
            before_ms=change.own_ms - self._max_age_ms,
            sent_up_to=self._backlog_sent_up_to,
        )


def _own_time_of(db: sqlite3.Connection, clock: Clock) -> int:
    """Return where the outbox's own time goes on, by which messages age: only while it is open, and nobody sets it."""
    row = db.execute("SELECT committed_at FROM messages ORDER BY id DESC LIMIT 1").fetchone()
    return max(row[0] if row else clock.now_ms(), CLOCK_IS_SET_MS)


def _tell_nobody(_drafts: Iterable[tuple[str, Draft]], _states: Sequence[EpochState]) -> None:
    """Stand in where no journal is kept."""


def _first(drafts: Iterable[KeptDraft], most: int) -> Iterator[KeptDraft]:
    """Give drafts until they have at least so many readings."""
    readings = 0
    for each in drafts:
        yield each
        readings += each.readings
        if readings >= most:
            return


def _save_open_events(db: sqlite3.Connection, changes: Mapping[str, str | None]) -> None:
    for key, state in changes.items():
        if state is None:
            db.execute("DELETE FROM open_events WHERE key = ?", (key,))
        else:
            db.execute("INSERT OR REPLACE INTO open_events (key, state) VALUES (?, ?)", (key, state))
