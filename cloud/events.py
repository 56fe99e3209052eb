"""Event worker: message -> revision, alert and order, ledger, all in one transaction -> receipt -> MQTT ack.

It has its own connection to the broker and never waits for the series store. It also takes the pictures that events
name, and what each gateway says of itself: its status, its inventory, what it has learned of its sensors.

A message of an unregistered gateway becomes a dead letter and gets no receipt, so that its gateway keeps it until
somebody registers it. What can never be taken is refused by name, so that it is not sent for ever.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog
from msgspec import Struct
from sqlalchemy import Connection
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from cloud.blobs import PictureError, take_piece
from cloud.database import Database, DatabaseError
from cloud.dead_letters import DeadLetter, keep, unregistered
from cloud.gateway_states import take_inventory, take_status
from cloud.ledger import CONFLICT, Entry, Name, Outcome, hash_of, known, record, settle
from cloud.quality.limits import take_limits
from cloud.receipts import Receipts, Verdict, no_head
from cloud.registry.registry import Registry, known_gateways
from cloud.subscriber import share_filter, stay_subscribed
from cloud.workorders.alerts import has_waited, open_late, record_event
from cloud.workorders.order_rules import rule_of
from edge.contract import mqtt
from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import Clock
from edge.contract.days import day_of
from edge.contract.messages import (
    LANE_KIND,
    ContractError,
    DeviceLimits,
    Head,
    Inventory,
    Status,
    decode_blob,
    decode_event,
    decode_header,
    gateway_of,
    topic,
)

MAX_AHEAD_MS = 600_000  # an event from further ahead is refused: its gateway's clock is wrong
LONGEST_PAUSE_S = 5.0
LOOK_FOR_LATE_S = 10
MAX_INFLIGHT = 1000  # a storm comes as a burst, and what has no place here comes again only after 5 s

_log = structlog.get_logger()


class Arrival(Struct, frozen=True, kw_only=True):
    """A message from a gateway, as it came."""

    topic: str
    payload: bytes
    retained: bool = False
    gateway: str
    kind: str


class EventTaker:
    """Takes one message after another, each in one transaction of the database."""

    def __init__(self, database: Database, registry: Registry, clock: Clock, *, blobs_folder: Path) -> None:
        self._database = database
        self._registry = registry
        self._clock = clock
        self._blobs_folder = blobs_folder

    async def take(self, topic_name: str, payload: bytes, *, retained: bool = False) -> Verdict | None:
        """Take a message; return what its gateway is to be told, None for nothing.

        A picture that cannot be written to disk holds up nothing: without a receipt its gateway sends it again.
        Raises DatabaseError.
        """
        kind = topic_name.rpartition("/")[2]
        try:
            gateway = gateway_of(topic_name)
        except ContractError as error:
            letter = DeadLetter(topic=topic_name, gateway=None, reason=str(error), payload=payload)
            await self._database.write(partial(keep, letters=[letter], now_ms=self._clock.now_ms()))
            return None
        arrival = Arrival(topic=topic_name, payload=payload, retained=retained, gateway=gateway, kind=kind)
        if kind in STORE_PLAIN:
            await self._database.write(partial(self._take_plain, arrival=arrival))
            return None
        is_known = await self._registry.is_known(gateway)
        try:
            return await self._database.write(partial(self._take_laned, arrival=arrival, is_known=is_known))
        except OSError as error:
            _log.warning("picture not kept, its gateway sends it again", gateway=gateway, reason=str(error))
            return None

    def take_again(self, connection: Connection, arrival: Arrival) -> str:
        """Take an event or a piece of a picture that was set aside; return why it cannot be stored, empty when it is.

        Nobody is told: its gateway gave it up. Raises ContractError for what has no name, and OSError.
        """
        name, content = _name_of(arrival), hash_of(arrival.payload)
        earlier = known(connection, [name]).get(name)
        if earlier is not None and not earlier.is_of(content):
            return CONFLICT
        if earlier is not None and earlier.outcome == "stored":
            return ""
        reason = self._store(connection, arrival)
        if not reason:
            now_ms = self._clock.now_ms()
            settle(connection, Entry(name, content, 0, "stored", "", now_ms, day_of(now_ms)))
        return reason

    async def open_late(self) -> None:
        """Open what was heard late and has not ended while it waited. Raises DatabaseError."""
        now_ms = self._clock.now_ms()
        if await self._database.read(partial(has_waited, now_ms=now_ms)):
            await self._database.write(partial(open_late, rule_of=rule_of, now_ms=now_ms))

    def _take_plain(self, connection: Connection, arrival: Arrival) -> None:
        try:
            STORE_PLAIN[arrival.kind](connection, arrival, self._clock.now_ms())
        except ContractError as error:
            self._set_aside(connection, arrival, str(error))

    def _take_laned(self, connection: Connection, arrival: Arrival, *, is_known: bool) -> Verdict | None:
        """Take an event or a piece of a picture, once."""
        if not is_known:
            self._set_aside(connection, arrival, unregistered(arrival.gateway))
            return None
        try:
            name = _name_of(arrival)
        except ContractError as error:
            self._set_aside(connection, arrival, str(error))
            return None
        content = hash_of(arrival.payload)
        earlier = known(connection, [name]).get(name)
        if earlier is None:
            reason = self._store(connection, arrival)
            outcome: Outcome = "refused" if reason else "stored"
            now_ms = self._clock.now_ms()
            record(connection, [Entry(name, content, 0, outcome, reason, now_ms, day_of(now_ms))])
        elif earlier.is_of(content):
            outcome, reason = earlier.outcome, earlier.reason
        else:
            _log.error("one name, two contents: a cloned card, or two agents with one identity", **name._asdict())
            outcome, reason = "refused", CONFLICT
        if outcome == "refused":
            self._set_aside(connection, arrival, reason)
        return Verdict(name, outcome, reason)

    def _store(self, connection: Connection, arrival: Arrival) -> str:
        """Store the content; return why it can never be stored, empty when it is."""
        now_ms = self._clock.now_ms()
        try:
            if arrival.kind == "blob":
                _, piece = decode_blob(arrival.payload, arrival.gateway)
                take_piece(connection, piece, self._blobs_folder, now_ms=now_ms)
                return ""
            _, event = decode_event(arrival.payload, arrival.gateway)
        except (ContractError, PictureError) as error:
            return str(error)
        ahead_ms = max(event.began_at, event.updated_at, event.ended_at or 0) - now_ms
        if ahead_ms > MAX_AHEAD_MS:
            return f"event: {ahead_ms // 60_000} minutes in the future, at most 10 are allowed: set the gateway's clock"
        record_event(connection, event, rule_of=rule_of, now_ms=now_ms)
        return ""

    def _set_aside(self, connection: Connection, arrival: Arrival, reason: str) -> None:
        letter = DeadLetter(topic=arrival.topic, gateway=arrival.gateway, reason=reason, payload=arrival.payload)
        keep(connection, [letter], now_ms=self._clock.now_ms())


def _name_of(arrival: Arrival) -> Name:
    """Return the message's name; raises ContractError where there is none by which it could be refused."""
    header = decode_header(arrival.payload)
    if LANE_KIND[header.lane] != arrival.kind:
        raise ContractError(f"{arrival.kind}: arrived with the name of a {LANE_KIND[header.lane]}, which it is not")
    return Name.of(arrival.gateway, header)


