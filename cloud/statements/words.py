"""Statements in plain words, for the command line."""

from collections.abc import Iterator
from datetime import datetime

from cloud.statements.statement import Statement
from edge.contract.days import ZONE
from edge.contract.messages import GiveUpReason

WHY_GIVEN_UP = {
    GiveUpReason.DISK_FULL: "its disk was full, and then its memory",
    GiveUpReason.OUTBOX_FULL: "its outbox was full",
    GiveUpReason.THINNED: "thinned out before its outbox was full",
    GiveUpReason.TOO_OLD: "waited longer than it keeps them",
    GiveUpReason.UNDATED: "taken before its clock was set, in a run that ended before it was",
    GiveUpReason.DAMAGED: "in a damaged file of its outbox that could not be read any more",
}


def lines_of(statement: Statement) -> Iterator[str]:
    """Give the statement line by line, the sum first."""
    figures = statement.figures
    yield f"{statement.gateway}, {statement.day} (UTC+8)"
    if not statement.is_reported:
        yield "  The gateway has not said what it took that day: only what came is known."
    yield f"  {figures.taken:>12,} taken"
    for number, what in (
        (figures.unchanged, "unchanged, so not sent"),
        (figures.stored, "stored" + (f", of these {statement.settled:,} after a refusal" if statement.settled else "")),
        (figures.refused, "refused"),
        (figures.pending, "pending: still waiting in the gateway"),
        (figures.given_up, "given up by the gateway"),
        (figures.missing, "missing: nobody has them"),
    ):
        yield f"= {number:>12,} {what}" if what.startswith("unchanged") else f"+ {number:>12,} {what}"
    yield from (f"  given up: {number:,}: {WHY_GIVEN_UP[why]}" for why, number in statement.reasons.items())
    for refusal in statement.refusals:
        yield f"  refused: {refusal.readings:,} in {_count(refusal.messages, 'message')}: {refusal.reason}"
    yield from _about_messages(statement)


def line_of(statement: Statement) -> str:
    """Return one line for a table of gateways."""
    figures = statement.figures
    lost = f" lost {_count(statement.lost_messages, 'message')}" if statement.lost_messages else ""
    return (
        f"{statement.gateway}: taken {figures.taken:,} = unchanged {figures.unchanged:,} + stored {figures.stored:,} + "
        f"refused {figures.refused:,} + pending {figures.pending:,} + given up {figures.given_up:,} + missing "
        f"{figures.missing:,}{lost}{'' if statement.is_reported else ' (only what came is known)'}"
    )


def _about_messages(statement: Statement) -> Iterator[str]:
    for kept, what in ((statement.events, "event message"), (statement.pictures, "picture message")):
        if kept.stored or kept.refused:
            yield f"  {_count(kept.stored, what)} stored, {kept.refused} refused"
    for gap in statement.gaps:
        span = str(gap.first) if gap.first == gap.last else f"{gap.first} to {gap.last}"
        yield f"  never came: {gap.lane.name.lower()} {span}"
    if statement.silences is None:
        yield "  When nothing came is not known any more: the messages of that day are compacted."
    for silence in statement.silences or ():
        minutes = (silence.until - silence.since) // 60_000
        yield f"  nothing came from {_time(silence.since)} to {_time(silence.until)}, {minutes} min"
    if statement.last_came_at is not None:
        yield f"  the last of it came {_time(statement.last_came_at)}"
    heard = statement.last_heard_at
    yield f"  the gateway was last heard {_time(heard)}" if heard is not None else "  the gateway was never heard"
    if statement.head is not None:
        yield f"  sealed with head {statement.head}"


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, ZONE):%Y-%m-%d %H:%M:%S}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
