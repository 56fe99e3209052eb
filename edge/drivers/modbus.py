"""Modbus TCP. A wrong value hurts more than a missing one, so every answer is checked before it is believed.

pymodbus (3.16) frames and decodes; on its own it would take transaction id 0, a foreign function code, or a short
answer. Here every byte that arrives first passes :func:`edge.drivers.modbus_frames.is_answer` in its trace hook.

**Late answers.** Whatever is not the one right answer, or is not whole in time, closes the connection, and the next
request opens a new one. Transaction ids go on from connection to connection, from a random start. So an answer could
only be taken for another's if it reached the *new* connection (a converter that mixes up its callers), carried the id
of the request under way (the last one with that id is 65 000 requests old), and fitted its unit, function and count.

**One dead unit does not starve the others.** Units behind one address share a connection and wait for each other in
order, for single requests. A silent device is asked all its tries once; from then on it gets one request per probe that
:class:`edge.drivers.silence.Silence` allows, until it answers.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, Self

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edge.contract.buses import Line
from edge.contract.clock import Clock
from edge.contract.gateway_config import DeviceConfig
from edge.contract.messages import Test
from edge.contract.profile import BIT_TABLES, ModbusProfile
from edge.drivers import Answer, ConfigurationError, Missing, NoAnswerError, RefusedError, Snapshot, Stamps, Words
from edge.drivers.modbus_frames import EXCEPTIONS, GATEWAY_EXCEPTIONS, WrongAnswerError, is_answer
from edge.drivers.silence import Silence
from edge.read_plan import Block, plan

NEVER_S: Final = 3600.0  # pymodbus insists on a timeout of its own; ours are always shorter
HIGHEST_ID: Final = 65_000  # where pymodbus starts its transaction ids again
TRIES: Final = 3
MISFITS: Final = (1, 2, 3)  # exceptions about what was asked, not about the state of the device
CHECK_UNIT: Final = "check the unit number, and the wiring behind a converter"
CHECK_PROFILE: Final = "check that the profile is for this very model"


class ModbusLink:
    """One TCP connection to ``host:port``, opened when it is first needed and shared by the units behind it."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._turn = asyncio.Lock()
        self._last_id = secrets.randbelow(HIGHEST_ID)
        self._client: AsyncModbusTcpClient | None = None
        self._wire = _Wire()

    def __str__(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def fault(self) -> str | None:
        """Why the next read will open a new connection; None while the present one can be used."""
        return self._wire.fault

    async def read(self, unit: int, block: Block, *, timeout_s: float, pause_s: float = 0.0) -> Words:
        """Return the registers or bits of a block; raises NoAnswerError or RefusedError.

        ``timeout_s`` bounds the connecting and the answer, each; ``pause_s`` is kept before the request is sent.
        """
        async with self._turn:
            with ExitStack() as unless_answered:
                unless_answered.callback(self.close)
                client = await self._connected(timeout_s)
                if pause_s:
                    await asyncio.sleep(pause_s)
                pdu = await self._ask(client, unit, block, timeout_s)
                unless_answered.pop_all()
        return _words_in(pdu, block)

    async def _connected(self, timeout_s: float) -> AsyncModbusTcpClient:
        if self._client is not None and self.fault is None:
            return self._client
        self.close()
        self._wire = _Wire()
        client = AsyncModbusTcpClient(
            self._host, port=self._port, timeout=NEVER_S, retries=0, reconnect_delay=0,
            trace_packet=self._wire.packet, trace_connect=self._wire.connect,
        )  # fmt: skip
        self._client = client
        try:
            async with asyncio.timeout(timeout_s):
                await client.ctx.call_create()  # what client.connect() calls, which keeps the reason to itself
        except TimeoutError as error:
            raise NoAnswerError(f"no connection within {timeout_s:g} s: check address, power and cable") from error
        except OSError as error:
            raise NoAnswerError(_in_words(error)) from error
        client.ctx.next_tid = self._last_id
        return client

    async def _ask(self, client: AsyncModbusTcpClient, unit: int, block: Block, timeout_s: float) -> ModbusPDU:
        ask = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }[block.table]
        try:
            async with asyncio.timeout(timeout_s) as limit:
                with self._wire.awaiting(limit):
                    return await ask(block.address, count=block.count, device_id=unit)
        except TimeoutError as error:
            silent = f"connected, but silent for {timeout_s:g} s: {CHECK_UNIT}"
            raise NoAnswerError(self.fault or silent) from error
        except ModbusException as error:
            raise NoAnswerError(str(error)) from error
        finally:
            self._last_id = client.ctx.next_tid

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None


