"""Which messages are on their way to the cloud, how many more may go, and which must go again. Pure; time is passed in.

At most 16 messages or 256 KiB are without a receipt. A part of these is kept for events, and a part for live batches,
so that they find room at once when the rest is full of backlog; of that rest, backlog and pictures use the share that
:mod:`edge.pacing` allows. A message larger than its part goes when it is alone in it.

A message without a receipt goes again after 5 s, then 10 s, up to 5 minutes. The time runs from the broker's PUBACK:
on a slow link, what is still being sent is not sent twice. A receipt for a message that had to go again means that the
cloud is back: then all others that have waited long go again at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.contract.messages import Lane
from edge.pacing import Pace

MAX_MESSAGES, MAX_BYTES = 16, 256 * 1024
MAX_OTHER_MESSAGES, MAX_OTHER_BYTES = 12, 192 * 1024  # all but events
MAX_PACED_MESSAGES, MAX_PACED_BYTES = 10, 160 * 1024  # neither events nor live batches
FIRST_TIMEOUT_S, LAST_TIMEOUT_S = 5.0, 300.0
PACED = (Lane.BLOBS, Lane.BACKLOG)


@dataclass(slots=True)
class _Flight:
    lane: Lane
    size: int
    timeout_s: float
    sent_at: float  # s on the clock of `now`
    due_at: float
    was_alone: bool  # nothing that is paced was on its way before it
    is_repeated: bool = False


class SendWindow:
    """Messages sent on this connection and not receipted, by their outbox id. All times are seconds of one clock."""

    def __init__(self) -> None:
        self._flights: dict[int, _Flight] = {}
        self._pace = Pace()

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._flights

    def has_room(self, lane: Lane, size: int = 0) -> bool:
        """Whether a message of ``size`` bytes may go now; without a size, whether any could."""
        if lane in PACED:
            share = self._pace.share
            if not _fits(self._sizes(PACED), size, share * MAX_PACED_MESSAGES, share * MAX_PACED_BYTES):
                return False
        if lane != Lane.EVENTS:
            others = self._sizes((Lane.LIVE, *PACED))
            if not _fits(others, size, MAX_OTHER_MESSAGES, MAX_OTHER_BYTES):
                return False
        return _fits(self._sizes(Lane), size, MAX_MESSAGES, MAX_BYTES)

    def add(self, message_id: int, lane: Lane, size: int, *, now: float) -> None:
        """Note that a message is being sent."""
        self._flights[message_id] = _Flight(
            lane, size, FIRST_TIMEOUT_S, sent_at=now, due_at=now + LAST_TIMEOUT_S, was_alone=not self._sizes(PACED)
        )

    def at_broker(self, message_id: int, *, now: float) -> None:
        """Note the broker's PUBACK: from now on a receipt is due."""
        flight = self._flights.get(message_id)
        if flight is not None:
            flight.due_at = now + flight.timeout_s

    def send_again(self, message_id: int, *, now: float) -> None:
        """Note that a message is being sent once more; the next time comes after twice as long."""
        flight = self._flights[message_id]
        flight.timeout_s = min(2 * flight.timeout_s, LAST_TIMEOUT_S)
        flight.due_at = now + LAST_TIMEOUT_S
        flight.is_repeated = True
        self._pace.stall(now=now)

    def drop(self, message_id: int) -> None:
        """Note that a message is no longer kept."""
        self._flights.pop(message_id, None)

    def receipt(self, message_ids: Iterable[int], *, now: float) -> None:
        """Note that messages have their receipt; ids that are not on their way are harmless."""
        gone = [flight for each in message_ids if (flight := self._flights.pop(each, None)) is not None]
        for flight in gone:
            if flight.lane != Lane.EVENTS and not flight.is_repeated:  # events have a way of their own in the cloud
                is_paced = flight.lane in PACED
                self._pace.note(sent_at=flight.sent_at, now=now, is_paced=is_paced, was_alone=flight.was_alone)
        if any(flight.is_repeated for flight in gone):
            for flight in self._flights.values():
                if flight.timeout_s > FIRST_TIMEOUT_S:
                    flight.timeout_s, flight.due_at = FIRST_TIMEOUT_S, now

    def due(self, *, now: float) -> list[int]:
        """Return what must be sent again now, in the order of the lanes."""
        late = [(flight.lane, message_id) for message_id, flight in self._flights.items() if flight.due_at <= now]
        return [message_id for _, message_id in sorted(late)]

    def next_due_at(self) -> float | None:
        """Return when ``due`` will next have something, as far as is known now."""
        return min((flight.due_at for flight in self._flights.values()), default=None)

    def _sizes(self, lanes: Iterable[Lane]) -> list[int]:
        return [flight.size for flight in self._flights.values() if flight.lane in lanes]


def _fits(sizes: list[int], size: int, max_messages: float, max_bytes: float) -> bool:
    return not sizes or (len(sizes) + 1 <= max_messages and sum(sizes) + size <= max_bytes)
