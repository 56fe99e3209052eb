"""What is in an outbox, for a person to look at while no agent has it open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from msgspec import Struct

from edge import outbox_accounts as accounts
from edge.contract.messages import EpochState, Head, Lane
from edge.outbox_file import looking_into

DAYS_OF_HEADS = 8


class LaneView(Struct, frozen=True):
    """What waits in one lane."""

    lane: str
    messages: int
    readings: int
    bytes: int
    oldest_at: int | None  # when it was committed, ms UTC


class RefusedView(Struct, frozen=True):
    """A message that the cloud will never take."""

    epoch: str
    lane: str
    seq: int
    reason: str
    refused_at: int  # ms UTC
    bytes: int


class OutboxView(Struct, frozen=True):
    """All that there is to see; ``drafted`` and ``undated`` are readings that are in no message yet."""

    path: str
    lanes: list[LaneView]
    drafted: int
    undated: int
    epochs: list[EpochState]
    refused: list[RefusedView]
    heads: list[Head]


def view(path: Path) -> OutboxView:
    """Look into a file and change nothing. Raises OutboxError."""
    with looking_into(path) as db:
        return OutboxView(
            path=str(path),
            lanes=_lanes(db),
            drafted=_one(db, "SELECT TOTAL(readings) FROM drafts WHERE boot = ''"),
            undated=_one(db, "SELECT TOTAL(readings) FROM drafts WHERE boot <> ''"),
            epochs=accounts.states(db),
            refused=_refused(db),
            heads=accounts.heads(db, DAYS_OF_HEADS),
        )


def _lanes(db: sqlite3.Connection) -> list[LaneView]:
    query = "SELECT lane, COUNT(*), SUM(readings), SUM(size), MIN(committed_at) FROM messages GROUP BY lane"
    waiting = {lane: rest for lane, *rest in db.execute(query)}
    return [LaneView(lane.name.lower(), *waiting.get(lane, (0, 0, 0, None))) for lane in Lane]


def _refused(db: sqlite3.Connection) -> list[RefusedView]:
    query = "SELECT epoch, lane, seq, reason, refused_at, LENGTH(payload) FROM refused ORDER BY id"
    return [RefusedView(epoch, Lane(lane).name.lower(), *rest) for epoch, lane, *rest in db.execute(query)]


def _one(db: sqlite3.Connection, query: str) -> int:
    [number] = db.execute(query).fetchone()
    return int(number)
