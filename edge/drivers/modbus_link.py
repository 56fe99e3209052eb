"""One line to Modbus units: a TCP connection, a serial port, or a serial converter on the network.

pymodbus (3.16) opens, frames and decodes; on its own it would take transaction id 0, a foreign function code, a short
answer, and over RTU an answer to an earlier request. Here every byte that arrives first passes
:mod:`edge.drivers.modbus_frames` in its trace hook, and only the one right answer is passed on.

**Late answers, where there are transaction ids** (``framing: tcp``). Whatever is not the one right answer, or is not
whole in time, closes the connection, and the next request opens a new one. Ids go on from connection to connection,
from a random start. So an answer could only be taken for another's if it reached the *new* connection (a converter that
mixes up its callers), carried the id of the request under way (the last one with that id is 65 000 requests old), and
fitted its unit, function and count.

**Late answers, where there are none** (RTU). Closing would help nothing: what comes late comes down the same wires. So

- a unit that was waited for in vain is not asked again before ``most_s``, the longest that an answer may take, has
  passed since; the line is free for others meanwhile, whose answers name another unit;
- after anything that is not the right answer the line must first be quiet for a while;
- a network in front of the line may hold requests up and then deliver them all. So where nothing at all was heard since
  a unit was waited for in vain, and longer than ``most_s``, what comes first is nobody's answer, and the line must be
  quiet for ``most_s``;
- after opening, the line is listened to for ``most_s`` before the first request: somebody may have asked before us.

- an answer that repeats, byte for byte, what the unit was just asked for elsewhere is asked for once more
  (:mod:`edge.drivers.repeats`).

What remains: an answer that comes later than ``most_s``, just when the same unit is asked again for as many registers
by the same function; ``timeout_s`` in gateway.yaml is that bound. And of an answer that comes more than once: a copy
later than ``most_s``, or one more of the same behind a copy that was found out and ``SETTLE_S`` of quiet.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import socket
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from traceback import clear_frames
from typing import Final, NamedTuple

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from edge.bus_time import Wire
from edge.contract.buses import Framing, Line
from edge.contract.profile import BIT_TABLES
from edge.drivers import NoAnswerError, RefusedError, Words
from edge.drivers.lookup import Lookup
from edge.drivers.modbus_frames import (
    EXCEPTIONS,
    GATEWAY_EXCEPTIONS,
    IsAnswer,
    WrongAnswerError,
    is_answer_without_id,
    is_rtu_answer,
    is_tcp_answer,
)
from edge.drivers.repeats import Place, Repeats
from edge.read_plan import Block

NEVER_S: Final = 3600.0  # pymodbus insists on a timeout of its own; ours are always shorter
HIGHEST_ID: Final = 65_000  # where pymodbus starts its transaction ids again
MISFITS: Final = (1, 2, 3)  # exceptions about what was asked, not about the state of the device
CHECK_UNIT: Final = "check the unit number, and the wiring behind a converter"
CHECK_PROFILE: Final = "check that the profile is for this very model"
SETTLE_S: Final = 0.05  # after a spoiled exchange: USB converters hand over what they hear in pieces, 16 ms apart
BABBLE_S: Final = 2.0
UNHEARD_S: Final = 5.0  # bytes that the other side's machine has not got after so long never reach it
_OF_TCP: Final = 6  # bytes of a frame over TCP that say nothing of what was asked
TICK_S: Final = 0.001  # epoll counts in these
_NO_PORT: Final = "there is no such serial port: is the converter plugged in?"
_NOT_ALLOWED: Final = "this user may not open it: add them to the group that owns it, often dialout"
_TAKEN: Final = "another program has it open: only one may talk on a serial line"
_PORT_IN_WORDS: Final[dict[int | None, str]] = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENXIO), _NO_PORT),
    **dict.fromkeys((errno.EACCES, errno.EPERM), _NOT_ALLOWED),
    **dict.fromkeys((errno.EAGAIN, errno.EBUSY), _TAKEN),
}
_IS_ANSWER: Final[dict[Framing, IsAnswer]] = {
    "tcp": is_tcp_answer,
    "tcp_without_ids": is_answer_without_id,
    "rtu": is_rtu_answer,
}

# What it would say we say ourselves; it would add the latest bytes of all lines, and with them readings of homes.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)

Client = AsyncModbusTcpClient | AsyncModbusSerialClient


class SilentError(NoAnswerError):
    """Nothing came within the time; an answer may still come."""


class Answered(NamedTuple):
    """The registers or bits of a block, and how many seconds the device took: what its bytes need is not counted."""

    words: Words
    took_s: float


class ModbusLink:
    """A line, opened when it is first needed; whoever asks on it waits for their turn, in order."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._bytes = Wire(line.baud, line.bits_per_char, turnaround_s=0.0)
        self._turn = asyncio.Lock()
        self._last_id = secrets.randbelow(HIGHEST_ID)
        self._client: Client | None = None
        self._lookup = Lookup(line.host, line.port)
        self._has_ids, self._is_tcp = line.framing == "tcp", line.framing != "rtu"
        self._repeats = Repeats()
        self._ears = _Ears(line, has_ids=self._has_ids)
        self._free_at: dict[int, float] = {}  # by unit, in the loop's time
        self._in_vain: dict[int, float] = {}  # by unit, when it was first asked since anything was last heard

    def __str__(self) -> str:
        return str(self.line)

    @property
    def fault(self) -> str | None:
        """Why the next read will open the line anew; None while it can be used as it is."""
        return self._ears.lost

    @property
    def heard(self) -> bytes:
        """All that came since the last request, right or wrong."""
        return self._ears.heard

    @property
    def lasted_s(self) -> float:
        """Seconds from the last request to the last byte that came."""
        return self._ears.heard_at - self._ears.sent_at

    def wire_s(self, block: Block) -> float:
        """How long the bytes of a request and its answer need on the serial line; 0 where there is none."""
        return self._bytes.request_s(block.table, block.count) - self._bytes.quiet_s

    async def read(self, unit: int, block: Block, *, wait_s: float, most_s: float, pause_s: float = 0.0) -> Answered:
        """Ask for a block; raises NoAnswerError (SilentError among them) or RefusedError.

        ``wait_s`` is how long the device is waited for, besides the time its bytes need; ``most_s`` the longest that an
        answer may take, and bounds the opening too; ``pause_s`` is kept between the last byte and this request.
        """
        while True:
            await _sleep_until(self._free_at.get(unit, 0.0))
            async with self._turn:
                if self._free_at.get(unit, 0.0) > asyncio.get_running_loop().time():
                    continue  # it was waited for in vain by whoever had the turn before
                wire_s = self.wire_s(block)
                with self._unless_answered(unit, most_s + wire_s):
                    client = await self._opened(most_s)
                    await self._hear_out(most_s)
                    await self._quiet(pause_s)
                    pdu = await self._ask(client, unit, block, wait_s + wire_s)
                    took_s = self.lasted_s - wire_s
                if unit in self._in_vain or self._is_doubtful(unit, block, most_s):
                    continue  # this may be the answer to an earlier request
                self._in_vain.clear()
            return Answered(_words_in(pdu, block), took_s)

    def _is_doubtful(self, unit: int, block: Block, most_s: float) -> bool:
        if self._has_ids:
            return False
        place, answer = Place(unit, block.table, block.address), self.heard[_OF_TCP if self._is_tcp else 0 :]
        if not self._repeats.is_doubtful(place, answer, at_s=self._ears.heard_at, within_s=most_s):
            return False
        self._ears.unsettle()
        return True

    @contextmanager
    def _unless_answered(self, unit: int, most_s: float) -> Iterator[None]:
        """Keep what may still come from being taken for the answer to another request."""
        try:
            yield
        except _NotAskedError:
            raise
        except BaseException:
            ears = self._ears
            if self._has_ids:
                self.close()
            else:
                self._free_at[unit] = ears.sent_at + most_s
                if not self.line.is_serial and ears.heard_at < ears.sent_at:
                    self._in_vain.setdefault(unit, ears.sent_at)
            raise

    async def _hear_out(self, most_s: float) -> None:
        """Let pass what was heard when nothing had been for long: answers to requests that the network held up."""
        if not self._in_vain or self._ears.heard_at <= self._ears.sent_at:
            return
        is_old = self._ears.heard_at - min(self._in_vain.values()) > most_s
        self._in_vain.clear()
        if is_old:
            await self._quiet(most_s)

    async def _opened(self, most_s: float) -> Client:
        if self._client is not None and self.fault is None:
            return self._client
        self.close()
        self._ears = _Ears(self.line, has_ids=self._has_ids)
        client = self._make_client()
        try:
            async with asyncio.timeout(most_s):
                await self._connect(client)
                await self._ears.connected.wait()
            client.ctx.next_tid = self._last_id
            client.ctx.comm_params.timeout_connect = None  # type: ignore[assignment] # a timer less for each request
            if not self._has_ids:
                await asyncio.sleep(most_s)
            self._client = client
        except TimeoutError as error:
            what = "no name server says where that is" if self._lookup.is_waiting else "no connection"
            raise _NotAskedError(f"{what} within {most_s:g} s: check address, power and cable") from error
        except (OSError, ValueError, termios.error) as error:
            clear_frames(error.__traceback__)  # a port that refused its settings is open in them, and locked
            raise _NotAskedError(_in_words(error, self.line)) from error
        finally:
            if self._client is None:
                self._ears.give_up(client)
        return client

    async def _connect(self, client: Client) -> None:
        """What client.connect() does, which keeps the reason to itself where it cannot."""
        if self.line.is_serial:
            await client.ctx.call_create()
            return
        connect = asyncio.get_running_loop().create_connection
        *others, last = await self._lookup.addresses()
        for address in others:
            with suppress(OSError):
                _watch(*await connect(client.ctx.handle_new_connection, address, self.line.port))
                return
        _watch(*await connect(client.ctx.handle_new_connection, last, self.line.port))

    def _make_client(self) -> Client:
        line = self.line
        framer = FramerType.RTU if line.framing == "rtu" else FramerType.SOCKET
        if line.is_serial:
            return AsyncModbusSerialClient(
                line.host, framer=framer, baudrate=line.baud or 0, parity=line.parity[0].upper(),
                stopbits=line.stop_bits, timeout=NEVER_S, retries=0, reconnect_delay=0,
                trace_packet=self._ears.packet, trace_connect=self._ears.connect,
            )  # fmt: skip
        return AsyncModbusTcpClient(
            line.host, port=line.port, framer=framer, timeout=NEVER_S, retries=0, reconnect_delay=0,
            trace_packet=self._ears.packet, trace_connect=self._ears.connect,
        )  # fmt: skip

    async def _quiet(self, pause_s: float) -> None:
        """Wait until the line may be used: a gap between two frames, more after what was no answer, or the pause."""
        now = asyncio.get_running_loop().time
        if self._has_ids and not pause_s:
            return
        end_at = now() + BABBLE_S + pause_s
        while (ready_at := self._ears.ready_at(pause_s)) > now():
            if now() > end_at:
                raise NoAnswerError(
                    "the line is never quiet: something on it keeps sending, switch devices off in turn"
                )
            await _sleep_until(ready_at - TICK_S)
            # A timer of the loop is late by up to a tick, and each request would be: the rest is slept without it.
            time.sleep(min(max(ready_at - now(), 0.0), TICK_S))  # noqa: ASYNC251
        if self._ears.lost:
            raise NoAnswerError(self._ears.lost)

    async def _ask(self, client: Client, unit: int, block: Block, limit_s: float) -> ModbusPDU:
        ask = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }[block.table]
        try:
            async with asyncio.timeout(limit_s) as limit:
                with self._ears.awaiting(limit):
                    return await ask(block.address, count=block.count, device_id=unit)
        except TimeoutError as error:
            if self._ears.fault:
                raise NoAnswerError(self._ears.fault) from error
            raise SilentError(f"connected, but silent for {limit_s:.2g} s: {CHECK_UNIT}") from error
        except ModbusException as error:
            raise NoAnswerError(str(error)) from error
        finally:
            self._last_id = client.ctx.next_tid

    def close(self) -> None:
        """Close the line; the next read opens it again."""
        if self._client is not None:
            self._client.close()
            self._client = None


