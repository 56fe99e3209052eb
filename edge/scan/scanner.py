"""Goes through settings and units, identifies what answers, and can be stopped: what was found until then is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edge.contract.buses import Line
from edge.contract.profile import Table
from edge.drivers.modbus_link import ModbusLink
from edge.scan.identify import Registers, identify
from edge.scan.probe import ask, is_frame
from edge.scan.report import Found, Reply, Report, Step
from edge.scan.targets import probe_s

NEAR_UNITS: Final = 16  # most devices are delivered as 1, and a line is numbered from there
MOST_S: Final = 0.5  # an answer that comes later than this is not waited for any more
NETWORK_WAIT_S: Final = 0.5
CONNECT_S: Final = 1.0
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
        self._late: set[tuple[Line, int]] = set()

    async def run(self) -> None:
        """Ask everything."""
        if self._lines[0].is_serial:
            await self._serial()
        else:
            await self._network()
        self.report.is_whole = True

    async def _serial(self) -> None:
        """The near units with every setting; then the others; then those that are silent by another function."""
        near = [unit for unit in self._units if unit <= NEAR_UNITS]
        far = [unit for unit in self._units if unit > NEAR_UNITS]
        self._total = len(self._lines) * len(self._units)
        await self._round([(line, near) for line in self._lines])
        heard_first = sorted(self._lines, key=lambda line: not self.report.has_heard(line))
        await self._round([(line, far) for line in heard_first])
        again = [line for line in self._lines if self.report.has_heard(line)] or self._lines[:1]
        silent = [(line, [unit for unit in self._units if not self._is_known(line, unit)]) for line in again]
        self._total += sum(len(units) for _, units in silent)
        await self._round(silent, "input")

    def _is_known(self, line: Line, unit: int) -> bool:
        return any((reply.line, reply.unit) == (line, unit) for reply in self.report.replies)

    async def _round(self, wanted: Sequence[tuple[Line, Sequence[int]]], table: Table = "holding") -> None:
        for line, units in wanted:
            if not units:
                continue
            link = ModbusLink(line)
            try:
                for unit in units:
                    if await self._ask(link, unit, table) == "closed":
                        self._done += len(units) - units.index(unit) - 1
                        break
                    await self._hear_late(link)
                else:
                    await asyncio.sleep(MOST_S)
                    await self._hear_late(link)
            finally:
                link.close()
                await asyncio.sleep(0)  # the port closes in the next turn of the loop

    async def _ask(self, link: ModbusLink, unit: int, table: Table = "holding") -> str:
        """Ask one unit, again where that may tell more, and identify it if it is there."""
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
        registers = Registers(link, reply.unit, wait_s=wait_s, most_s=max(wait_s, MOST_S))
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
                link = ModbusLink(spoken)
                try:
                    for unit in self._units:
                        kind = await self._ask(link, unit)
                        if kind == "closed" and not self.report.has_heard(spoken):
                            return
                finally:
                    link.close()
                    self._show_host(spoken)
                if self.report.has_heard(spoken) and not self._gives_no_ids(spoken):
                    return

    def _show_host(self, line: Line) -> None:
        """Show what is at an address; where it answers to every number, only the first."""
        found = [each for each in self.report.found if each.line == line]
        models = {each.fits[0].profile if each.fits else "" for each in found}
        if len(found) > 1 and len(models) == 1 and len(found) == len(self.report.asked[line]):
            self.report.ignores_unit.add(line)
            self.report.found = [each for each in self.report.found if each not in found[1:]]
            found = found[:1]
        for each in found:
            self._show(each)

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
