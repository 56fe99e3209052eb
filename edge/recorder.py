"""The one way into the outbox: readings as drafts within a second, events at once, pictures behind their event.

A single task writes, so the outbox holds everything in the order in which it happened, and a poll never waits for a
disk. Handing over (:meth:`Recorder.take`) cannot fail and cannot be interrupted: what was taken is either committed or
in memory here. Only a kill loses what no commit has accepted yet: the readings of the last second. What was drafted
goes out as batches every ``batch_s``.

While the disk is full everything stays in memory, up to a bound; what goes beyond it is given up, oldest first, and
counted; whoever decides what is worth sending is told. ``OutboxBrokenError`` goes through to whoever runs the agent.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import structlog
from msgspec.structs import replace

from edge.contract.clock import Clock
from edge.contract.messages import BlobPiece, Body, Event, Lane, Reading, encode_blob, encode_event
from edge.contract.readings import is_undated
from edge.contract.rows import Row, rows_of
from edge.drivers import NotStoredError
from edge.outbox import SEALED_AT_ONCE, Outbox, OutboxError, OutboxFullError
from edge.outbox_drafts import Draft, Origin, hour_of
from edge.pipeline import Taken

DRAFT_S: Final = 1.0  # real seconds, as kills are real
MOST_READINGS: Final = 50_000  # in memory while the disk is full, some 5 MB
MOST_EVENTS: Final = 1_000
EVENTS_AT_ONCE: Final = 100
NO_STATES: Final[Mapping[str, str | None]] = MappingProxyType({})
STOPPED: Final = "the gateway's agent has stopped"

_log = structlog.get_logger()


class _Picture(NamedTuple):
    event: Event
    pieces: list[tuple[Lane, Body]]
    states: dict[str, str | None]
    stored: asyncio.Future[None]

    def refuse(self, reason: str) -> None:
        """Let the camera know, unless it has hung up."""
        if not self.stored.done():
            self.stored.set_exception(NotStoredError(reason))


class _Commit(NamedTuple):
    """What one commit takes along: a prefix of what waits in memory."""

    events: list[Event]
    rows: list[Row]
    unchanged: Counter[int]
    given_up: Counter[int]
    states: Mapping[str, str | None]


class Recorder:
    """Collects what polls and cameras hand over, and commits it until :meth:`stop`."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        origin: Callable[[], Origin],
        kinds: Mapping[str, str],
        lane: Callable[[], Lane],
        on_commit: Callable[[], None],
        on_give_up: Callable[[Sequence[Reading]], None],
        clock: Clock,
        batch_s: float,
        draft_s: float = DRAFT_S,
    ) -> None:
        """``origin`` says under what readings are taken now, ``kinds`` of what kind the devices are.

        ``lane`` says which lane a batch made now belongs to; ``on_commit`` is told when there is something new to send.
        ``on_give_up`` is told the readings that will never be sent.
        """
        self._outbox = outbox
        self._origin = origin
        self._kinds = kinds
        self._lane = lane
        self._on_commit = on_commit
        self._on_give_up = on_give_up
        self._clock = clock
        self._batch_s = batch_s
        self._draft_s = draft_s
        self._rows: list[Row] = []
        self._readings = 0  # in these rows
        self._events: list[Event] = []
        self._states: dict[str, str | None] = {}
        self._pictures: list[_Picture] = []
        self._unchanged: Counter[int] = Counter()  # by hour
        self._given_up: Counter[int] = Counter()
        self._dating: tuple[int, int] | None = None  # how to date what is undated, once the time is known
        self._wake = asyncio.Event()
        self._draft_timer: asyncio.TimerHandle | None = None
        self._is_draft_due = self._is_batch_due = self._is_stopping = self._is_full = False

    def take(self, taken: Taken) -> None:
        """Accept one judged poll. Never waits."""
        if self._readings < 2 * MOST_READINGS:
            self._rows += rows_of(taken.to_send)
            self._readings += len(taken.to_send)
        else:  # a disk that hangs in the midst of a commit, of which nothing may be taken away
            self._let_go(taken.to_send)
        if taken.unchanged:
            self._unchanged[hour_of(taken.readings[0].taken_at)] += taken.unchanged
        self._events += taken.revisions
        self._states |= taken.states
        self._is_batch_due |= self._readings + self._outbox.drafted >= SEALED_AT_ONCE and not self._is_full
        if self._is_batch_due or taken.revisions:
            self._wake.set()
        elif taken.to_send:  # counts alone are not worth a commit of their own
            self._start_draft_timer()

    def close_event(self, key: str, event: Event) -> None:
        """Accept the last revision of an event whose detector is gone."""
        self._events.append(event)
        self.keep_state(key, None)
        self._wake.set()

    def keep_state(self, key: str, state: str | None) -> None:
        """Let the next commit keep a state, or remove it."""
        self._states[key] = state

    async def store(
        self, event: Event, pieces: Sequence[BlobPiece], states: Mapping[str, str | None] = NO_STATES
    ) -> None:
        """Commit an event, its picture and what follows, event first; raises NotStoredError where nothing was kept."""
        if self._is_stopping:
            raise NotStoredError(STOPPED)
        blobs = [(Lane.BLOBS, encode_blob(piece)) for piece in pieces]
        self._states = {key: state for key, state in self._states.items() if key not in states}  # older ones
        picture = _Picture(event, blobs, dict(states), asyncio.get_running_loop().create_future())
        self._pictures.append(picture)
        self._wake.set()
        await picture.stored

    def date(self, offset_ms: int, known_since: int) -> None:
        """Let all that was taken before the clock was set have its time: so many ms later than it shows.

        ``known_since``: when the time became known, which says how good these times are.
        """
        self._dating = (offset_ms, known_since)
        self._wake.set()

    def stop(self) -> None:
        """Let :meth:`run` commit what is left and return."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Commit events at once, readings within a second, batches every ``batch_s``, until :meth:`stop`.

        Raises OutboxBrokenError.
        """
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
        while await self.commit() and (self._rows or self._events):
            self._is_batch_due = True
        if self._rows or self._events:
            _log.error("stopped with a full disk: lost", readings=self._readings, events=len(self._events))

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(self._batch_s)
            self._is_batch_due = True
            self._wake.set()

    def _start_draft_timer(self) -> None:
        """Let a draft be due in a second; where one could not be written, the next batch tries again."""
        if self._draft_timer is None:
            self._draft_timer = asyncio.get_running_loop().call_later(self._draft_s, self._let_draft)

    def _let_draft(self) -> None:
        self._is_draft_due = True
        self._wake.set()

    async def commit(self) -> bool:
        """Commit pictures, events and readings, and seal batches when it is due; say whether the disk took it.

        Raises OutboxBrokenError.
        """
        try:
            await self._date()
            while self._pictures:
                await self._commit_picture(self._pictures.pop(0))
            is_batch_due, self._is_batch_due = self._is_batch_due, False
            if is_batch_due or self._is_draft_due or self._events:
                await self._commit_taken()
            if is_batch_due:
                await self._seal(self._lane())
        except OutboxFullError as error:
            self._keep_within_bounds(error)
            return False
        if self._is_full:
            self._is_full = False
            _log.warning("disk has room again: what waited in memory is stored")
        return True

    async def _date(self) -> None:
        """Give drafts their time, and send them before what was taken after them."""
        if self._dating is not None and self._outbox.has_undated:
            await asyncio.to_thread(self._outbox.date, *self._dating)
            await self._seal(Lane.BACKLOG)

    async def _commit_picture(self, picture: _Picture) -> None:
        messages, draft = self._dated(_Commit([picture.event], [], Counter(), Counter(), {}))
        try:
            await asyncio.to_thread(
                self._outbox.append_all, [*messages, *picture.pieces], draft=draft, open_events=picture.states
            )
        except OutboxFullError as error:
            picture.refuse(str(error))
        except OutboxError as error:
            picture.refuse(str(error))
            raise
        if not picture.stored.done():
            picture.stored.set_result(None)
        self._on_commit()

    async def _commit_taken(self) -> None:
        taken = self._prefix()
        if any(taken):
            messages, draft = self._dated(taken)
            await asyncio.to_thread(self._outbox.append_all, messages, draft=draft, open_events=taken.states)
        self._drop(taken)
        if taken.events:
            self._on_commit()

    async def _seal(self, lane: Lane) -> None:
        if self._outbox.has_drafts:
            while await asyncio.to_thread(self._outbox.seal_drafts, lane):
                self._on_commit()
            self._on_commit()

    def _prefix(self) -> _Commit:
        events = self._events[:EVENTS_AT_ONCE]
        # A state must never be on disk before the revision that made it.
        states = dict(self._states) if len(events) == len(self._events) else {}
        rows = self._rows[: _rows_for(self._rows, SEALED_AT_ONCE)]
        return _Commit(events, rows, self._unchanged.copy(), self._given_up.copy(), states)

    def _dated(self, taken: _Commit) -> tuple[list[tuple[Lane, Body]], Draft]:
        """Return the events that can be sent, and the draft of all the rest."""
        draft = Draft(
            origin=self._origin(),
            kinds=self._kinds,
            rows=taken.rows,
            unchanged=taken.unchanged,
            disk_full=taken.given_up,
            events=taken.events,
        )
        if self._dating is not None and draft.has_undated():
            draft = draft.shifted(*self._dating)
        dated = [event for event in draft.events if not is_undated(event.updated_at)]
        undated = [event for event in draft.events if is_undated(event.updated_at)]
        return [(Lane.EVENTS, encode_event(event)) for event in dated], replace(draft, events=undated)

    def _drop(self, taken: _Commit) -> None:
        """Forget what has been committed; more may have been taken meanwhile."""
        del self._events[: len(taken.events)]
        self._forget_rows(len(taken.rows))
        self._unchanged -= taken.unchanged
        self._given_up -= taken.given_up
        self._states = {key: state for key, state in self._states.items() if taken.states.get(key, "") != state}
        self._is_draft_due = self._readings >= SEALED_AT_ONCE
        if self._draft_timer is not None:
            self._draft_timer.cancel()
            self._draft_timer = None
        if self._is_draft_due or self._events:
            self._wake.set()
        elif self._rows:
            self._start_draft_timer()

    def _keep_within_bounds(self, error: OutboxFullError) -> None:
        if not self._is_full:
            self._is_full = True
            _log.error("readings wait in memory", reason=str(error), most=MOST_READINGS)
        if self._readings > MOST_READINGS:
            too_many = _rows_for(self._rows, self._readings - MOST_READINGS)
            given_up = [reading for row in self._rows[:too_many] for reading in row.readings()]
            self._forget_rows(too_many)
            self._let_go(given_up)
        newest = {event.id: event for event in self._events}  # the highest revision of an event says all
        self._events = list(newest.values())
        if len(self._events) > MOST_EVENTS:
            _log.error("disk is full: gave up the oldest events", events=len(self._events) - MOST_EVENTS)
            self._events = self._events[-MOST_EVENTS:]

    def _let_go(self, readings: Sequence[Reading]) -> None:
        self._given_up.update(hour_of(reading.taken_at) for reading in readings)
        self._on_give_up(readings)

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
