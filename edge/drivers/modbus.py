"""Modbus devices. A wrong value hurts more than a missing one, and one dead device must not starve the others.

**A poll** asks for each block of its plan, in order. Each block has its own time: that of its answer.

**Silence.** A device that is usually there is asked a second time before it counts as silent. Once it does, a poll asks
for one block only, and :class:`edge.drivers.silence.Silence` leaves out ever more polls between two such probes, until
it answers. So it costs its line at most one timeout a probe, and the timeout is short: it follows what the device
usually needs (:class:`edge.drivers.latency.Latency`). A block to which a device that is there never answers is set
aside in the same way, alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Self

from edge.contract.buses import Line
from edge.contract.clock import Clock
from edge.contract.gateway_config import DeviceConfig, GatewayConfig
from edge.contract.messages import Test
from edge.contract.profile import ModbusProfile
from edge.drivers import ConfigurationError, Missing, NoAnswerError, Part, RefusedError, Snapshot
from edge.drivers.latency import Latency
from edge.drivers.modbus_link import ModbusLink, SilentError
from edge.drivers.silence import Silence
from edge.read_plan import Block
from edge.stamps import Stamps

TRIES: Final = 3
"""Of one request, where what came was damaged or the connection broke; silence is put up with once less."""


class ModbusLinks:
    """All lines of a gateway, each open while it is used, closed at the end of ``async with``."""

    def __init__(self) -> None:
        self._links: dict[Line, ModbusLink] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for link in self._links.values():
            link.close()
        await asyncio.sleep(0)  # the transports close their sockets in the next turn of the loop

    def link(self, line: Line) -> ModbusLink:
        """Return the one link of a line, which all units on it share."""
        if line not in self._links:
            self._links[line] = ModbusLink(line)
        return self._links[line]

    def unit(self, device: DeviceConfig, config: GatewayConfig, clock: Clock, used: Sequence[int] = ()) -> ModbusUnit:
        """Return a configured device; raises ConfigurationError when it is not one for Modbus."""
        profile, address = device.device_profile, device.modbus
        if not isinstance(profile, ModbusProfile) or address is None:
            raise ConfigurationError(f"{device.id}: profile {device.profile} is not read by Modbus")
        return ModbusUnit(
            device.id, link=self.link(config.line_of(device)), unit=address.unit, clock=clock,
            most_s=config.timeout_of(device), pause_s=profile.reads.pause_ms / 1000, used=used,
        )  # fmt: skip


class ModbusUnit:
    """One device on a line, with what has been learnt of it; its polls share that."""

    def __init__(
        self,
        device: str,
        *,
        link: ModbusLink,
        unit: int,
        clock: Clock,
        most_s: float,
        pause_s: float = 0.0,
        tries: int = TRIES,
        used: Sequence[int] = (),
    ) -> None:
        """``most_s``: how long an answer may take at most; ``tries``: how often a device that was there is asked.

        ``used``: stamps that it may have had before, see :class:`edge.stamps.Stamps`.
        """
        self.device, self.clock, self.tries = device, clock, tries
        self.place = f"{link} unit {unit}"
        self.silence = Silence()
        self.stamps = Stamps(clock, used)
        self._link, self._unit, self._most_s, self._pause_s = link, unit, most_s, pause_s
        self._latency = Latency(most_s)

    async def ask(self, block: Block, *, tries: int) -> Part:
        """Return the answers of one block at their time; raises NoAnswerError after the last try.

        A refusal is an answer: it is not asked again.
        """
        for tried in range(1, tries + 1):
            try:
                answered = await self._link.read(
                    self._unit, block, wait_s=self._latency.wait_s, most_s=self._most_s, pause_s=self._pause_s
                )
            except RefusedError as error:
                reason = f"{self.device}: {self.place} refused {block}: {error}"
                return self.stamps.part(dict.fromkeys(block.names, Missing(Test.REFUSED, reason)))
            except NoAnswerError as error:
                if isinstance(error, SilentError):
                    self._latency.note_silence()
                if tried == tries or (isinstance(error, SilentError) and tried >= tries - 1):
                    times = "1 try" if tried == 1 else f"{tried} tries"
                    raise NoAnswerError(f"{self.device}: no answer from {self.place} after {times}: {error}") from error
            else:
                self._latency.note_answer(answered.took_s)
                return self.stamps.part(block.split(answered.words))
        raise AssertionError("at least one try")


class _Request:
    """One block of a poll, and whether it has been answered lately."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.silence = Silence()


class ModbusPoll:
    """A driver for the points of one device that are read together."""

    def __init__(self, unit: ModbusUnit, blocks: Sequence[Block]) -> None:
        self._unit = unit
        self._requests = tuple(map(_Request, blocks))
        self._probes = 0

    async def read(self) -> Snapshot:
        """Poll once: a part for each block that was answered, and one for all that is missing, with the reasons."""
        unit = self._unit
        if not unit.silence.is_poll_due(unit.clock.monotonic_ms()):
            return Snapshot((self._missing(dict.fromkeys(self._requests, unit.silence.reason)),))
        most_unheard = 1 if unit.silence.reason else 2  # so many in vain, and none answered: nobody is there
        parts: list[Part] = []
        reasons: dict[_Request, str] = {}
        unheard: list[_Request] = []
        for request in self._order():
            is_nobody_there = len(unheard) == most_unheard and not parts
            if is_nobody_there or not request.silence.is_poll_due(unit.clock.monotonic_ms()):
                reasons[request] = request.silence.reason or reasons[unheard[0]]
                continue
            try:
                parts.append(await unit.ask(request.block, tries=1 if unheard or unit.silence.reason else unit.tries))
                request.silence.note_answer()
            except NoAnswerError as error:
                reasons[request] = str(error)
                unheard.append(request)
        if unheard and not parts:  # one reason for all: the first, which tells most
            reasons = dict.fromkeys(self._requests, reasons[unheard[0]])
        self._note(unheard, reasons, is_heard=bool(parts))
        return Snapshot((*parts, self._missing(reasons)) if reasons else tuple(parts))

    def _order(self) -> Sequence[_Request]:
        """The requests in the order in which they are made: a probe begins with another one each time."""
        if not self._unit.silence.reason:
            return self._requests
        self._probes += 1
        first = self._probes % len(self._requests)
        return self._requests[first:] + self._requests[:first]

    def _note(self, unheard: Sequence[_Request], reasons: Mapping[_Request, str], *, is_heard: bool) -> None:
        now_ms = self._unit.clock.monotonic_ms()
        if is_heard:
            self._unit.silence.note_answer()
            for request in unheard:
                request.silence.note_silent(now_ms, reasons[request])
        elif unheard:
            self._unit.silence.note_silent(now_ms, reasons[unheard[0]])

    def _missing(self, reasons: Mapping[_Request, str]) -> Part:
        answers = {
            name: Missing(Test.NO_ANSWER, reason) for request, reason in reasons.items() for name in request.block.names
        }
        return self._unit.stamps.part(answers)
