"""A Modbus TCP server for devices made from their profiles.

Our own server, not pymodbus': the agent reads with pymodbus, so a misunderstanding of the wire would show here instead
of cancelling out; and here a device can be silent. Written after Modbus Messaging on TCP/IP 1.0b (section 3.1).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Self

from simulators.answers import NO_SUCH_UNIT, exception, reply
from simulators.deadlines import Deadlines
from simulators.device import SimulatedDevice
from simulators.faults import FaultPlan, Framing, Sending
from simulators.loopback_server import LoopbackServer
from simulators.serial_wire import SerialSettings, turnaround_of

MBAP = struct.Struct(">HHHB")  # transaction, protocol (0), length of what follows, unit
RTU_EXTRA = 3  # unit and checksum, which a frame has on the line and a PDU has not
ID_BYTE, PROTOCOL_BYTE = 1, 3  # a change of this byte of an answer is one of its transaction or its protocol id


class ModbusServer(LoopbackServer):
    """One TCP port on loopback with one or more devices behind it, told apart by unit.

    ``async with ModbusServer({1: device}) as server: server.port``. It is a device with a network of its own; with
    ``line`` it is a converter in front of a serial line set so, on which one request at a time takes the time of its
    bits. ``echoes_id=False``: the transaction id of every answer is 0, as with some converters. ``gives_up_s``: so long
    a converter waits for a unit that is silent or not there, and so long its line is of no use to others; then it
    answers for the unit. Without it it never does.
    """

    def __init__(
        self,
        units: Mapping[int, SimulatedDevice],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        faults: FaultPlan | None = None,
        line: SerialSettings | None = None,
        turnaround_s: float | None = None,
        echoes_id: bool = True,
        gives_up_s: float | None = None,
    ) -> None:
        super().__init__(host=host, port=port)
        self.units, self.faults = dict(units), faults or FaultPlan()
        self.line, self.turnaround_s, self.echoes_id, self.gives_up_s = line, turnaround_s, echoes_id, gives_up_s
        self.requests = 0
        self._talking = asyncio.Lock()  # on the line
        self._newest: asyncio.StreamWriter | None = None
        self._stack = AsyncExitStack()
        self._late: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._deadlines = self._stack.enter_context(Deadlines())
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._stack.aclose()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request after another until the reader goes away."""
        self._newest = writer
        while True:
            transaction, protocol, length, unit = MBAP.unpack(await reader.readexactly(MBAP.size))
            request = await reader.readexactly(length - 1) if length > 1 else b""
            if protocol != 0:
                continue
            self.requests += 1
            sending = await self._ask(transaction, unit, request)
            if sending is None:
                continue
            if sending.is_late:
                self._send_later(sending, writer)
                continue
            if sending.delay_s:
                await asyncio.sleep(sending.delay_s)
            writer.write(sending.data)
            await writer.drain()
            if sending.hangs_up:
                return

    async def _ask(self, transaction: int, unit: int, request: bytes) -> Sending | None:
        """What the unit sends, when the line has brought it."""
        if self.line is None:
            return self._reply(transaction, unit, request)
        turnaround_s = turnaround_of(self.units.get(unit)) if self.turnaround_s is None else self.turnaround_s
        async with self._talking:
            asked_s = asyncio.get_running_loop().time() + (len(request) + RTU_EXTRA) * self.line.char_s
            begin_s = asked_s + max(turnaround_s, self.line.gap_s)
            await self._deadlines.until(begin_s)
            sending = self._reply(transaction, unit, request)
            if sending is not None:
                chars = len(sending.data) - MBAP.size + RTU_EXTRA
                await self._deadlines.until(begin_s + chars * self.line.char_s + self.line.gap_s)
            elif self.gives_up_s is not None:
                await self._deadlines.until(asked_s + self.gives_up_s)
                sending = self._answer_for(transaction, unit, request)
            return sending

    def _reply(self, transaction: int, unit: int, request: bytes) -> Sending | None:
        device = self.units.get(unit)
        if device is not None:
            return reply(device, unit, request, framing=self._framing(transaction), faults=self.faults)
        return None if self.line is not None else self._answer_for(transaction, unit, request)

    def _answer_for(self, transaction: int, unit: int, request: bytes) -> Sending:
        refusal = exception(request[0] if request else 0, NO_SUCH_UNIT)
        return Sending(self._framing(transaction).frame(unit, refusal))

    def _framing(self, transaction: int) -> Framing:
        told, checked = (transaction, ID_BYTE) if self.echoes_id else (0, PROTOCOL_BYTE)
        return Framing(lambda unit, pdu: MBAP.pack(told, 0, len(pdu) + 1, unit) + pdu, checked)

    def _send_later(self, sending: Sending, writer: asyncio.StreamWriter) -> None:
        """Send when its time has come; down the newest connection, as a converter does, when its own is gone."""

        async def send() -> None:
            await asyncio.sleep(sending.delay_s)
            target = self._newest if writer.is_closing() and self._newest is not None else writer
            if not target.is_closing():
                target.write(sending.data)

        task = asyncio.create_task(send())
        self._late.add(task)
        task.add_done_callback(self._late.discard)