class _NotAskedError(NoAnswerError):
    """The line could not be opened: nothing was sent."""


class _Ears:
    """What pymodbus' trace hooks see of one line while it is open; times are the loop's.

    ``lost`` says why it must be opened anew, ``fault`` why the present exchange is spoiled.
    """

    def __init__(self, line: Line, *, has_ids: bool) -> None:
        self.connected = asyncio.Event()
        self.lost: str | None = None
        self.fault: str | None = None
        self.sent_at = self.heard_at = 0.0
        self._has_ids = has_ids
        self._is_answer = _IS_ANSWER[line.framing]
        self._is_without_ids = line.framing == "tcp_without_ids"
        self._gap_s = Wire(line.baud, line.bits_per_char).quiet_s if line.baud else 0.0
        self._is_settled = True
        self._request = self.heard = b""
        self._given_up: Client | None = None
        self._limit: asyncio.Timeout | None = None
        self._now = asyncio.get_running_loop().time

    def ready_at(self, pause_s: float) -> float:
        """When a request may be sent, if nothing more is heard."""
        if self._has_ids:
            return self.heard_at + pause_s
        gap_s = self._gap_s if self._is_settled else max(self._gap_s, SETTLE_S)
        return self.heard_at + max(gap_s, pause_s)

    def unsettle(self) -> None:
        """Let the line be quiet for a while before it is used again."""
        self._is_settled = False

    @contextmanager
    def awaiting(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Let a fault end ``limit`` at once, instead of waiting for an answer that cannot come any more."""
        self._limit, self.fault = limit, None
        self._is_settled = False
        try:
            yield
            self._is_settled = True
        finally:
            self._request, self._limit = b"", None

    def packet(self, sending: bool, data: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        """Pass on a request, and an answer once it is whole and right; ``data`` is all that came since the request."""
        if sending:
            self._request, self.sent_at, self.heard = data, self._now(), b""
            return data
        self.heard_at, self.heard = self._now(), data
        try:
            if not self._request:
                self._hear_unasked()
            elif self._is_answer(self._request, data):
                request, self._request = self._request, b""
                # pymodbus compares ids too, and would leave a converter's own ones aside
                return request[:2] + data[2:] if self._is_without_ids else data
        except WrongAnswerError as error:
            self._fail(f"wrong answer: {error}")
        return b""

    def connect(self, connected: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        """Note that the line is open, or that the other side has closed it."""
        if connected:
            self.connected.set()
            if self._given_up is not None:
                self._given_up.close()
        else:
            self.lost = self.lost or "it closed the connection"
            self._fail(self.lost)

    def give_up(self, client: Client) -> None:
        """Close a line that is not wanted any more; a serial port that is just being opened, once it is open."""
        if self.connected.is_set():
            client.close()
        else:
            self._given_up = client

    def _hear_unasked(self) -> None:
        if self._has_ids:
            self._fail("it sent bytes that nobody asked for")

    def _fail(self, fault: str) -> None:
        self._request = b""  # what is still to come of it is heard, not read
        self.fault = self.fault or fault
        if self._has_ids:
            self.lost = self.lost or fault
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)


def _watch(transport: asyncio.Transport, _: object) -> None:
    """Let a network that is gone end the connection soon: else it is tried ever more seldom, for a quarter hour."""
    its_socket: socket.socket = transport.get_extra_info("socket")
    its_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNHEARD_S * 1000))


async def _sleep_until(at: float) -> None:
    wait_s = at - asyncio.get_running_loop().time()
    if wait_s > 0:
        await asyncio.sleep(wait_s)


def _in_words(error: Exception, line: Line) -> str:
    """Say why a line could not be opened without its place, which the reader of the message already has."""
    if line.is_serial:
        return _port_in_words(error, line)
    if not isinstance(error, OSError):  # of the codec for host names
        return "that is no host name: check it"
    if isinstance(error, socket.gaierror) or not error.errno:
        return f"{error.strerror or error}: check the host name"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: is Modbus TCP switched on there, and is it this port?"
    return os.strerror(error.errno)


def _port_in_words(error: Exception, line: Line) -> str:
    if isinstance(error, termios.error):
        return (
            f"the port does not take these settings: baud {line.baud}, parity {line.parity}, {line.stop_bits} stop bits"
        )
    number = error.errno if isinstance(error, OSError) else None
    if number in _PORT_IN_WORDS:
        return _PORT_IN_WORDS[number]
    return f"cannot be opened as a serial port with these settings: {os.strerror(number) if number else error}"


def _words_in(pdu: ModbusPDU, block: Block) -> Words:
    """Return the words of a checked answer; raises RefusedError or NoAnswerError for an exception."""
    if pdu.isError():
        text = f"{EXCEPTIONS.get(pdu.exception_code, 'unknown reason')} (exception {pdu.exception_code})"
        if pdu.exception_code in GATEWAY_EXCEPTIONS:
            raise NoAnswerError(f"the converter answers {text}: {CHECK_UNIT}")
        raise RefusedError(f"{text}{': ' + CHECK_PROFILE if pdu.exception_code in MISFITS else ''}")
    values: Sequence[int] = pdu.bits if block.table in BIT_TABLES else pdu.registers
    return tuple(map(int, values[: block.count]))
