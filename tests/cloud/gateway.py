"""A gateway as the cloud sees it: sends batches, and sends again what it has no receipt for."""

import asyncio
from collections.abc import Callable, Sequence

from edge.contract.broker_config import BrokerConfig
from edge.contract.messages import Reading, Receipt, topic
from edge.contract.mqtt import Connection, MqttError, connect
from tests.cloud.batches import readings_of, sealed

RESEND_S = 0.5
RECONNECT_S = 0.1


class Gateway:
    """Sends the batches of `seqs` until each has a receipt; `outcomes` is what the receipts said.

    A batch holds what `readings` gives for its seq.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        seqs: Sequence[int],
        *,
        name: str = "gw-1",
        readings: Callable[[int], Sequence[Reading]] = readings_of,
    ) -> None:
        self._broker = broker
        self.name = name
        self._waiting = {seq: sealed(seq, readings(seq), gateway=name) for seq in seqs}
        self.outcomes: dict[int, str] = {}

    async def send_all(self) -> None:
        """Return when every batch has its receipt, however often the broker goes away."""
        while self._waiting:
            try:
                async with connect(self._broker, client_id=f"anlan-edge-{self.name}") as connection:
                    await connection.subscribe(topic(self.name, "receipt"))
                    await self._send(connection)
            except MqttError:
                await asyncio.sleep(RECONNECT_S)

    async def _send(self, connection: Connection) -> None:
        while self._waiting:
            for payload in list(self._waiting.values()):
                await connection.publish(topic(self.name, "batch"), payload)
            try:
                async with asyncio.timeout(RESEND_S):
                    await self._read_receipts(connection)
            except TimeoutError:
                continue

    async def _read_receipts(self, connection: Connection) -> None:
        async for message in connection.messages():
            for part in Receipt.from_bytes(message.payload, self.name).ranges:
                for seq in range(part.first, part.last + 1):
                    self.outcomes[seq] = part.outcome
                    self._waiting.pop(seq, None)
            await message.ack()
            if not self._waiting:
                return
