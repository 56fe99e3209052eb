"""Two programs with the identity of one gateway, told by the outboxes that its statuses speak of. Pure.

Where both have the same epoch, the ledger sees two contents under one name. Where each has its own, no name comes
twice: but a gateway that goes on knows the epoch that it had before, and a copy does not know that of the other. One
outbox that takes the place of another may be a new card; two that take turns are two gateways.
"""

from msgspec import Struct
from msgspec.structs import replace

from edge.contract.messages import Status

TURNS = 2  # once may be a card that was changed and put back
FORGET_MS = 3_600_000  # two with one name push each other out at the broker, every minute or so


class Turns(Struct, frozen=True):
    """How often an outbox came back after one that does not know it, and when it last did."""

    displaced: str | None = None  # the epoch that the present one took the place of, without knowing it
    turns: int = 0
    turned_at: int | None = None


def follow(before: Turns, known: Status | None, status: Status, *, now_ms: int) -> Turns:
    """Return the turns after a further status; `known` is the one before it."""
    epoch, last = _current(status), _current(known)
    if epoch is None or last is None or epoch == last:
        return before
    if any(each.epoch == last for each in status.epochs):
        return replace(before, displaced=None)
    if before.displaced != epoch:
        return replace(before, displaced=last)
    is_lately = before.turned_at is not None and now_ms - before.turned_at <= FORGET_MS
    return Turns(last, before.turns + 1 if is_lately else 1, now_ms)


def is_there_twice(turns: Turns, *, now_ms: int) -> bool:
    """Whether two programs with one identity have been taking turns lately."""
    return turns.turns >= TURNS and turns.turned_at is not None and now_ms - turns.turned_at <= FORGET_MS


def _current(status: Status | None) -> str | None:
    return status.epochs[0].epoch if status is not None and status.epochs else None
