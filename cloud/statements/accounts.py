"""The accounts of a gateway: where the readings of each epoch of its outbox are, and which messages never came."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import Connection

from cloud.statements.arrived import EVERY_SEQ, NEVER_USED, Arrived, Hole, arrived, ends_of, holes
from cloud.statements.figures import Came, Said, figures_of
from edge.contract.messages import LANE_KIND, Counts, EpochState, Lane, LaneState, Status


class Gap(NamedTuple):
    """Messages first..last, both included, that the gateway no longer has and the ledger never had."""

    lane: Lane
    first: int
    last: int


class EpochAccount(Struct, frozen=True):
    """Where the readings of one epoch are: taken = unchanged + stored + refused + pending + given_up + missing.

    Where a gateway does not say how many readings wait, what is unaccounted for counts as pending while messages of
    readings are pending, and as missing when none is; `gaps` names at once what will never come, be it given up (the
    gateway counted it) or missing, and `lost_messages` is how many.

    Of an epoch that its gateway does not report (any more), such as one whose data_dir was replaced, only what the
    ledger knows is accounted for: `taken` is what came.
    """

    epoch: str
    taken: int
    unchanged: int
    stored: int
    refused: int
    pending: int
    given_up: int
    missing: int
    pending_messages: int
    gaps: list[Gap]
    lost_messages: int
    reported: bool


def account(connection: Connection, status: Status) -> list[EpochAccount]:
    """Settle each epoch of a status against the ledger, the current one first; then those only in the ledger."""
    came = arrived(connection, status.gateway, ends_of(status))
    absent = list(holes(connection, status.gateway))
    reported = {epoch.epoch for epoch in status.epochs}
    epochs = [*status.epochs, *_others({hole for hole in absent if hole.last == EVERY_SEQ}, reported)]
    return [
        _account_of(
            epoch,
            came_of(each for each in came if each.epoch == epoch.epoch),
            [hole for hole in absent if hole.epoch == epoch.epoch],
            reported=epoch.epoch in reported,
        )
        for epoch in epochs
    ]


def came_of(arrivals: Iterable[Arrived]) -> Came:
    """Add up what came."""
    stored = refused = settled = 0
    for each in arrivals:
        if each.outcome == "refused":
            refused += each.readings
        else:
            stored += each.readings
            settled += each.readings if each.settled else 0
    return Came(stored=stored, refused=refused, settled=settled)


def _others(ends: Collection[Hole], reported: Collection[str]) -> list[EpochState]:
    """Return the epochs that a status does not name, each as it would be if the newest message known were its last."""
    lanes: dict[str, dict[str, LaneState]] = {}
    for end in sorted(ends):
        if end.epoch not in reported:
            lanes.setdefault(end.epoch, {})[end.lane.name.lower()] = LaneState(end.first, end.first)
    return [EpochState(epoch, of_epoch, Counts()) for epoch, of_epoch in lanes.items()]


def _account_of(epoch: EpochState, came: Came, absent: Sequence[Hole], *, reported: bool) -> EpochAccount:
    gaps: list[Gap] = []
    pending_messages = pending_batches = 0
    for lane in Lane:
        state = epoch.lanes.get(lane.name.lower(), NEVER_USED)
        for first, last in _below(state.next_seq, [hole for hole in absent if hole.lane == lane]):
            if first < state.oldest_kept:
                gaps.append(Gap(lane, first, min(last, state.oldest_kept - 1)))
            waiting = max(0, last - max(first, state.oldest_kept) + 1)
            pending_messages += waiting
            pending_batches += waiting if LANE_KIND[lane] == "batch" else 0
    figures = figures_of(_said_of(epoch, is_pending=pending_batches > 0), came)
    return EpochAccount(
        epoch=epoch.epoch,
        taken=figures.taken,
        unchanged=figures.unchanged,
        stored=figures.stored,
        refused=figures.refused,
        pending=figures.pending,
        given_up=figures.given_up,
        missing=figures.missing,
        pending_messages=pending_messages,
        gaps=gaps,
        lost_messages=sum(gap.last - gap.first + 1 for gap in gaps),
        reported=reported,
    )


def _said_of(epoch: EpochState, *, is_pending: bool) -> Said:
    counts = epoch.counts
    unsaid = None if is_pending else 0
    return Said(
        taken=counts.taken,
        unchanged=counts.unchanged,
        set_aside=counts.refused,
        waiting=sum(day.waiting for day in epoch.days) if epoch.days else unsaid,
        given_up=counts.given_up,
    )


def _below(end: int, absent: Sequence[Hole]) -> Iterator[tuple[int, int]]:
    """Give what is absent below a number; of a lane of which nothing came that is all."""
    for hole in absent or [Hole("", Lane.LIVE, 1, EVERY_SEQ)]:
        if hole.first < end:
            yield hole.first, min(hole.last, end - 1)
