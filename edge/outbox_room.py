"""What an outbox lets go of when it has no room, or when something has waited for too long; all of it counted.

The oldest readings of the backlog are thinned before any is dropped: some of its oldest batches become one new message
with every second of their readings. All are thinned once before any is thinned twice, up to one reading in sixteen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from edge import outbox_accounts as accounts
from edge.clock_state import CLOCK_IS_SET_MS
from edge.contract.days import day_of
from edge.contract.messages import Batch, ContractError, GiveUpReason, Lane, decode_batch, encode_batch
from edge.outbox_change import Change
from edge.thinning import thinned

MOST_THINNED: Final = 4  # times; then one reading in sixteen is left
THINNED_AT_ONCE: Final = 16  # messages
THINNED_READINGS: Final = 10_000

_OLDEST = "SELECT id, epoch, day, readings, size, committed_at FROM messages WHERE lane = ? ORDER BY id LIMIT 1"
_LEVEL = "SELECT MIN(thinned) FROM messages WHERE lane = ? AND id > ?"
_TO_THIN = (
    "SELECT id, epoch, day, readings, size, committed_at, payload FROM messages"
    " WHERE lane = ? AND id > ? AND thinned = ? ORDER BY id LIMIT ?"
)

_log = structlog.get_logger()


class _Kept(NamedTuple):
    """A message that may have to go."""

    id: int
    epoch: str
    day: str
    readings: int
    size: int
    committed_at: int

    @property
    def day_of_account(self) -> str:
        """Its day, which a message of an older program does not say."""
        return self.day or day_of(self.committed_at)


def make_room(change: Change, *, room: int, before_ms: int, sent_up_to: int) -> None:
    """Let go of what was committed before a time, and of as much that at most ``room`` bytes wait.

    What was sent (backlog up to this id) is not thinned: the cloud may have it whole, and would get half of it twice.
    """
    dropped = sum(_drop_old(change, lane, before_ms) for lane in Lane)
    left_out = 0
    while change.load.bytes > room and (level := _lowest_level(change, sent_up_to)) < MOST_THINNED:
        left_out += _thin(change, level, after=sent_up_to)
    dropped += _drop_oldest(change, (Lane.BACKLOG, Lane.LIVE), room)
    if change.load.bytes > room:
        change.give_up_undated(room)
    dropped += _drop_oldest(change, (Lane.BLOBS, Lane.EVENTS), room)
    if left_out:
        _log.warning("thinned the oldest messages: beyond outbox.max_mb", readings=left_out)
    if dropped:
        _log.warning("gave up the oldest messages: beyond outbox.max_mb or max_days", messages=dropped)


def _lowest_level(change: Change, after: int) -> int:
    """Return how often all of the backlog was thinned; what is empty cannot be thinned."""
    [level] = change.db.execute(_LEVEL, (Lane.BACKLOG, after)).fetchone()
    return MOST_THINNED if level is None else int(level)


def _drop_old(change: Change, lane: Lane, before_ms: int) -> int:
    dropped = 0
    while (kept := _oldest(change, lane)) and CLOCK_IS_SET_MS <= kept.committed_at < before_ms:
        _drop(change, lane, kept, GiveUpReason.TOO_OLD)  # nobody knows how old is what an older program put, unset
        dropped += 1
    return dropped


def _drop_oldest(change: Change, lanes: Iterable[Lane], room: int) -> int:
    dropped = 0
    for lane in lanes:
        while change.load.bytes > room and (kept := _oldest(change, lane)):
            _drop(change, lane, kept, GiveUpReason.OUTBOX_FULL)
            dropped += 1
    return dropped


def _oldest(change: Change, lane: Lane) -> _Kept | None:
    row = change.db.execute(_OLDEST, (lane,)).fetchone()
    return _Kept(*row) if row else None


def _drop(change: Change, lane: Lane, kept: _Kept, reason: GiveUpReason) -> None:
    _remove(change, lane, kept)
    accounts.count_given_up(change.db, kept.epoch, kept.day_of_account, reason, kept.readings)


def _remove(change: Change, lane: Lane, kept: _Kept) -> None:
    change.db.execute("DELETE FROM messages WHERE id = ?", (kept.id,))
    accounts.count(change.db, kept.epoch, kept.day_of_account, waiting=-kept.readings)
    change.load.add(lane, -1, -kept.size)


def _thin(change: Change, level: int, *, after: int) -> int:
    """Thin the oldest batches that were thinned so often; return how many readings that left out."""
    rows = change.db.execute(_TO_THIN, (Lane.BACKLOG, after, level, THINNED_AT_ONCE)).fetchall()
    pieces: list[tuple[_Kept, Batch]] = []
    for *columns, payload in rows:
        kept = _Kept(*columns)
        try:
            batch = decode_batch(payload, None)[1]
        except ContractError:
            batch = None
        if batch is None or (pieces and not _belong_together(pieces, kept, batch)):
            break
        pieces.append((kept, batch))
    if not pieces:
        kept = _Kept(*rows[0][:-1])
        _drop(change, Lane.BACKLOG, kept, GiveUpReason.OUTBOX_FULL)  # nobody can thin what nobody can read
        return kept.readings
    return _put_thinned(change, pieces, level + 1)


def _belong_together(pieces: Sequence[tuple[_Kept, Batch]], kept: _Kept, batch: Batch) -> bool:
    first, like = pieces[0]
    origin = (like.gateway, like.config_hash, like.clock, like.clock_since)
    return (
        (kept.epoch, kept.day_of_account) == (first.epoch, first.day_of_account)
        and (batch.gateway, batch.config_hash, batch.clock, batch.clock_since) == origin
        and sum(each.readings for each, _ in pieces) + kept.readings <= THINNED_READINGS
    )


def _put_thinned(change: Change, pieces: Sequence[tuple[_Kept, Batch]], level: int) -> int:
    """Put what is left of some batches as one new message at the end of the backlog.

    What is left changes over to the epoch that now is: only there no name was given twice.
    """
    body, left_out = None, 0
    try:
        batch, left_out = thinned([batch for _, batch in pieces])
        body = encode_batch(batch)
    except ContractError as error:
        _log.error("cannot thin what waits: leaving it as it is", reason=str(error))
    if body is None or not left_out:
        change.db.executemany("UPDATE messages SET thinned = ? WHERE id = ?", [(level, kept.id) for kept, _ in pieces])
        return 0
    for kept, _ in pieces:
        _remove(change, Lane.BACKLOG, kept)
    epoch, day = pieces[0][0].epoch, pieces[0][0].day_of_account
    accounts.count_given_up(change.db, epoch, day, GiveUpReason.THINNED, left_out)
    accounts.count_moved(change.db, epoch, change.epoch, day, body.readings)
    change.put(Lane.BACKLOG, body, day=day, thinned=level)
    return left_out
