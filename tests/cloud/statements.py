"""A ledger for the tests of statements: messages that come, statuses that gateways say, days that close."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from cloud.database import Database
from cloud.gateway_states import take_status
from cloud.ledger import Entry, Name, Outcome, hash_of, record, settle
from cloud.statements.closing import close_days
from cloud.statements.compaction import compact
from cloud.statements.statement import Statement, read_statement
from cloud.statements.verify import NEVER, Verified, verify
from edge.contract.days import DAY_MS, bounds_of, day_of
from edge.contract.messages import (
    ClockState,
    Counts,
    DayCounts,
    EpochState,
    GiveUpReason,
    Head,
    Lane,
    LaneState,
    Status,
)
from tests.cloud.batches import EPOCH

T = TypeVar("T")

DAY = "2026-11-26"
NOON = bounds_of(DAY)[0] + DAY_MS // 2
HOUR = 3_600_000
SLOT_MS = 600_000
ODD = "field type conflict: depth"


class Books:
    """The books of one cloud, in a database to which gw-1 is registered."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run on the database what reads."""
        return self.database.read_now(work)

    def come(
        self,
        *seqs: int,
        at: int = NOON,
        day: str | None = None,
        outcome: Outcome = "stored",
        reason: str = "",
        readings: int = 10,
        lane: Lane = Lane.LIVE,
        gateway: str = "gw-1",
        epoch: str = EPOCH,
    ) -> list[Entry]:
        """Let messages come; return what the ledger says of them."""
        said = (outcome, reason, at, day or day_of(at))
        names = [Name(gateway, epoch, lane, seq) for seq in seqs]
        return self.enter([Entry(name, hash_of(b"%d" % name.seq), readings, *said) for name in names])

    def enter(self, entries: Sequence[Entry]) -> list[Entry]:
        """Enter these; return what the ledger says of them."""
        return list(self.database.write_now(lambda connection: record(connection, entries)).values())

    def settle(self, seq: int, *, at: int, readings: int = 10) -> None:
        """Store what was refused."""
        entry = Entry(Name("gw-1", EPOCH, Lane.LIVE, seq), hash_of(b"%d" % seq), readings, "stored", "", at, day_of(at))
        self.database.write_now(lambda connection: settle(connection, entry))

    def say(
        self,
        *days: DayCounts,
        at: int = NOON,
        lanes: Mapping[str, tuple[int, int]] | None = None,
        counts: Counts | None = None,
        heads: Iterable[Head] = (),
        gateway: str = "gw-1",
    ) -> None:
        """Let a gateway say its status."""
        stand = {name: LaneState(*lane) for name, lane in (lanes or {}).items()}
        status = Status(
            gateway=gateway,
            session="aa",
            online=True,
            sent_at=at,
            clock=ClockState.SYNCHRONISED,
            config_hash="ab",
            epochs=[EpochState(EPOCH, stand, counts or Counts(), list(days))],
            heads=list(heads),
        )
        self.database.write_now(lambda connection: take_status(connection, status, retained=False, now_ms=at))

    def close(self, *, at: int) -> list[Head]:
        """Close the days that are over."""
        return asyncio.run(close_days(self.database, now_ms=at))

    def compact(self, *, at: int, days: int = 0) -> int:
        """Compact what was closed so many days ago."""
        return asyncio.run(compact(self.database, days=days, now_ms=at))

    def statement(self, day: str = DAY, *, at: int = NOON + DAY_MS, gateway: str = "gw-1") -> Statement:
        """Return the statement of a day."""
        found = self.read(lambda connection: read_statement(connection, gateway, day, now_ms=at))
        assert found is not None
        return found

    def verify(self, *, since: str = "", exported: Iterable[Head] = (), kept_since: str = NEVER) -> Verified:
        """Verify the chain."""
        heads = list(exported)
        return self.read(lambda connection: verify(connection, since=since, exported=heads, kept_since=kept_since))

    def live_through_a_bad_day(self, day: str = DAY) -> None:
        """Let gw-1 have an outage from 6 to 9, a full disk from 13 to 13:30 and a refused batch at 16; one batch waits.

        Each ten minutes it takes a batch of 100 readings, and 20 that are unchanged.
        """
        start, _ = bounds_of(day)
        entries: list[Entry] = []
        for slot in range(144):
            at = start + (slot + 1) * SLOT_MS - 1
            is_cut_off = 36 <= slot < 54  # what is taken meanwhile comes later
            if slot in {78, 79, 80, 143}:  # the disk is full; and the last one waits
                continue
            came_at = start + 55 * SLOT_MS if is_cut_off else at
            lane = Lane.BACKLOG if is_cut_off else Lane.LIVE
            name = Name("gw-1", EPOCH, lane, 1 + sum(each.name.lane == lane for each in entries))
            said: tuple[Outcome, str] = ("refused", ODD) if slot == 96 else ("stored", "")
            entries.append(Entry(name, hash_of(b"%d" % name.seq), 100, *said, came_at, day))
        self.enter(entries)
        live, backlog = 122, 18
        self.come(1, 2, at=start + HOUR, lane=Lane.EVENTS, readings=0)
        given_up = {GiveUpReason.DISK_FULL: 300}
        counted = DayCounts(day, taken=17_280, unchanged=2880, refused=100, waiting=100, given_up=given_up)
        stand = {"events": (3, 3), "live": (live + 1, live + 2), "backlog": (backlog + 1, backlog + 1)}
        self.say(counted, at=start + DAY_MS, lanes=stand, counts=Counts(17_280, 2880, 300, 100))
