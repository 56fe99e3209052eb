"""A gateway that is nothing but its messages: it repeats them, swaps them, and sends again what has no receipt.

What a real agent does rarely and never on command, this one does all the time: events whose severity rises and falls,
revisions that overtake each other, late copies of what was stored long ago.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import Clock
from edge.contract.messages import (
    LANE_KIND,
    Batch,
    Body,
    ClockState,
    Counts,
    EpochState,
    Event,
    EventState,
    Lane,
    LaneState,
    Reading,
    Receipt,
    Severity,
    Status,
    encode_batch,
    encode_blob,
    encode_event,
    seal,
    split_blob,
    topic,
)
from edge.contract.mqtt import Connection, MqttError, connect
from simulators.demo.proof import Row

KIND, POINT, CLASS = "waterlogging_sensor", "depth", "WATERLOG.ROAD.2"
RESEND_S = 1.5  # real seconds
RECONNECT_S = 0.2
LATEST_DONE = 100
HELD_BACK, COPIED, COPIED_LATE = 0.25, 0.4, 0.05  # chances of a message: to go with the next ones, twice, and later
PICTURE_BYTES = 40_000  # two pieces
# Seconds after its beginning, state and severity of each revision of a flood.
FLOOD = (
    (0, EventState.SUSPECT, Severity.ORANGE),
    (10, EventState.CONFIRMED, Severity.ORANGE),
    (40, EventState.UPDATED, Severity.RED),
    (80, EventState.UPDATED, Severity.ORANGE),
    (110, EventState.UPDATED, Severity.YELLOW),
    (130, EventState.ENDED, Severity.YELLOW),
)

Named = tuple[Lane, int, bytes]
"""A message: lane, seq, payload."""


class WireGateway:
    """Devices that flood at given seconds of a storm; `revisions`, `rows` and `pictures` are what it has said."""

    def __init__(self, name: str, floods: Mapping[str, Sequence[int]], *, clock: Clock, seed: int) -> None:
        self.name = name
        self.revisions: list[Event] = []
        self.rows: list[Row] = []
        self.pictures: dict[str, bytes] = {}
        self.copies = 0  # messages that were sent more often than needed, those without a receipt not counted
        self._clock = clock
        self._random = random.Random(seed)
        self._epoch = secrets.token_hex(8)
        self._next = dict.fromkeys(Lane, 1)
        self._waiting: dict[tuple[Lane, int], Named] = {}
        self._done: list[Named] = []
        self._new: list[Named] = []
        self._held_back: list[Named] = []
        self._connection: Connection | None = None
        self.devices = list(floods)
        self._due = sorted(
            (begins_s + after_s, device, number, place)
            for device, begins in floods.items()
            for number, begins_s in enumerate(begins)
            for place, (after_s, _, _) in enumerate(FLOOD)
        )
        self._began: dict[tuple[str, int], tuple[str, int]] = {}  # id and time of each flood

    def is_settled(self) -> bool:
        """Whether everything that was said has its receipt."""
        return not self._waiting

    async def run(self, broker: BrokerConfig) -> None:
        """Stay connected, for ever: hear receipts, say again what has none."""
        while True:
            try:
                async with connect(broker, client_id=f"wire-{self.name}") as connection:
                    await connection.subscribe(topic(self.name, "receipt"))
                    self._connection = connection
                    await asyncio.gather(self._hear(connection), self._say_again())
            except MqttError:
                await asyncio.sleep(RECONNECT_S)

    async def step(self, at_s: int, *, is_last: bool) -> None:
        """Say what there is to say at this second of the storm, in some order, some of it twice."""
        self._say_batch()
        while self._due and self._due[0][0] <= at_s:
            _, device, number, place = self._due.pop(0)
            self._say_revision(device, number, place)
        chance = self._random.random
        new, self._new = self._held_back + self._new, []
        self._held_back = [] if is_last else [each for each in new if chance() < HELD_BACK]
        out = [each for each in new if each not in self._held_back]
        copies = [each for each in out if chance() < COPIED]
        copies += [each for each in self._done[-LATEST_DONE:] if chance() < COPIED_LATE]
        self.copies += len(copies)
        out += copies
        self._random.shuffle(out)
        await self._publish(out)
        await self.say_status()

    async def say_status(self) -> None:
        """Say where each lane stands."""
        if self._connection is not None:
            with suppress(MqttError):
                await self._connection.publish(topic(self.name, "status"), self.status().to_bytes(), retain=True)

    def status(self) -> Status:
        """Return what the gateway says of itself now."""
        lanes = {}
        for lane in Lane:
            waiting = [seq for of_lane, seq in self._waiting if of_lane is lane]
            lanes[lane.name.lower()] = LaneState(min(waiting, default=self._next[lane]), self._next[lane])
        return Status(
            gateway=self.name,
            session="a1",
            online=True,
            sent_at=self._clock.now_ms(),
            clock=ClockState.SYNCHRONISED,
            config_hash="c0ffee",
            epochs=[EpochState(self._epoch, lanes, Counts(taken=len(self.rows)))],
        )

    async def _hear(self, connection: Connection) -> None:
        async for message in connection.messages():
            receipt = Receipt.from_bytes(message.payload, self.name)
            for part in receipt.ranges:
                assert part.outcome == "stored", f"{self.name}: {receipt.lane.name} {part}"
                for seq in range(part.first, part.last + 1):
                    done = self._waiting.pop((receipt.lane, seq), None)
                    if done is not None:
                        self._done.append(done)
            await message.ack()

    async def _say_again(self) -> None:
        while True:
            await asyncio.sleep(RESEND_S)
            held = {each[:2] for each in self._held_back}
            again = [each for name, each in self._waiting.items() if name not in held]
            self._random.shuffle(again)
            await self._publish(again)

    async def _publish(self, messages: Iterable[Named]) -> None:
        connection = self._connection
        if connection is not None:
            with suppress(MqttError):
                await asyncio.gather(
                    *(connection.publish(topic(self.name, LANE_KIND[lane]), payload) for lane, _, payload in messages)
                )

    def _say_batch(self) -> None:
        now_ms = self._clock.now_ms()
        readings = [Reading(device, POINT, now_ms, self._random.uniform(0, 900)) for device in self.devices]
        self.rows += [Row(self.name, one.device, one.point, one.taken_at, one.value, one.flag, 0) for one in readings]
        batch = Batch.of(
            readings,
            gateway=self.name,
            config_hash="c0ffee",
            clock=ClockState.SYNCHRONISED,
            kinds=dict.fromkeys(self.devices, KIND),
        )
        self._say(Lane.LIVE, encode_batch(batch))

    def _say_revision(self, device: str, number: int, place: int) -> None:
        now_ms = self._clock.now_ms()
        event_id, began_at = self._began.setdefault((device, number), (secrets.token_hex(16), now_ms))
        _, state, severity = FLOOD[place]
        pieces = []
        if state is EventState.CONFIRMED and number == 0:
            picture = b"\xff\xd8\xff" + self._random.randbytes(PICTURE_BYTES)
            pieces = split_blob(self.name, picture, "image/jpeg")
            self.pictures[pieces[0].name] = picture
        event = Event(
            gateway=self.name,
            id=event_id,
            revision=place + 1,
            state=state,
            class_code=CLASS,
            device=device,
            point=POINT,
            severity=severity,
            began_at=began_at,
            updated_at=now_ms,
            ended_at=now_ms if state is EventState.ENDED else None,
            value=200.0,
            unit="mm",
            blobs=[piece.name for piece in pieces[:1]],
        )
        self.revisions.append(event)
        self._say(Lane.EVENTS, encode_event(event))
        for piece in pieces:
            self._say(Lane.BLOBS, encode_blob(piece))

    def _say(self, lane: Lane, body: Body) -> None:
        seq = self._next[lane]
        self._next[lane] += 1
        named = (lane, seq, seal(body, lane=lane, epoch=self._epoch, seq=seq))
        self._waiting[lane, seq] = named
        self._new.append(named)