class _Wire:
    """What pymodbus' trace hooks see of one connection; ``fault`` says why it must not be used any more."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self._request = b""
        self._limit: asyncio.Timeout | None = None

    @contextmanager
    def awaiting(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Let a fault end ``limit`` at once, instead of waiting for an answer that cannot come any more."""
        self._limit = limit
        try:
            yield
        finally:
            self._request, self._limit = b"", None

    def packet(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        """Pass on a request, and an answer once it is whole and right; ``data`` is all that came since the request."""
        if sending:
            self._request = data
            return data
        try:
            if not self._request:
                self._fail("it sent bytes that nobody asked for")
            elif is_answer(self._request, data):
                self._request = b""
                return data
        except WrongAnswerError as error:
            self._fail(f"wrong answer: {error}")
        return b""

    def connect(self, connected: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        """Note that the other side has closed the connection."""
        if not connected:
            self._fail("it closed the connection")

    def _fail(self, fault: str) -> None:
        self.fault = self.fault or fault
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)


def _in_words(error: OSError) -> str:
    """Say why a connection failed without the address, which the reader of the message already has."""
    if isinstance(error, socket.gaierror) or not error.errno:
        return f"{error.strerror or error}: check the host name"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: is Modbus TCP switched on there, and is it this port?"
    return os.strerror(error.errno)


def _words_in(pdu: ModbusPDU, block: Block) -> Words:
    """Return the words of a checked answer; raises RefusedError or NoAnswerError for an exception."""
    if pdu.isError():
        text = f"{EXCEPTIONS.get(pdu.exception_code, 'unknown reason')} (exception {pdu.exception_code})"
        if pdu.exception_code in GATEWAY_EXCEPTIONS:
            raise NoAnswerError(f"the converter answers {text}: {CHECK_UNIT}")
        raise RefusedError(f"{text}{': ' + CHECK_PROFILE if pdu.exception_code in MISFITS else ''}")
    values: Sequence[int] = pdu.bits if block.table in BIT_TABLES else pdu.registers
    return tuple(int(value) for value in values[: block.count])


class ModbusLinks:
    """All connections of a gateway, one per ``(host, port)``, closed at the end of ``async with``."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, int], ModbusLink] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in self._links.values():
            link.close()
        await asyncio.sleep(0)  # the transports close their sockets in the next turn of the loop

    def link(self, host: str, port: int) -> ModbusLink:
        """Return the connection to an address, the same one for every unit behind it."""
        return self._links.setdefault((host, port), ModbusLink(host, port))

    def driver(self, device: DeviceConfig, line: Line, clock: Clock) -> ModbusDevice:
        """Return the driver of a configured device on its line; raises ConfigurationError when it is not one for Modbus."""
        profile, address = device.device_profile, device.modbus
        if not isinstance(profile, ModbusProfile) or address is None:
            raise ConfigurationError(f"{device.id}: profile {device.profile} is not read by Modbus")
        return ModbusDevice(
            device.id, link=self.link(line.host, line.port), unit=address.unit, plan=plan(profile), clock=clock,
            timeout_s=address.timeout_s, tries=TRIES, pause_s=profile.reads.pause_ms / 1000,
        )  # fmt: skip


class ModbusDevice:
    """A driver for one unit. A poll asks for each block of the plan, in order, within a bounded number of tries.

    A first block without an answer ends the poll, and the device counts as silent. A later one costs one more round of
    tries; from then on each block of this poll is asked once. A refusal is an answer: it is not asked again.
    """

    def __init__(
        self,
        device: str,
        *,
        link: ModbusLink,
        unit: int,
        plan: Sequence[Block],
        clock: Clock,
        timeout_s: float,
        tries: int,
        pause_s: float = 0.0,
    ) -> None:
        self._device, self._link, self._unit, self._plan, self._clock = device, link, unit, plan, clock
        self._timeout_s, self._tries, self._pause_s = timeout_s, tries, pause_s
        self._stamps = Stamps(clock)
        self._silence = Silence()

    async def read(self) -> Snapshot:
        """Poll the device once; the time is that of the first block's answer, or of giving up."""
        if not self._silence.is_poll_due(self._clock.now_ms()):
            return Snapshot(self._stamps.take(), _missing(self._plan, self._silence.reason))
        tries = 1 if self._silence.reason else self._tries
        taken_at: int | None = None
        answers: dict[str, Answer] = {}
        for block in self._plan:
            try:
                answered = await self._read_block(block, tries)
            except NoAnswerError as error:
                if taken_at is None:
                    self._silence.note_silent(self._clock.now_ms(), str(error))
                    return Snapshot(self._stamps.take(), _missing(self._plan, str(error)))
                answered, tries = _missing([block], str(error)), 1
            taken_at = taken_at or self._stamps.take()
            answers.update(answered)
        self._silence.note_answer()
        return Snapshot(taken_at or self._stamps.take(), answers)

    async def _read_block(self, block: Block, tries: int) -> Mapping[str, Answer]:
        """Return an answer for each point of a block; raises NoAnswerError after the last try."""
        reason = ""
        for _ in range(tries):
            try:
                words = await self._link.read(self._unit, block, timeout_s=self._timeout_s, pause_s=self._pause_s)
            except RefusedError as error:
                return dict.fromkeys(
                    block.names, Missing(Test.REFUSED, f"{self._device}: {self._place} refused {block}: {error}")
                )
            except NoAnswerError as error:
                reason = str(error)
            else:
                return block.split(words)
        times = "1 try" if tries == 1 else f"{tries} tries"
        raise NoAnswerError(f"{self._device}: no answer from {self._place} after {times}: {reason}")

    @property
    def _place(self) -> str:
        return f"{self._link} unit {self._unit}"


def _missing(blocks: Sequence[Block], reason: str) -> Mapping[str, Answer]:
    missing = Missing(Test.NO_ANSWER, reason)
    return {name: missing for block in blocks for name in block.names}
