"""Goes through settings and units, identifies what answers, and can be stopped: what was found until then is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edge.contract.buses import Line
from edge.contract.gateway_config import LAST_UNIT
from edge.contract.profile import Table
from edge.drivers.modbus_link import ModbusLink
from edge.scan.identify import Registers, identify
from edge.scan.probe import ask, is_frame
from edge.scan.report import Found, Reply, Report, Step
from edge.scan.targets import probe_s

NEAR_UNITS: Final = 16  # most devices are delivered as 1, and a line is numbered from there
MOST_S: Final = 0.5  # an answer that comes later than this is not waited for any more
NETWORK_WAIT_S: Final = 0.5
IDENTIFY_WAIT_S: Final = 0.3
AGAIN: Final = 2  # questions more to a unit whose answer came damaged
MOST_SPOILED: Final = 2
SIDE_BY_SIDE: Final = 32  # addresses of a network


class Scan:
    """``await scan.run()`` fills ``scan.report``; ``show`` is told each step and each device."""

    def __init__(
        self,
        lines: Sequence[Line],
        units: Sequence[int],
        *,
        wait_s: float,
        show: Callable[[Step | Found], None] = lambda _: None,
    ) -> None:
        """``wait_s``: how long a unit is waited for, besides the time that its bytes need."""
        self.report = Report()
        self._lines, self._units, self._wait_s, self._show = lines, units, wait_s, show
        self._done, self._total = 0, 0
        self._is_stopped = False
        self._late: set[tuple[Line, int]] = set()

    def stop(self) -> None:
        """Let :meth:`run` end at the next question, with CancelledError."""
        self._is_stopped = True

    async def run(self) -> None:
        """Ask everything."""
        if self._lines[0].is_serial:
            await self._serial()
        else:
            await self._network()
        self.report.is_whole = True

    async def _serial(self) -> None:
        """The near units with each setting, where one answers the others too; then the rest; then by another function.

        Some devices are silent when they are asked for registers that they do not have, so the last round asks those
        for another table with the settings with which something was heard.
        """
        near = [unit for unit in self._units if unit <= NEAR_UNITS] or self._units[:1]
        far = [unit for unit in self._units if unit not in near]
        self._total = (len(self._lines) + 1) * len(self._units)
        rest = []
        for line in self._lines:
            await self._round(line, near)
            if self._is_no_port():
                return
            if self.report.has_heard(line):
                await self._round(line, far)
            else:
                rest.append(line)
        for line in rest:
            await self._round(line, far)
        heard = [line for line in self._lines if self.report.has_heard(line)] or self._lines[:1]
        silent = {line: [unit for unit in self._units if not self._is_known(line, unit)] for line in heard}
        self._total = self._done + sum(map(len, silent.values()))
        for line, units in silent.items():
            await self._round(line, units, "input")

    def _is_no_port(self) -> bool:
        """Whether the port cannot be opened, whatever the settings."""
        replies = self.report.replies
        return bool(replies) and replies[-1].kind == "closed" and "these settings:" not in replies[-1].text

    def _is_known(self, line: Line, unit: int) -> bool:
        return any((reply.line, reply.unit) == (line, unit) for reply in self.report.replies)

    async def _round(self, line: Line, units: Sequence[int], table: Table = "holding") -> None:
        if not units:
            return
        goal = self._done + len(units)
        link = ModbusLink(line)
        try:
            for unit in units:
                if await self._ask(link, unit, table) == "closed":
                    return
                await self._hear_late(link)
            await asyncio.sleep(MOST_S)
            await self._hear_late(link)
        finally:
            self._done = goal
            link.close()
            await asyncio.sleep(0)  # the port closes in the next turn of the loop

    async def _ask(self, link: ModbusLink, unit: int, table: Table = "holding") -> str:
        """Ask one unit, again where that may tell more, and identify it if it is there."""
        if self._is_stopped:  # Python 3.11's wait_for, deep inside, may swallow that it was cancelled
            raise asyncio.CancelledError
        self._tell(link.line, unit)
        reply = await ask(link, unit, table, wait_s=self._wait_s, most_s=MOST_S)
        self.report.note(reply)
        if reply.kind in ("damaged", "foreign") and self._is_worth_asking_again(link.line):
            for _ in range(AGAIN):
                reply = await ask(link, unit, table, wait_s=MOST_S, most_s=MOST_S)
                self.report.note(reply)
                if reply.kind == "answer":
                    break
        if reply.kind == "answer" and not self.report.is_found(link.line, unit):
            await self._identify(link, reply)
        self._done += 1
        return reply.kind

    def _is_worth_asking_again(self, line: Line) -> bool:
        """Where the settings are wrong, so is every answer: two tell as much as all."""
        spoiled = {reply.unit for reply in self.report.replies if reply.line == line and reply.kind == "damaged"}
        return len(spoiled) <= MOST_SPOILED or any(found.line == line for found in self.report.found)

    async def _hear_late(self, link: ModbusLink) -> None:
        """Ask one whose answer came while it was not waited for any more once more, with patience."""
        if not is_frame(link.heard) or link.heard[0] not in self._units:
            return
        unit = link.heard[0]
        if self.report.is_found(link.line, unit) or (link.line, unit) in self._late:
            return
        self._late.add((link.line, unit))
        reply = await ask(link, unit, wait_s=MOST_S, most_s=MOST_S)
        self.report.note(reply)
        if reply.kind == "answer":
            await self._identify(link, reply)

    async def _identify(self, link: ModbusLink, reply: Reply) -> None:
        wait_s = max(IDENTIFY_WAIT_S, 4 * reply.took_s)
        registers = Registers(link, reply.unit, wait_s=wait_s, most_s=wait_s)
        found = Found(link.line, reply.unit, reply.took_s, tuple(await identify(registers)))
        self.report.found.append(found)
        if found.line.is_serial:
            self._show(found)

    def _tell(self, line: Line, unit: int) -> None:
        done = min(self._done, self._total)
        left_s = (self._total - done) * probe_s(line, self._wait_s)
        self._show(Step(line, unit, done, self._total, left_s, len(self.report.found)))

    async def _network(self) -> None:
        """Several addresses side by side, each of them unit by unit."""
        self._total = len(self._lines) * len(self._units)
        turns = asyncio.Semaphore(SIDE_BY_SIDE)
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(self._host(line, turns))
        places = [str(line) for line in self._lines]
        self.report.found.sort(key=lambda each: (places.index(str(each.line)), each.unit))

    async def _host(self, line: Line, turns: asyncio.Semaphore) -> None:
        async with turns:
            for spoken in self._ways(line):
                await self._units_at(spoken)
                if self._is_shut(spoken) or (self.report.has_heard(spoken) and not self._gives_no_ids(spoken)):
                    return

    async def _units_at(self, line: Line) -> None:
        link = ModbusLink(line)
        try:
            for unit in self._units:
                await self._ask(link, unit)
                if self._is_shut(line):
                    self._done += len(self._units) - 1
                    return
            if await self._is_heedless(link):
                self.report.keep_first(line)
        finally:
            link.close()
            for found in self.report.at(line):
                self._show(found)

    def _is_shut(self, line: Line) -> bool:
        """Whether nobody listens there."""
        return not self.report.has_heard(line) and any(reply.line == line for reply in self.report.replies)

    async def _is_heedless(self, link: ModbusLink) -> bool:
        """Whether one device answers to all unit numbers: then also to such as nobody is ever given."""
        if not 1 < len(self.report.at(link.line)) == len(self._units):
            return False
        strays = [unit for unit in range(LAST_UNIT, 0, -1) if unit not in self._units][:2]
        replies = [await ask(link, unit, wait_s=self._wait_s, most_s=MOST_S) for unit in strays]
        return all(reply.kind == "answer" for reply in replies)

    def _ways(self, line: Line) -> Iterator[Line]:
        """How an address may speak: as said, or else each of the ways that there are."""
        yield line
        if line.framing == "tcp":
            if self._gives_no_ids(line):
                yield line._replace(framing="tcp_without_ids")
            else:
                yield line._replace(framing="rtu", baud=9600)

    def _gives_no_ids(self, line: Line) -> bool:
        return any(reply.line == line and "transaction id 0x0000" in reply.text for reply in self.report.replies)
