"""The demo without a person: works the flood's order to closed, lets the outage pass, stops, and proves the account."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Final

from msgspec import Struct

from simulators.camera import rubbish_picture
from simulators.demo.cloud_api import CloudApi, Order
from simulators.demo.console import Console
from simulators.demo.line import Line
from simulators.demo.processes import DemoError
from simulators.demo.proof import Row, compare, join, read_journal
from simulators.demo.tasks import all_of
from simulators.demo.walk import wait_until, work_flood_order
from simulators.demo.watch import Watch
from simulators.scenarios.rainy_day import CAMERA, Act
from simulators.scenarios.rainy_day_files import GATEWAYS

OUTAGE_LIMIT_S: Final = 180.0
SETTLE_LIMIT_S: Final = 5.0
MOST_STOPS: Final = 5


class Report(Struct):
    """The last line of ``--check``; taken = unchanged + stored when all is well."""

    taken: int
    unchanged: int
    stored: int
    missing: int
    foreign: int
    orders_opened: int
    orders_closed: int
    seconds_to_order: float

    @property
    def faults(self) -> list[str]:
        """What is not as it must be, in words; empty when all is well."""
        sent = self.taken - self.unchanged
        faults = {
            f"{self.missing} readings are missing": self.missing > 0,
            f"{self.foreign} readings are foreign": self.foreign > 0,
            f"{self.stored} readings are stored and {sent} were sent": self.stored != sent,
            "no order was closed by people": self.orders_closed == 0,
        }
        return [fault for fault, holds in faults.items() if holds]

    @property
    def exit_code(self) -> int:
        """0 when all is well, else 1."""
        return 1 if self.faults else 0

    def __str__(self) -> str:
        sent = self.taken - self.unchanged
        return (
            f"{'; '.join(self.faults) or 'nothing is missing'}: "
            f"{self.stored} readings stored of {sent} sent, {self.unchanged} unchanged"
        )


def closed_by_people(orders: Iterable[Order]) -> int:
    """How many orders people have closed; those that recovered by themselves are not their work."""
    return sum(order.state == "closed" and not order.recovered for order in orders)


class Check:
    """Does what a worker and an operator would do, and then what an auditor would."""

    def __init__(
        self, line: Line, console: Console, watch: Watch, *, worker: CloudApi, operator: CloudApi, acts: Container[str]
    ) -> None:
        """``acts`` is what the scenario has told so far; it grows."""
        self._line, self._console, self._watch = line, console, watch
        self._worker, self._operator, self._acts = worker, operator, acts

    async def run(self) -> Report:
        """Return the report. Raises DemoError when something that must happen does not."""
        flood = await work_flood_order(self._worker, self._operator)
        await self._see_outage_over()
        await all_of(*(self._settle(gateway) for gateway in GATEWAYS))
        await self._line.stop_scenario()
        await self._watch.look()
        return await self._prove(flood)

    async def _see_outage_over(self) -> None:
        """The uplink was cut and is back, and what the camera saw meanwhile is here, picture and all."""

        async def rubbish_order() -> Order | None:
            orders = await self._operator.orders()
            return next((one for one in orders if one.device == CAMERA and Act.MENDED in self._acts), None)

        async def picture() -> bytes | None:
            return await self._operator.picture((await self._operator.order(order.code)).pictures[0])

        order = await wait_until(rubbish_order, within_s=OUTAGE_LIMIT_S, what=f"{CAMERA}'s order after the outage")
        received = await wait_until(picture, within_s=OUTAGE_LIMIT_S, what=f"the picture of {order.code}")
        if received != rubbish_picture():
            raise DemoError(f"the picture of {order.code} is not the one that {CAMERA} took")
        self._console.say(f"the picture that {CAMERA} took during the outage has come, byte for byte", "done")
        await wait_until(self._watch.all_online, within_s=OUTAGE_LIMIT_S, what="the gateways' return after the outage")

    async def _settle(self, gateway: str) -> None:
        """Stop an agent by SIGTERM with everything receipted; one that had no time for it is started once more."""

        async def nothing_waits() -> bool | None:
            state = await self._operator.gateway(gateway)
            return True if state.online is False and state.waiting_messages == 0 else None

        for _ in range(MOST_STOPS):
            await self._line.stop_agent(gateway)
            try:
                await wait_until(nothing_waits, within_s=SETTLE_LIMIT_S, what=f"the last receipt of {gateway}")
            except DemoError:
                await self._line.start_agent(gateway)
            else:
                return
        raise DemoError(f"{gateway} still holds messages after {MOST_STOPS} stops: see its log")

    async def _prove(self, flood: Order) -> Report:
        workspace = self._line.workspace
        journals = [read_journal(workspace.journal_file(gateway), gateway) for gateway in GATEWAYS]
        journalled = join(journals)
        stored: list[Row] = [row for gateway in GATEWAYS async for row in self._operator.rows(gateway)]
        comparison = compare(journalled.rows, stored)
        if str(comparison):
            self._console.say(str(comparison), "alert")
        orders = await self._operator.orders()
        return Report(
            taken=journalled.counts.taken,
            unchanged=journalled.counts.unchanged,
            stored=len(stored),
            missing=len(comparison.missing),
            foreign=len(comparison.foreign),
            orders_opened=len(orders),
            orders_closed=closed_by_people(orders),
            seconds_to_order=self._watch.seconds_to_order[flood.code],
        )
