"""The one way into the outbox: readings in batches, events at once, pictures behind their event.

A single task writes, so the outbox holds everything in the order in which it happened, and a poll never waits for a
disk. Handing over (:meth:`Recorder.take`) cannot fail and cannot be interrupted: what was taken is either committed or
in memory here. Only a kill loses what no commit has accepted yet: the readings of at most ``batch_s``.

While the disk is full everything stays in memory, up to a bound; what goes beyond it is given up, oldest first, and
counted; whoever decides what is worth sending is told. ``OutboxBrokenError`` goes through to whoever runs the agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import structlog

from edge.contract.arranging import in_batches
from edge.contract.clock import Clock
from edge.contract.messages import (
    Batch,
    BlobPiece,
    Body,
    Event,
    Lane,
    Reading,
    encode_batch,
    encode_blob,
    encode_event,
)
from edge.contract.rows import Row, rows_of
from edge.drivers import NotStoredError
from edge.outbox import Outbox, OutboxError, OutboxFullError
from edge.pipeline import Taken

BATCH_READINGS: Final = 5_000
MOST_READINGS: Final = 50_000  # in memory while the disk is full, some 5 MB
MOST_EVENTS: Final = 1_000
STOPPED: Final = "the gateway's agent has stopped"
READINGS_AT_ONCE, EVENTS_AT_ONCE = 40_000, 100  # in one commit, so that even the smallest outbox takes it

_log = structlog.get_logger()

MakeBatch = Callable[[Sequence[Row]], Batch]


class _Picture(NamedTuple):
    messages: list[tuple[Lane, Body]]
    stored: asyncio.Future[None]

    def refuse(self, reason: str) -> None:
        """Let the camera know, unless it has hung up."""
        if not self.stored.done():
            self.stored.set_exception(NotStoredError(reason))


class _Draft(NamedTuple):
    """What one commit takes along: a prefix of what waits in memory."""

    events: list[Event]
    rows: list[Row]
    unchanged: int
    given_up: int
    states: Mapping[str, str | None]


class Recorder:
    """Collects what polls and cameras hand over, and commits it until :meth:`stop`."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        make_batch: MakeBatch,
        lane: Callable[[], Lane],
        on_commit: Callable[[], None],
        on_give_up: Callable[[Sequence[Reading]], None],
        clock: Clock,
        batch_s: float,
    ) -> None:
        """``lane`` says which lane a batch made now belongs to; ``on_commit`` is told after each commit.

        ``on_give_up`` is told the readings that will never be sent.
        """
        self._outbox = outbox
        self._make_batch = make_batch
        self._lane = lane
        self._on_commit = on_commit
        self._on_give_up = on_give_up
        self._clock = clock
        self._batch_s = batch_s
        self._rows: list[Row] = []
        self._readings = 0  # in these rows
        self._events: list[Event] = []
        self._states: dict[str, str | None] = {}
        self._pictures: list[_Picture] = []
        self._unchanged = self._given_up = 0
        self._wake = asyncio.Event()
        self._is_batch_due = self._is_stopping = self._is_full = False

    def take(self, taken: Taken) -> None:
        """Accept one judged poll. Never waits."""
        self._rows += rows_of(taken.to_send)
        self._readings += len(taken.to_send)
        self._unchanged += taken.unchanged
        self._events += taken.revisions
        self._states |= taken.states
        self._is_batch_due |= self._readings >= READINGS_AT_ONCE and not self._is_full
        if self._is_batch_due or taken.revisions:
            self._wake.set()

    def close_event(self, key: str, event: Event) -> None:
        """Accept the last revision of an event whose detector is gone."""
        self._events.append(event)
        self.drop_state(key)
        self._wake.set()

    def drop_state(self, key: str) -> None:
        """Let the next commit remove what was kept of an open event."""
        self._states[key] = None

    async def store(self, event: Event, pieces: Sequence[BlobPiece]) -> None:
        """Commit an event and its picture, event first; raises NotStoredError where nothing was kept."""
        if self._is_stopping:
            raise NotStoredError(STOPPED)
        messages = [(Lane.EVENTS, encode_event(event)), *((Lane.BLOBS, encode_blob(piece)) for piece in pieces)]
        picture = _Picture(messages, asyncio.get_running_loop().create_future())
        self._pictures.append(picture)
        self._wake.set()
        await picture.stored

    def stop(self) -> None:
        """Let :meth:`run` commit what is left and return."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Commit events at once and a batch every ``batch_s``, until :meth:`stop`. Raises OutboxBrokenError."""
        try:
            await self._work()
        finally:
            self._is_stopping = True
            for picture in self._pictures:
                picture.refuse(STOPPED)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(self._tick())
            while not self._is_stopping:
                await self._wake.wait()
                self._wake.clear()
                await self.commit()
            ticking.cancel()
        self._is_batch_due = True
        while await self.commit():
            self._is_batch_due = True
        if self._rows or self._events:
            _log.error("stopped with a full disk: lost", readings=self._readings, events=len(self._events))

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(self._batch_s)
            self._is_batch_due = True
            self._wake.set()

    async def commit(self) -> bool:
        """Commit pictures, events and, when it is due, the batch; say whether there was anything and the disk took it.

        Raises OutboxBrokenError.
        """
        while self._pictures:
            await self._commit_picture(self._pictures.pop(0))
        draft = self._draft()
        if not any(draft):
            return False
        try:
            await asyncio.to_thread(self._append, draft, self._lane())
        except OutboxFullError as error:
            self._keep_within_bounds(error)
            return False
        self._drop(draft)
        if self._is_full:
            self._is_full = False
            _log.warning("disk has room again: what waited in memory is stored")
        self._on_commit()
        return True

    async def _commit_picture(self, picture: _Picture) -> None:
        try:
            await asyncio.to_thread(self._outbox.append_all, picture.messages)
        except OutboxFullError as error:
            picture.refuse(str(error))
        except OutboxError as error:
            picture.refuse(str(error))
            raise
        if not picture.stored.done():
            picture.stored.set_result(None)
        self._on_commit()

    def _draft(self) -> _Draft:
        if not (self._is_batch_due or self._events):
            return _Draft([], [], 0, 0, {})
        rows = self._rows[: _rows_for(self._rows, READINGS_AT_ONCE)] if self._is_batch_due else []
        events = self._events[:EVENTS_AT_ONCE]
        # A state must never be on disk before the revision that made it.
        states = dict(self._states) if len(events) == len(self._events) else {}
        self._is_batch_due = False
        return _Draft(events, rows, self._unchanged, self._given_up, states)

    def _append(self, draft: _Draft, lane: Lane) -> None:
        messages = [(Lane.EVENTS, encode_event(event)) for event in draft.events]
        messages += ((lane, encode_batch(self._make_batch(its))) for its in in_batches(draft.rows, BATCH_READINGS))
        self._outbox.append_all(messages, unchanged=draft.unchanged, given_up=draft.given_up, open_events=draft.states)

    def _drop(self, draft: _Draft) -> None:
        """Forget what has been committed; more may have been taken meanwhile."""
        del self._events[: len(draft.events)]
        self._forget_rows(len(draft.rows))
        self._unchanged -= draft.unchanged
        self._given_up -= draft.given_up
        self._states = {key: state for key, state in self._states.items() if draft.states.get(key, "") != state}
        self._is_batch_due |= bool(draft.rows) and self._readings >= READINGS_AT_ONCE
        if self._is_batch_due or self._events:
            self._wake.set()

    def _keep_within_bounds(self, error: OutboxFullError) -> None:
        if not self._is_full:
            self._is_full = True
            _log.error("readings wait in memory", reason=str(error), most=MOST_READINGS)
        if self._readings > MOST_READINGS:
            too_many = _rows_for(self._rows, self._readings - MOST_READINGS)
            given_up = [reading for row in self._rows[:too_many] for reading in row.readings()]
            self._forget_rows(too_many)
            self._given_up += len(given_up)
            self._on_give_up(given_up)
        newest = {event.id: event for event in self._events}  # the highest revision of an event says all
        self._events = list(newest.values())
        if len(self._events) > MOST_EVENTS:
            _log.error("disk is full: gave up the oldest events", events=len(self._events) - MOST_EVENTS)
            self._events = self._events[-MOST_EVENTS:]

    def _forget_rows(self, count: int) -> None:
        self._readings -= sum(len(row.points) for row in self._rows[:count])
        del self._rows[:count]


def _rows_for(rows: Sequence[Row], readings: int) -> int:
    """How many of the first rows have at least so many readings; all, where they have less."""
    total = 0
    for count, row in enumerate(rows, start=1):
        total += len(row.points)
        if total >= readings:
            return count
    return len(rows)
