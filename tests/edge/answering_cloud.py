"""A cloud that answers an uplink as a test tells it to, over a real broker; and what else tests of the uplink share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import Clock, SystemClock
from edge.contract.messages import (
    LANE_KIND,
    Body,
    ClockState,
    DeviceLimits,
    Head,
    Header,
    Inventory,
    Lane,
    Receipt,
    ReceiptRange,
    Status,
    decode_header,
    topic,
)
from edge.contract.mqtt import Connection, connect
from edge.limits_told import Limits
from edge.outbox import MessageName, Outbox
from edge.uplink import Uplink

GATEWAY = "gw-uplink"
INVENTORY = Inventory(gateway=GATEWAY, config_hash="ab12", devices=[])
Answer = Callable[[Header], str | None]


def body(size: int = 10) -> Body:
    return Body(1, 0, size, os.urandom(size))


class Cloud:
    """Receives what the gateway sends and answers with receipts; ``answer`` says stored, refused or nothing."""

    def __init__(self, connection: Connection, answer: Answer) -> None:
        self.connection = connection
        self.answer = answer
        self.received: list[MessageName] = []
        self.payloads: dict[MessageName, bytes] = {}
        self.statuses: list[Status] = []
        self.inventories: list[Inventory] = []
        self.limits: list[DeviceLimits] = []
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        async for message in self.connection.messages():
            kind = message.topic.rpartition("/")[2]
            if kind == "status":
                self.statuses.append(Status.from_bytes(message.payload, GATEWAY))
            elif kind == "inventory":
                self.inventories.append(Inventory.from_bytes(message.payload, GATEWAY))
            elif kind == "limits":
                self.limits.append(DeviceLimits.from_bytes(message.payload, GATEWAY))
            elif kind != "receipt":
                await self.take(message.payload, kind)
            await message.ack()
            async with self._changed:
                self._changed.notify_all()

    async def take(self, payload: bytes, kind: str) -> None:
        header = decode_header(payload)
        assert LANE_KIND[header.lane] == kind
        name = MessageName(header.epoch, header.lane, header.seq)
        self.received.append(name)
        self.payloads[name] = payload
        outcome = self.answer(header)
        if outcome is not None:
            await self.send_receipt(name, outcome)

    async def send_receipt(self, name: MessageName, outcome: str = "stored", *, head: Head | None = None) -> None:
        part = ReceiptRange(name.seq, name.seq, outcome, "as told")  # type: ignore[arg-type]
        receipt = Receipt(gateway=GATEWAY, epoch=name.epoch, lane=name.lane, ranges=[part], head=head)
        await self.connection.publish(topic(GATEWAY, "receipt"), receipt.to_bytes())

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))


def stored(_header: Header) -> str | None:
    return "stored"


def silent(_header: Header) -> str | None:
    return None


@asynccontextmanager
async def running_cloud(broker: BrokerConfig, answer: Answer = stored) -> AsyncIterator[Cloud]:
    async with connect(broker, client_id="cloud", max_inflight=1000) as connection:
        cloud = Cloud(connection, answer)
        await connection.subscribe(f"anlan/v1/{GATEWAY}/+")
        task = asyncio.create_task(cloud.run())
        yield cloud
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def open_outbox(path: Path, clock: Clock | None = None) -> Outbox:
    return Outbox.open(path, max_bytes=10**9, max_age_ms=10**10, clock=clock or SystemClock())


def make_uplink(outbox: Outbox, broker: BrokerConfig, *, limits: Callable[[], Limits] = dict) -> Uplink:
    state = (ClockState.SYNCHRONISED, None)
    return Uplink(outbox, broker, INVENTORY, clock=SystemClock(), clock_state=lambda: state, limits=limits)


@asynccontextmanager
async def running(uplink: Uplink) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(uplink.run())
    yield task
    uplink.stop()
    async with asyncio.timeout(10):
        await task


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that has no event to wait for."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(0.01)


def is_empty(outbox: Outbox) -> bool:
    return not any(outbox.waiting(lane) for lane in Lane)
