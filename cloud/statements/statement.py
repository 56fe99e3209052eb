"""The statement of one gateway and day: where the readings of that day are, from ledger and statuses alone."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from msgspec import Struct
from sqlalchemy import Connection, func, select

from cloud.gateway_states import GatewayState, find_state
from cloud.ledger import ledger, ledger_ranges, newest_day, statement_days
from cloud.registry.registry import known_gateways
from cloud.statements.accounts import Gap, came_of
from cloud.statements.arrived import EVERY_SEQ, Arrived, arrived, ends_of, holes, sealed_until
from cloud.statements.figures import NOTHING, Figures, Said, figures_of
from cloud.statements.said import SaidDay, said_of_day
from edge.contract.days import bounds_of
from edge.contract.messages import LANE_KIND, GiveUpReason, Lane

SILENCE_MS = 900_000
"""A time this long in which nothing came from a gateway is an outage: of itself, of its network, or of the cloud."""


class Refusal(Struct, frozen=True, order=True):
    """What was refused for one reason."""

    reason: str
    messages: int
    readings: int


class Silence(Struct, frozen=True):
    """A time in which nothing came; `until` is that of the next message, or of the asking."""

    since: int
    until: int


class Kept(Struct, frozen=True):
    """How many messages of a kind that is not readings came."""

    stored: int
    refused: int


class Statement(Struct, frozen=True, kw_only=True):
    """Where the readings of a gateway and day of account are; times in ms.

    `is_reported` tells whether the gateway has said what it took that day; if not, what came is all that is known of.
    `gaps` are messages that never came, next to messages of that day. `last_came_at` is when the newest of what belongs
    to the day came, which may be days later. `silences` are of the day itself, whatever did not come; None: not known
    any more. `head` is that of the day in the chain, once the day is closed.
    """

    gateway: str
    day: str
    is_reported: bool
    figures: Figures
    reasons: Mapping[GiveUpReason, int]
    refusals: Sequence[Refusal]
    settled: int
    events: Kept
    pictures: Kept
    gaps: Sequence[Gap]
    silences: Sequence[Silence] | None
    last_came_at: int | None
    last_heard_at: int | None
    head: str | None

    @property
    def lost_messages(self) -> int:
        """How many messages never came."""
        return sum(gap.last - gap.first + 1 for gap in self.gaps)

    @property
    def is_whole(self) -> bool:
        """Whether all that the gateway took is stored or was unchanged, and no message is gone."""
        figures = self.figures
        events = self.events.refused + self.pictures.refused
        open_ends = (figures.refused, figures.pending, figures.given_up, figures.missing, events, self.lost_messages)
        return not any(open_ends)


def read_statement(connection: Connection, gateway: str, day: str, *, now_ms: int) -> Statement | None:
    """Return the statement of a gateway that is registered or was heard, None for any other."""
    state = find_state(connection, gateway)
    if state is None and gateway not in known_gateways(connection):
        return None
    first_seen = state.first_seen if state else now_ms
    came = arrived(connection, gateway, ends_of(state.status if state else None), day=day)
    said = said_of_day(connection, gateway, day)
    figures, reasons = _settle(said, came)
    batches = [each for each in came if LANE_KIND[each.lane] == "batch"]
    return Statement(
        gateway=gateway,
        day=day,
        is_reported=bool(said),
        figures=figures,
        reasons=reasons,
        refusals=_refusals(batches),
        settled=came_of(batches).settled,
        events=_kept(came, Lane.EVENTS),
        pictures=_kept(came, Lane.BLOBS),
        gaps=_gaps(connection, gateway, day, state),
        silences=silences_of(connection, gateway, day, from_ms=first_seen, now_ms=now_ms),
        last_came_at=_last_came_at(connection, gateway, day),
        last_heard_at=state.last_seen if state else None,
        head=connection.scalar(select(statement_days.c.head).where(statement_days.c.day == day)),
    )


def _settle(said: Mapping[str, SaidDay], came: Iterable[Arrived]) -> tuple[Figures, dict[GiveUpReason, int]]:
    """Put together epoch by epoch: what one has too much is not what another lacks."""
    by_epoch: dict[str, list[Arrived]] = {epoch: [] for epoch in said}
    for each in came:
        by_epoch.setdefault(each.epoch, []).append(each)
    total, reasons = NOTHING, dict.fromkeys(GiveUpReason, 0)
    for epoch, arrivals in by_epoch.items():
        counts = said.get(epoch)
        figures = figures_of(_said(counts) if counts else Said(), came_of(arrivals))
        total += figures
        for reason, readings in _apportion(counts.given_up if counts else {}, figures.given_up).items():
            reasons[reason] += readings
    return total, {reason: readings for reason, readings in reasons.items() if readings}


def _said(counts: SaidDay) -> Said:
    return Said(
        taken=counts.taken - counts.moved,
        unchanged=counts.unchanged,
        set_aside=counts.refused,
        waiting=counts.waiting,
        given_up=sum(counts.given_up.values()),
    )


def _apportion(given_up: Mapping[GiveUpReason, int], total: int) -> dict[GiveUpReason, int]:
    """Return the reasons of what was given up and is not here, the most frequent first to count less."""
    surplus, left = sum(given_up.values()) - total, {}
    for reason, readings in sorted(given_up.items(), key=lambda pair: -pair[1]):
        left[reason] = max(0, readings - surplus)
        surplus -= readings - left[reason]
    return left


def _refusals(batches: Iterable[Arrived]) -> list[Refusal]:
    messages: dict[str, int] = {}
    readings: dict[str, int] = {}
    for each in batches:
        if each.outcome == "refused":
            messages[each.reason] = messages.get(each.reason, 0) + each.messages
            readings[each.reason] = readings.get(each.reason, 0) + each.readings
    found = (Refusal(reason, number, readings[reason]) for reason, number in messages.items() if number)
    return sorted(found, key=lambda refusal: (-refusal.readings, refusal.reason))


def _kept(came: Iterable[Arrived], lane: Lane) -> Kept:
    of_lane = [each for each in came if each.lane == lane]
    stored = sum(each.messages for each in of_lane if each.outcome == "stored")
    return Kept(stored, sum(each.messages for each in of_lane) - stored)


def _gaps(connection: Connection, gateway: str, day: str, state: GatewayState | None) -> list[Gap]:
    """Return what will never come and lies next to a message of the day."""
    kept = {
        (epoch.epoch, name): lane.oldest_kept
        for epoch in (state.status.epochs if state and state.status else ())
        for name, lane in epoch.lanes.items()
    }
    gaps = []
    for hole in holes(connection, gateway):
        oldest = kept.get((hole.epoch, hole.lane.name.lower()), hole.first if hole.last == EVERY_SEQ else EVERY_SEQ)
        last = min(hole.last, oldest - 1)
        if hole.first <= last and day in {hole.day_before, hole.day_after}:
            gaps.append(Gap(hole.lane, hole.first, last))
    return gaps


def silences_of(connection: Connection, gateway: str, day: str, *, from_ms: int, now_ms: int) -> list[Silence] | None:
    """Return when nothing came on a day, after `from_ms`; None when its messages are not kept one by one any more."""
    start, end = bounds_of(day)
    compacted = select(ledger_ranges.c.first).where(
        ledger_ranges.c.gateway == gateway, ledger_ranges.c.received_on == day, ledger_ranges.c.compacted
    )
    if connection.scalar(compacted.limit(1)) is not None:
        return None
    came = select(ledger.c.received_at).where(
        ledger.c.gateway == gateway, ledger.c.received_at >= start, ledger.c.received_at < end
    )
    times = sorted(set(connection.scalars(came)))
    edges = pairwise([max(start, from_ms), *times, max(start, min(end, now_ms))])
    return [Silence(before, after) for before, after in edges if after - before >= SILENCE_MS]


def _last_came_at(connection: Connection, gateway: str, day: str) -> int | None:
    """Return when the newest message of a day of account came; None when none did, or it is not known any more."""
    newest = select(func.max(ledger.c.received_at)).where(ledger.c.gateway == gateway, ledger.c.day == day)
    at: int | None = connection.scalar(newest.where(ledger.c.received_at >= sealed_until(connection)))
    if at is not None:
        return at
    ranges = ledger_ranges.c
    on = newest_day(connection, ranges.received_on, ranges.gateway == gateway, ranges.day == day)
    if on is None:
        return None
    start, end = bounds_of(on)
    last: int | None = connection.scalar(newest.where(ledger.c.received_at >= start, ledger.c.received_at < end))
    return last


def read_statements(connection: Connection, day: str, *, now_ms: int) -> list[Statement]:
    """Return the statements of a day of every registered gateway."""
    found = (read_statement(connection, gateway, day, now_ms=now_ms) for gateway in sorted(known_gateways(connection)))
    return [statement for statement in found if statement is not None]
