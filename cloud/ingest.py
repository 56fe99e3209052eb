"""Batches, from the broker to the series store: a straight line whose last step is the MQTT ack.

    open -> admit -> find in the ledger -> write -> settle in the ledger -> receipts -> ack

A crash above any step means that the messages come again: the ledger then knows them, or the same readings are written
again, which changes nothing. So a worker holds no state, and two at once are harmless.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import NoReturn, ParamSpec, Protocol, TypeVar

import structlog
from msgspec import Struct
from msgspec.structs import replace
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from cloud.arrivals import Arrival, entry_of, is_conflict, judge, open_batch, unpacked_size
from cloud.database import Database, DatabaseError
from cloud.dead_letters import DeadLetter, keep, unregistered
from cloud.ledger import Entry, Name, known, record
from cloud.receipts import Receipts, no_head
from cloud.series import MisconfiguredError, RefusedError, SeriesStore, UnavailableError
from cloud.subscriber import share_filter, stay_subscribed
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import Clock
from edge.contract.messages import Batch, Head, topic
from edge.contract.mqtt import Connection
from edge.contract.mqtt import Message as MqttMessage

GROUP_MESSAGES = 256
GROUP_BYTES = 4 * 1024 * 1024  # unpacked: a batch of 300 bytes may hold 65,536 readings
MESSAGES_IN_FLIGHT = 3 * GROUP_MESSAGES  # one group is settled, one opened, one is on its way
GROUP_WAIT_S = 0.02  # how long the first message of a group waits for others
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LONGEST_ASKED_S = 300.0  # a store that asks for more is asked again all the same

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.get_logger()


class Message(Protocol):
    """What the worker needs of a message that arrived."""

    topic: str
    payload: bytes

    async def ack(self) -> None:
        """Tell the broker that this message is done."""


class Counters(Struct):
    """What the batch workers of this process have done since it started."""

    messages: int = 0
    stored: int = 0  # messages new to the ledger
    readings: int = 0  # in those
    expired: int = 0  # of the readings: past the time that they are kept when they came
    refused: int = 0
    repeated: int = 0  # messages that the ledger had already
    conflicts: int = 0  # names that came again with other content
    dead_letters: int = 0
    retries: int = 0  # pauses because the series store or the database could not be used


class BatchIngest:
    """Takes groups of batch messages down the line.

    `is_registered` answers whether a gateway is ours; `clock` is the clock by which readings of the future are told.
    """

    def __init__(
        self,
        *,
        series: SeriesStore,
        database: Database,
        is_registered: Callable[[str], Awaitable[bool]],
        receipts: Receipts,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._series = series
        self._database = database
        self._is_registered = is_registered
        self._receipts = receipts
        self._clock = clock
        self._counters = counters
        self._trouble = ""  # what is wrong with store or database now, as it was last logged

    async def take(self, messages: Sequence[Message]) -> None:
        """Take a group of messages from the first step to the last; otherwise as `settle`."""
        await self.settle(messages, await self.open(messages))

    async def open(self, messages: Sequence[Message]) -> list[Arrival]:
        """Understand a group of messages. Nothing comes of that yet, so it may be done while another is settled."""
        # On a thread, because a group may hold a second's worth of decoding, and events share this loop.
        now_ms = self._clock.now_ms()
        opened = await asyncio.to_thread(lambda: [open_batch(each.topic, each.payload, now_ms) for each in messages])
        strangers = await self._patiently(self._strangers_among, {each.gateway for each in opened})
        return [_refused(each) if each.gateway in strangers else each for each in opened]

    async def settle(self, messages: Sequence[Message], arrivals: Sequence[Arrival]) -> None:
        """Store, account for, receipt and acknowledge a group of messages; wait as long as it takes for what may pass.

        One group after the other: what the ledger says of a name must be settled before the name is asked for again.
        Raises what the connection raises: then the messages come again.
        """
        now_ms = self._clock.now_ms()
        entries = await self._find(arrivals)
        # Reversed, so that the first of a name counts, should one come twice in a group.
        new = {each.name: each for each in reversed(arrivals) if each.name and each.name not in entries}
        written = await self._write({name: each.batch for name, each in new.items() if each.batch})
        entries |= await self._record(new, written, now_ms)
        verdicts, letters = judge(arrivals, entries)
        await self._keep(letters, now_ms)
        self._count(arrivals, new.keys(), entries)
        self._count_expired(written)
        await self._receipts.send(verdicts)
        for each in messages:
            await each.ack()  # last: a crash above means the batch comes again, and storing it again is harmless

    async def _strangers_among(self, gateways: Collection[str | None]) -> set[str | None]:
        return {gateway for gateway in gateways if gateway is not None and not await self._is_registered(gateway)}

    async def _find(self, arrivals: Sequence[Arrival]) -> dict[Name, Entry]:
        names = {each.name for each in arrivals if each.name}
        return await self._patiently(self._database.read, lambda connection: known(connection, names))

    async def _write(self, batches: Mapping[Name, Batch]) -> "_Written":
        """Write batches as one group; when the store refuses it, in halves, so that a bad one holds no others."""
        try:
            expired = await self._patiently(self._series.write, list(batches.values()))
        except RefusedError as error:
            if len(batches) == 1:
                return _Written(refusals=dict.fromkeys(batches, str(error)))
        else:
            names = list(batches)
            return _Written(expired={names[place]: readings for place, readings in expired.items()})
        pairs, middle = list(batches.items()), len(batches) // 2
        first, second = await self._write(dict(pairs[:middle])), await self._write(dict(pairs[middle:]))
        return _Written(first.refusals | second.refusals, first.expired | second.expired)

    async def _record(self, new: Mapping[Name, Arrival], written: "_Written", now_ms: int) -> dict[Name, Entry]:
        """Enter the new messages; return what the ledger says of them, which another worker may have been first to."""
        refusals, expired = written.refusals, written.expired
        entries = [
            entry_of(each, name, refusal=refusals.get(name), expired=expired.get(name, 0), received_at=now_ms)
            for name, each in new.items()
        ]
        return await self._patiently(self._database.write, lambda connection: record(connection, entries))

    async def _keep(self, letters: Sequence[DeadLetter], now_ms: int) -> None:
        if letters:
            self._counters.dead_letters += len(letters)
            _log.warning("messages not taken", count=len(letters), first=letters[0].topic, reason=letters[0].reason)
            await self._patiently(self._database.write, lambda connection: keep(connection, letters, now_ms=now_ms))

    async def _patiently(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Try until the store or the database can be used; say so once when that changes."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type((UnavailableError, MisconfiguredError, DatabaseError)),
            wait=pause_s,
            before_sleep=self._report,
        )
        result: T = await retrying(work, *args, **kwargs)
        if self._trouble:
            _log.info("storing again", after=self._trouble)
            self._trouble = ""
        return result

    def _report(self, state: RetryCallState) -> None:
        error = _error_of(state)
        self._counters.retries += 1
        if str(error) != self._trouble:
            self._trouble = str(error)
            log = _log.error if isinstance(error, MisconfiguredError) else _log.warning
            log("cannot store, messages wait", reason=self._trouble)

    def _count(self, arrivals: Sequence[Arrival], new: Collection[Name], entries: Mapping[Name, Entry]) -> None:
        counters = self._counters
        counters.messages += len(arrivals)
        counters.repeated += sum(each.name is not None for each in arrivals) - len(new)
        for name in new:
            if entries[name].outcome == "stored":
                counters.stored += 1
                counters.readings += entries[name].readings
            else:
                counters.refused += 1
        for each in arrivals:
            if each.name and is_conflict(each, entries[each.name]):
                counters.conflicts += 1
                _log.error("two messages of one name", **each.name._asdict())

    def _count_expired(self, written: "_Written") -> None:
        readings = sum(written.expired.values())
        if readings:
            self._counters.expired += readings
            gateways = sorted({name.gateway for name in written.expired})
            _log.warning("readings came past the time that they are kept", readings=readings, gateways=gateways)


def _refused(arrival: Arrival) -> Arrival:
    return replace(arrival, name=None, batch=None, reason=unregistered(arrival.gateway or ""))


class _Written(Struct, frozen=True):
    """Why the store refuses batches, and of which it kept fewer readings because their time is over."""

    refusals: dict[Name, str] = {}
    expired: dict[Name, int] = {}


def pause_s(state: RetryCallState) -> float:
    """Return how long to wait: 0.5 s, doubling to 30 s; what the store asks for; 30 s while a person must act."""
    error = _error_of(state)
    if isinstance(error, MisconfiguredError):
        return LONGEST_PAUSE_S
    asked_for = error.retry_after_s if isinstance(error, UnavailableError) else None
    if asked_for:
        return min(asked_for, LONGEST_ASKED_S)
    doubled: float = FIRST_PAUSE_S * 2 ** min(state.attempt_number - 1, 16)
    return min(doubled, LONGEST_PAUSE_S)


def _error_of(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


async def collect(connection: Connection) -> list[MqttMessage]:
    """Wait for a message, then take what else is there or comes within 20 ms, up to 256 messages or 4 MiB unpacked."""
    group: list[MqttMessage] = []
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, aclosing(connection.messages()) as messages:
            async for message in messages:
                if not group:
                    limit.reschedule(asyncio.get_running_loop().time() + GROUP_WAIT_S)
                group.append(message)
                size += unpacked_size(message.payload)
                if len(group) >= GROUP_MESSAGES or size >= GROUP_BYTES:
                    break
    return group


async def take_for_ever(ingest: BatchIngest, connection: Connection) -> NoReturn:
    """Take group after group; the next one is opened while the one before it is settled.

    Raises what the connection raises.
    """

    async def open_next() -> tuple[list[MqttMessage], list[Arrival]]:
        messages = await collect(connection)
        return messages, await ingest.open(messages)

    following = asyncio.create_task(open_next())
    try:
        while True:
            messages, arrivals = await following
            following = asyncio.create_task(open_next())
            await ingest.settle(messages, arrivals)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def run_batch_worker(
    broker: BrokerConfig,
    *,
    series: SeriesStore,
    database: Database,
    is_registered: Callable[[str], Awaitable[bool]],
    clock: Clock,
    counters: Counters,
    shared: bool,
    newest_head: Callable[[], Head | None] = no_head,
) -> NoReturn:
    """Take batches from the broker for ever; `shared`: together with other workers, where the broker can share."""
    batches = topic("+", "batch")
    topic_filter = share_filter(broker, "ingest", batches) if shared else batches

    async def serve(connection: Connection) -> NoReturn:
        ingest = BatchIngest(
            series=series,
            database=database,
            is_registered=is_registered,
            receipts=Receipts(connection.publish, newest_head),
            clock=clock,
            counters=counters,
        )
        await take_for_ever(ingest, connection)

    await stay_subscribed(
        broker, name="anlan-cloud-batches", topic_filters=[topic_filter], serve=serve, max_inflight=MESSAGES_IN_FLIGHT
    )
