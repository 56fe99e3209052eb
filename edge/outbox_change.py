"""One transaction on the outbox: what it puts, removes and counts, and how much then waits."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from msgspec.structs import replace

from edge import outbox_accounts as accounts
from edge.contract.days import day_of
from edge.contract.messages import (
    LANE_KIND,
    Body,
    EpochState,
    Event,
    GiveUpReason,
    Lane,
    Receipt,
    ReceiptRange,
    encode_event,
    seal,
)
from edge.outbox_drafts import Draft, DraftError, Hours, Sealed, by_day, dated_event

NEVER_KNOWN: Final = "the gateway did not know the time: this was before its last start, at the latest"
KEPT_REFUSED: Final = 64  # messages set aside; a further one takes the place of the oldest


class MessageName(NamedTuple):
    """What everyone calls a message, for ever."""

    epoch: str
    lane: Lane
    seq: int


@dataclass(slots=True)
class Load:
    """What waits, kept in memory so that nobody counts rows."""

    messages: dict[Lane, int] = field(default_factory=lambda: dict.fromkeys(Lane, 0))
    bytes: int = 0  # of messages and drafts
    drafts: int = 0  # that have their time
    drafted: int = 0  # readings in these
    undated: int = 0  # drafts that wait for it
    strangers: int = 0  # undated drafts of another run of the machine

    def copy(self) -> Load:
        """Return one that can be changed."""
        return Load(dict(self.messages), self.bytes, self.drafts, self.drafted, self.undated, self.strangers)

    def add(self, lane: Lane, messages: int, size: int) -> None:
        """Count messages; negative numbers take them off."""
        self.messages[lane] += messages
        self.bytes += size


class KeptDraft(NamedTuple):
    """A draft in the file; ``draft`` is None where its content cannot be read."""

    id: int
    name: str
    readings: int
    draft: Draft | None


@dataclass(slots=True)
class Change:
    """What is done in one transaction; ``load`` holds once it is committed."""

    db: sqlite3.Connection
    load: Load
    epoch: str  # that new messages get
    boot: str
    now_ms: int
    own_ms: int  # by which messages age
    dated: list[tuple[str, Draft]] = field(default_factory=list)  # drafts that have been put with their time, by name
    states: Sequence[EpochState] = ()  # where the epochs stand, if the caller wants it told

    # --- messages ---

    def put(self, lane: Lane, body: Body, *, day: str = "", thinned: int = 0) -> MessageName:
        """Put a message at the end of its lane; its readings are not counted as taken."""
        seq = accounts.next_seq(self.db, self.epoch, lane)
        payload = seal(body, lane=lane, epoch=self.epoch, seq=seq)
        readings = body.readings if LANE_KIND[lane] == "batch" else 0
        day = day or day_of(self.now_ms)
        self.db.execute(
            "INSERT INTO messages (lane, epoch, seq, readings, committed_at, size, payload, day, thinned)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (lane, self.epoch, seq, readings, self.own_ms, len(payload), payload, day, thinned),
        )
        accounts.count(self.db, self.epoch, day, waiting=readings)
        self.load.add(lane, 1, len(payload))
        return MessageName(self.epoch, lane, seq)

    def put_new(self, lane: Lane, body: Body, *, day: str = "") -> MessageName:
        """Put a message whose readings have not been counted yet."""
        readings = body.readings if LANE_KIND[lane] == "batch" else 0
        accounts.count(self.db, self.epoch, day or day_of(self.now_ms), taken=readings)
        return self.put(lane, body, day=day)

    def put_sealed(self, lane: Lane, sealed: Sealed) -> None:
        """Put readings that were drafted; those that no batch can carry are given up."""
        if sealed.body is not None:
            self.put_new(lane, sealed.body, day=sealed.day)
        else:
            self.lose(sealed.day, GiveUpReason.DAMAGED, sealed.readings)

    def forget(self, receipt: Receipt, part: ReceiptRange) -> list[int]:
        """Delete what a range of a receipt names; set it aside and count it where it is refused; return the ids."""
        if part.outcome == "refused":
            self._set_aside(receipt, part)
        rows = self.db.execute(
            "DELETE FROM messages WHERE epoch = ? AND lane = ? AND seq BETWEEN ? AND ?"
            " RETURNING id, readings, size, day, committed_at",
            (receipt.epoch, receipt.lane, part.first, part.last),
        ).fetchall()
        self.load.add(receipt.lane, -len(rows), -sum(size for _, _, size, *_ in rows))
        days: Counter[str] = Counter()
        for _, readings, _, day, committed_at in rows:
            days[day or day_of(committed_at)] += readings
        for day, readings in days.items():
            refused = readings if part.outcome == "refused" else 0
            accounts.count(self.db, receipt.epoch, day, refused=refused, waiting=-readings)
        return [message_id for message_id, *_ in rows]

    def _set_aside(self, receipt: Receipt, part: ReceiptRange) -> None:
        rows = self.db.execute(
            "SELECT seq, payload FROM messages"
            " WHERE epoch = ? AND lane = ? AND seq BETWEEN ? AND ? ORDER BY id DESC LIMIT ?",
            (receipt.epoch, receipt.lane, part.first, part.last, KEPT_REFUSED),
        ).fetchall()
        self.db.executemany(
            "INSERT INTO refused (lane, epoch, seq, reason, refused_at, payload) VALUES (?, ?, ?, ?, ?, ?)",
            [(receipt.lane, receipt.epoch, seq, part.reason, self.now_ms, payload) for seq, payload in reversed(rows)],
        )
        self.db.execute("DELETE FROM refused WHERE id <= (SELECT MAX(id) FROM refused) - ?", (KEPT_REFUSED,))

    # --- readings that are in no message ---

    def lose(self, day: str, reason: GiveUpReason, readings: int) -> None:
        """Count readings as taken and given up at once."""
        accounts.count(self.db, self.epoch, day, taken=readings)
        accounts.count_given_up(self.db, self.epoch, day, reason, readings)

    def count_unsent(self, unchanged: Hours, disk_full: Hours) -> None:
        """Count what a draft says of readings that are not in it."""
        for day, readings in by_day(unchanged).items():
            accounts.count(self.db, self.epoch, day, taken=readings, unchanged=readings)
        for day, readings in by_day(disk_full).items():
            self.lose(day, GiveUpReason.DISK_FULL, readings)

    # --- drafts ---

    def put_draft(self, name: str, draft: Draft, content: bytes, *, is_undated: bool) -> None:
        """Put a draft; an undated one belongs to this run of the machine."""
        boot = self.boot if is_undated else ""
        self.db.execute(
            "INSERT INTO drafts (name, boot, readings, size, content) VALUES (?, ?, ?, ?, ?)",
            (name, boot, draft.readings, len(content), content),
        )
        self.load.bytes += len(content)
        if is_undated:
            self.load.undated += 1
        else:
            self.load.drafts += 1
            self.load.drafted += draft.readings
            self.dated.append((name, draft))

    def date(self, kept: KeptDraft, offset_ms: int, known_since: int) -> None:
        """Give an undated draft its time; its events go out at once."""
        [[size]] = self.db.execute("DELETE FROM drafts WHERE id = ? RETURNING size", (kept.id,)).fetchall()
        self.load.bytes -= size
        self.load.undated -= 1
        if kept.draft is None:
            self.lose(day_of(self.now_ms), GiveUpReason.DAMAGED, kept.readings)
            return
        draft = kept.draft.shifted(offset_ms, known_since)
        for event in draft.events:
            self.put(Lane.EVENTS, encode_event(event))
        draft = replace(draft, events=())
        if draft:
            self.put_draft(kept.name, draft, draft.to_bytes(), is_undated=False)

    def remove_drafts(self, drafts: Iterable[KeptDraft]) -> None:
        """Remove drafts that have their time."""
        for each in drafts:
            [[size]] = self.db.execute("DELETE FROM drafts WHERE id = ? RETURNING size", (each.id,)).fetchall()
            self.load.bytes -= size
            self.load.drafts -= 1
            self.load.drafted -= each.readings

    def give_up_undated(self, room: int) -> None:
        """Give up the oldest undated readings until at most ``room`` bytes wait; their events go on waiting."""
        [last] = self.db.execute("SELECT MAX(id) FROM drafts").fetchone()
        for kept in kept_drafts(self.db, self.boot):
            if self.load.bytes <= room or kept.id > last:  # or what was put here
                return
            [[size]] = self.db.execute("DELETE FROM drafts WHERE id = ? RETURNING size", (kept.id,)).fetchall()
            self.load.bytes -= size
            self.load.undated -= 1
            unsent = sum(kept.draft.disk_full.values()) if kept.draft else 0
            self.lose(day_of(self.now_ms), GiveUpReason.OUTBOX_FULL, kept.readings + unsent)
            if kept.draft is not None and kept.draft.events:
                draft = Draft(origin=kept.draft.origin, events=kept.draft.events)
                self.put_draft(kept.name, draft, draft.to_bytes(), is_undated=True)

    def give_up_strangers(self) -> int:
        """Give up undated readings of other runs of the machine; return how many that were. Their events are sent."""
        others = self.db.execute("SELECT DISTINCT boot FROM drafts WHERE boot NOT IN ('', ?)", (self.boot,)).fetchall()
        events = [event for (boot,) in others for event in self._as_of_now(boot)]
        drafts = (kept.draft for (boot,) in others for kept in kept_drafts(self.db, boot))
        unsent = sum(sum(draft.disk_full.values()) for draft in drafts if draft is not None)
        rows = self.db.execute(
            "DELETE FROM drafts WHERE boot NOT IN ('', ?) RETURNING size, readings", (self.boot,)
        ).fetchall()
        readings = unsent + sum(int(count) for _, count in rows)
        self.load.bytes -= sum(size for size, _ in rows)
        self.load.strangers = 0
        self.lose(day_of(self.now_ms), GiveUpReason.UNDATED, readings)
        for event in events:
            self.put(Lane.EVENTS, encode_event(event))
        return readings

    def _as_of_now(self, boot: str) -> list[Event]:
        """Return what another run of the machine saw: for a flood, a wrong time is better than no word."""
        events = [event for kept in kept_drafts(self.db, boot) if kept.draft for event in kept.draft.events]
        latest = max((event.updated_at for event in events), default=0)
        return [
            replace(dated_event(event, self.now_ms - latest), note=f"{NEVER_KNOWN} {event.note}".strip()[:500])
            for event in events
        ]


def load_of(db: sqlite3.Connection, boot: str) -> Load:
    """Count what waits in a file."""
    load = Load()
    for lane, messages, size in db.execute("SELECT lane, COUNT(*), SUM(size) FROM messages GROUP BY lane"):
        load.add(Lane(lane), messages, size)
    query = "SELECT boot, COUNT(*), SUM(readings), SUM(size) FROM drafts GROUP BY boot"
    for whose, drafts, readings, size in db.execute(query):
        load.bytes += size
        if whose == "":
            load.drafts, load.drafted = drafts, readings
        elif whose == boot:
            load.undated = drafts
        else:
            load.strangers += drafts
    return load


def kept_drafts(db: sqlite3.Connection, boot: str) -> Iterator[KeptDraft]:
    """Give the drafts that have their time (``boot`` is empty), or those of one run of the machine, oldest first."""
    query = "SELECT id, name, readings, content FROM drafts WHERE boot = ? ORDER BY id"
    for draft_id, name, readings, content in db.execute(query, (boot,)):
        try:
            yield KeptDraft(draft_id, name, readings, Draft.from_bytes(content))
        except DraftError:
            yield KeptDraft(draft_id, name, readings, None)
