"""Which messages are on their way to the cloud, how many more may go, and which must go again. Pure; time is passed in.

At most 16 messages or 256 KiB are without a receipt. Of these, a part is kept for events, so that they find room at
once when the rest is full of backlog. A message larger than its part goes when it is alone in it.

A message without a receipt goes again after 5 s, then 10 s, up to 5 minutes. The time runs from the broker's PUBACK:
on a slow link, what is still being sent is not sent twice. A receipt for a message that had to go again means that the
cloud is back: then all others that have waited long go again at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge.contract.messages import Lane

MAX_MESSAGES, MAX_BYTES = 16, 256 * 1024
MAX_OTHER_MESSAGES, MAX_OTHER_BYTES = 12, 192 * 1024  # all but events
FIRST_TIMEOUT_S, LAST_TIMEOUT_S = 5.0, 300.0


@dataclass(slots=True)
class _Flight:
    lane: Lane
    size: int
    timeout_s: float
    due_at: float  # s on the clock of `now`


class SendWindow:
    """Messages sent on this connection and not receipted, by their outbox id. All times are seconds of one clock."""

    def __init__(self) -> None:
        self._flights: dict[int, _Flight] = {}

    def __contains__(self, message_id: int) -> bool:
        return message_id in self._flights

    def has_room(self, lane: Lane, size: int = 0) -> bool:
        """Whether a message of ``size`` bytes may go now; without a size, whether any could."""
        if lane != Lane.EVENTS:
            others = [flight.size for flight in self._flights.values() if flight.lane != Lane.EVENTS]
            if not _fits(others, size, MAX_OTHER_MESSAGES, MAX_OTHER_BYTES):
                return False
        return _fits([flight.size for flight in self._flights.values()], size, MAX_MESSAGES, MAX_BYTES)

    def add(self, message_id: int, lane: Lane, size: int, *, now: float) -> None:
        """Note that a message is being sent."""
        self._flights[message_id] = _Flight(lane, size, FIRST_TIMEOUT_S, now + LAST_TIMEOUT_S)

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

    def remove(self, message_ids: Iterable[int], *, now: float) -> None:
        """Note that messages have their receipt, or are no longer kept."""
        gone = [self._flights.pop(message_id, None) for message_id in message_ids]
        if any(flight is not None and flight.timeout_s > FIRST_TIMEOUT_S for flight in gone):
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


def _fits(sizes: list[int], size: int, max_messages: int, max_bytes: int) -> bool:
    return not sizes or (len(sizes) < max_messages and sum(sizes) + size <= max_bytes)
