"""A cloud for tests of the gateway: takes every message over a real broker, remembers it, and sends receipts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from edge.contract.broker_config import BrokerConfig
from edge.contract.messages import (
    BlobPiece,
    ClockState,
    DeviceLimits,
    Event,
    Inventory,
    Lane,
    Reading,
    Receipt,
    ReceiptRange,
    Status,
    decode_batch,
    decode_blob,
    decode_event,
    decode_header,
    topic,
)
from edge.contract.mqtt import Connection, Message, connect

WAIT_S = 60.0


class CloudStandIn:
    """What has arrived from one gateway; what came twice counts once, as in the real cloud."""

    def __init__(self, gateway: str, connection: Connection) -> None:
        self.gateway = gateway
        self.readings: dict[tuple[str, str, int], Reading] = {}
        self.clocks: dict[tuple[str, str, int], tuple[ClockState, int | None]] = {}
        self.events: dict[tuple[str, int], Event] = {}
        self.pieces: dict[tuple[str, int], BlobPiece] = {}
        self.status: Status | None = None
        self.inventory: Inventory | None = None
        self.limits: dict[str, DeviceLimits] = {}
        self._connection = connection
        self._news = asyncio.Condition()

    async def wait_for(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds; looks again whenever a message has arrived."""
        try:
            async with asyncio.timeout(WAIT_S), self._news:
                await self._news.wait_for(holds)
        except TimeoutError:
            raise AssertionError(f"not within {WAIT_S:g} s: {what}") from None

    def revisions(self) -> list[Event]:
        """Every revision, in order of event and revision."""
        return sorted(self.events.values(), key=lambda event: (event.began_at, event.id, event.revision))

    async def take_all(self) -> None:
        """Take messages until cancelled."""
        async for message in self._connection.messages():
            await self._take(message)
            await message.ack()
            async with self._news:
                self._news.notify_all()

    async def _take(self, message: Message) -> None:
        kind = message.topic.rpartition("/")[2]
        if kind == "status":
            self.status = Status.from_bytes(message.payload, self.gateway)
        elif kind == "inventory":
            self.inventory = Inventory.from_bytes(message.payload, self.gateway)
        elif kind == "limits":
            limits = DeviceLimits.from_bytes(message.payload, self.gateway)
            self.limits[limits.device] = limits
        elif kind != "receipt":
            self._keep(kind, message.payload)
            header = decode_header(message.payload)
            receipt = Receipt(
                gateway=self.gateway,
                epoch=header.epoch,
                lane=Lane(header.lane),
                ranges=[ReceiptRange(header.seq, header.seq, "stored")],
            )
            await self._connection.publish(topic(self.gateway, "receipt"), receipt.to_bytes())

    def _keep(self, kind: str, payload: bytes) -> None:
        if kind == "batch":
            batch = decode_batch(payload, self.gateway)[1]
            for reading in batch.readings():
                key = (reading.device, reading.point, reading.taken_at)
                self.readings[key], self.clocks[key] = reading, (batch.clock, batch.clock_since)
        elif kind == "event":
            event = decode_event(payload, self.gateway)[1]
            self.events[event.id, event.revision] = event
        else:
            piece = decode_blob(payload, self.gateway)[1]
            self.pieces[piece.name, piece.index] = piece


@asynccontextmanager
async def cloud_for(gateway: str, port: int) -> AsyncIterator[CloudStandIn]:
    """Stand in for the cloud of one gateway at a broker on loopback."""
    async with connect(BrokerConfig(host="127.0.0.1", port=port), client_id=f"cloud-of-{gateway}") as connection:
        for kind in ("batch", "event", "blob", "status", "inventory", "limits"):
            await connection.subscribe(topic(gateway, kind))
        cloud = CloudStandIn(gateway, connection)
        taking = asyncio.create_task(cloud.take_all())
        try:
            yield cloud
        finally:
            taking.cancel()
            await asyncio.wait([taking])
