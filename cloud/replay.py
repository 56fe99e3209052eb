"""Dead letters that a person looked at: taken after all, or discarded.

A letter is taken by what takes messages when they come: a batch goes to the series store, then to the ledger; an event
or a piece of a picture goes the way of `EventTaker`, all in one transaction. Then the letter goes. What the ledger had
as refused counts as stored from then on. No receipt is sent: the gateway was told that its message is refused and set
it aside; or it never had an answer, sends it again, and is told then.

    Exception
    ├── LetterNotFoundError        there is no such letter (any more) (404)
    └── ReplayError                the letter cannot be taken and stays; the text says why (409)
        └── StillRefusedError      because of what it holds: that is its reason from now on

SeriesError and DatabaseError mean that the same letter may be taken later.
"""

import asyncio
from functools import partial

import structlog
from sqlalchemy import Connection

from cloud.arrivals import entry_of, open_batch
from cloud.database import Database
from cloud.dead_letters import KeptLetter, drop, find, say_why, unregistered
from cloud.events import Arrival, EventTaker
from cloud.ledger import CONFLICT, Entry, known, settle
from cloud.registry.person import Person
from cloud.registry.registry import known_gateways
from cloud.series import RefusedError, SeriesStore
from edge.contract.clock import Clock
from edge.contract.messages import ContractError

_log = structlog.get_logger()


class LetterNotFoundError(LookupError):
    """There is no such letter (any more)."""


class ReplayError(ValueError):
    """The letter cannot be taken, and stays."""


class StillRefusedError(ReplayError):
    """The letter is refused again for what it holds."""


async def replay(
    letter_id: int, *, database: Database, series: SeriesStore, taker: EventTaker, clock: Clock, person: Person
) -> KeptLetter:
    """Take a letter and return it as it was.

    Raises LetterNotFoundError, ReplayError, SeriesError and DatabaseError.
    """
    letter = await database.read(partial(_find, letter_id=letter_id))
    try:
        await database.read(partial(_check_takeable, letter=letter))
        if letter.kind == "batch":
            await _take_batch(letter, database=database, series=series, now_ms=clock.now_ms())
        else:
            await database.write(partial(_take_laned, letter=letter, taker=taker))
    except StillRefusedError as error:
        await database.write(partial(say_why, letter_id=letter.id, reason=str(error)))
        raise
    _log.info("dead letter taken", letter=letter.id, by=person.login, topic=letter.topic, reason=letter.reason)
    return letter


def discard(connection: Connection, letter_id: int, *, person: Person) -> None:
    """Drop a letter for good; the log keeps who did it. Raises LetterNotFoundError."""
    letter = _find(connection, letter_id)
    drop(connection, letter.id)
    _log.warning(
        "dead letter discarded",
        letter=letter.id,
        by=person.login,
        topic=letter.topic,
        size=letter.size,
        count=letter.count,
        reason=letter.reason,
    )


def _find(connection: Connection, letter_id: int) -> KeptLetter:
    letter = find(connection, letter_id)
    if letter is None:
        raise LetterNotFoundError(f"dead letter {letter_id}: not found")
    return letter


def _check_takeable(connection: Connection, letter: KeptLetter) -> None:
    """Raise ReplayError for what no new attempt could change."""
    if letter.gateway is None:
        raise ReplayError(f"topic {letter.topic[:60]} names no gateway: there is nowhere to put this message")
    if letter.kind not in {"batch", "event", "blob"}:
        raise ReplayError(f"{letter.kind}: its time is over, and the gateway says the next one by itself")
    if not letter.is_whole:
        kept = len(letter.payload)
        raise ReplayError(f"only the first {kept} of its {letter.size} bytes were kept: the gateway has it set aside")
    if letter.gateway not in known_gateways(connection):
        raise ReplayError(unregistered(letter.gateway))


async def _take_batch(letter: KeptLetter, *, database: Database, series: SeriesStore, now_ms: int) -> None:
    arrival = await asyncio.to_thread(open_batch, letter.topic, letter.payload, now_ms)
    if arrival.name is None or arrival.batch is None:
        raise StillRefusedError(arrival.reason)
    entry = entry_of(arrival, arrival.name, refusal=None, received_at=now_ms)
    await database.read(partial(_check_name, entry=entry))
    try:
        expired = await series.write([arrival.batch])
    except RefusedError as error:
        raise StillRefusedError(str(error)) from error
    entry = entry_of(arrival, arrival.name, refusal=None, expired=expired.get(0, 0), received_at=now_ms)
    await database.write(partial(_settle_batch, entry=entry, letter=letter))


def _check_name(connection: Connection, entry: Entry) -> None:
    """Raise StillRefusedError when other content has this name: it was the first, and stays."""
    earlier = known(connection, [entry.name]).get(entry.name)
    if earlier is not None and not earlier.is_of(entry.hash):
        raise StillRefusedError(CONFLICT)


def _settle_batch(connection: Connection, entry: Entry, letter: KeptLetter) -> None:
    if not settle(connection, entry).is_of(entry.hash):  # another worker was first, with other content
        raise StillRefusedError(CONFLICT)
    drop(connection, letter.id)


def _take_laned(connection: Connection, letter: KeptLetter, taker: EventTaker) -> None:
    arrival = Arrival(topic=letter.topic, payload=letter.payload, gateway=letter.gateway or "", kind=letter.kind)
    try:
        reason = taker.take_again(connection, arrival)
    except ContractError as error:
        raise StillRefusedError(str(error)) from error
    except OSError as error:
        raise ReplayError(f"picture not kept: {error.strerror}") from error
    if reason:
        raise StillRefusedError(reason)  # which undoes what the attempt began
    drop(connection, letter.id)