def _store_status(connection: Connection, arrival: Arrival, now_ms: int) -> None:
    status = Status.from_bytes(arrival.payload, arrival.gateway)
    take_status(connection, status, retained=arrival.retained, now_ms=now_ms)


def _store_inventory(connection: Connection, arrival: Arrival, now_ms: int) -> None:
    take_inventory(connection, Inventory.from_bytes(arrival.payload, arrival.gateway), now_ms=now_ms)


def _store_limits(connection: Connection, arrival: Arrival, now_ms: int) -> None:
    """Keep what one of our gateways has learned; of another it is not kept, and comes again once it is ours."""
    learned = DeviceLimits.from_bytes(arrival.payload, arrival.gateway)
    if arrival.gateway in known_gateways(connection):
        take_limits(connection, learned, now_ms=now_ms)


STORE_PLAIN: dict[str, Callable[[Connection, Arrival, int], None]] = {
    "status": _store_status,
    "inventory": _store_inventory,
    "limits": _store_limits,
}


async def run_event_worker(
    broker: BrokerConfig, taker: EventTaker, *, shared: bool, newest_head: Callable[[], Head | None] = no_head
) -> NoReturn:
    """Take events for ever, whatever becomes of broker and database; `shared`: together with other workers."""
    passing = [topic("+", kind) for kind in ("event", "blob", "limits")]
    if shared:
        passing = [share_filter(broker, "events", each) for each in passing]
    retained = [
        topic("+", kind) for kind in ("status", "inventory")
    ]  # a shared subscription is not sent what is retained

    async def serve(connection: mqtt.Connection) -> NoReturn:
        receipts = Receipts(connection.publish, newest_head)
        while True:
            async for message in connection.messages():
                verdict = await _take_patiently(taker, message)
                if verdict is not None:
                    await receipts.send([verdict])
                await message.ack()  # last: a crash above means that it comes again, and the ledger then knows it

    await stay_subscribed(
        broker, name="anlan-cloud-events", topic_filters=[*retained, *passing], serve=serve, max_inflight=MAX_INFLIGHT
    )


async def open_late_often(taker: EventTaker, clock: Clock) -> NoReturn:
    """Open what was heard late and did not end while it waited, for ever; what cannot be is tried again."""
    while True:
        try:
            await taker.open_late()
        except DatabaseError as error:
            _log.warning("late events wait", reason=str(error))
        await clock.sleep(LOOK_FOR_LATE_S)


async def _take_patiently(taker: EventTaker, message: mqtt.Message) -> Verdict | None:
    """Try until the database can be used: what came first is taken first."""
    attempts = AsyncRetrying(
        retry=retry_if_exception_type(DatabaseError),
        wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE_S),
        before_sleep=_say_why,
    )
    return await attempts(taker.take, message.topic, message.payload, retained=message.retained)


def _say_why(state: RetryCallState) -> None:
    if state.attempt_number == 1 and state.outcome is not None:
        _log.warning("events wait", reason=str(state.outcome.exception()))
