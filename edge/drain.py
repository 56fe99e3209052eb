"""One connection's work: send what waits, in lane order and within the window; forget what the cloud has receipted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from edge.contract.messages import LANE_KIND, ContractError, Head, Lane, Receipt, topic
from edge.contract.mqtt import Connection
from edge.outbox import Outbox, OutboxFullError, Waiting
from edge.window import SendWindow

_log = structlog.get_logger()


class Drain:
    """What is on its way on one connection; a new connection begins a new one, and so sends everything again."""

    def __init__(
        self,
        outbox: Outbox,
        connection: Connection,
        gateway: str,
        *,
        is_appended: asyncio.Event,
        on_change: Callable[[], None],
    ) -> None:
        """``is_appended`` is set at each append; cleared here when that has been looked at.

        ``on_change`` is told when ``send_what_fits`` should be called, or ``next_due_at`` be asked, again.
        """
        self._outbox = outbox
        self._connection = connection
        self._gateway = gateway
        self._is_appended = is_appended
        self._on_change = on_change
        self._window = SendWindow()
        self._head: Head | None = None  # the last one kept: it comes with every receipt until our status has said it
        self._sent_up_to = dict.fromkeys(Lane, 0)  # outbox ids

    async def send_what_fits(self, tasks: asyncio.TaskGroup) -> None:
        """Start sending, as tasks, what is due again and then what is new, until the window is full.

        May be ended early by an append: call it again then.
        """
        self._is_appended.clear()
        for message_id in self._window.due(now=time.monotonic()):
            waiting = await asyncio.to_thread(self._outbox.find_waiting, message_id)
            if waiting is None:
                self._window.drop(message_id)  # given up meanwhile
            elif message_id in self._window:
                self._window.send_again(message_id, now=time.monotonic())
                tasks.create_task(self._send(waiting))
        for lane in Lane:
            if not await self._send_lane(lane, tasks):
                return  # what is in a later lane must not overtake

    async def receive(self) -> None:
        """Honour receipts until the connection ends. Raises DisconnectedError."""
        async for message in self._connection.messages():
            if message.topic == topic(self._gateway, "receipt"):
                await self._honour(message.payload)
            else:  # amqtt sends every newcomer what it retains of others
                _log.debug("message that nobody asked for ignored", topic=message.topic)
            await message.ack()

    async def _honour(self, payload: bytes) -> None:
        try:
            receipt = Receipt.from_bytes(payload, self._gateway)
            gone = await asyncio.to_thread(self._outbox.forget, receipt)
            self._window.receipt(gone, now=time.monotonic())
            if receipt.head is not None and receipt.head != self._head:
                await asyncio.to_thread(self._outbox.keep_head, receipt.head)
                self._head = receipt.head
        except ContractError as error:
            _log.warning("receipt ignored", reason=str(error))
        except OutboxFullError as error:
            _log.error("receipt ignored, it will come again", reason=str(error))
        self._on_change()

    def next_due_at(self) -> float | None:
        """Return when something must be sent again, on the monotonic clock."""
        return self._window.next_due_at()

    async def _send_lane(self, lane: Lane, tasks: asyncio.TaskGroup) -> bool:
        """Return whether all of the lane is on its way."""
        if not self._outbox.waiting(lane):
            return True  # most lanes are empty most of the time: that is known without a look into the file
        while self._window.has_room(lane):
            waiting = await asyncio.to_thread(self._outbox.next_to_send, lane, after=self._sent_up_to[lane])
            if waiting is None:
                return True
            if not self._window.has_room(lane, len(waiting.payload)):
                return False
            self._sent_up_to[lane] = waiting.id
            self._window.add(waiting.id, lane, len(waiting.payload), now=time.monotonic())
            tasks.create_task(self._send(waiting))
            if self._is_appended.is_set():  # while receipts come quickly there is always room: urgent ones may not wait
                return False
        return False

    async def _send(self, waiting: Waiting) -> None:
        await self._connection.publish(topic(self._gateway, LANE_KIND[waiting.name.lane]), waiting.payload)
        self._window.at_broker(waiting.id, now=time.monotonic())
        self._on_change()
