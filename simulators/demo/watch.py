"""Shows what the cloud makes of it: orders as they open and move on, gateways as they come and go, counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from simulators.demo.cloud_api import CloudApi, Gateway, Order, Revision, Step
from simulators.demo.console import Console
from simulators.scenarios.rainy_day_files import GATEWAYS

LOOK_EVERY_S: Final = 0.5
CONDITION_MET: Final = "confirmed"
FINISHED: Final = {"closed", "void"}
RULES: Final = "rules"


class Watch:
    """Looks at the cloud twice a second and says what has changed."""

    def __init__(
        self, api: CloudApi, console: Console, *, address: str, moved: Callable[[Order], None] | None = None
    ) -> None:
        """``address`` is shown in the strip; ``moved`` gets each order that is new or has moved on."""
        self._api, self._console, self._address, self._moved = api, console, address, moved
        self._orders: dict[str, Order] = {}
        self._online: dict[str, bool | None] = {}
        self._returned: dict[str, Gateway] = {}
        """Gateways that were away, as they came back, until what had waited is here."""
        self._looking = asyncio.Lock()
        self.stored = 0
        self.seconds_to_order: dict[str, float] = {}
        """Order code -> from the sample that completed the condition to the order's opening."""

    @property
    def orders(self) -> int:
        """How many orders there are."""
        return len(self._orders)

    async def run(self) -> None:
        """Look until cancelled. Raises WebError when the cloud is gone."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Say what has changed since the last look."""
        async with self._looking:
            await self._look_at_orders()
            await self._look_at_gateways()

    async def _look_at_orders(self) -> None:
        for each in await self._api.orders():
            known = self._orders.get(each.code)
            if known is not None and known.version == each.version:
                continue
            order = self._orders[each.code] = await self._api.order(each.code)
            if known is None:
                await self._say_opened(order)
            else:
                self._say_moved(order, since=known.version)
            if self._moved is not None:
                self._moved(order)

    async def all_online(self) -> bool | None:
        """True once every gateway is online and what waited is here, else None."""
        await self.look()
        return True if all(self._online.get(name) for name in GATEWAYS) and not self._returned else None

    async def _say_opened(self, order: Order) -> None:
        for event in order.events:
            revisions = await self._api.revisions(event["gateway"], event["id"])
            met = next((one for one in revisions if one.state == CONDITION_MET), None)
            if met is None:
                continue
            seconds = (order.opened_at - met.updated_at) / 1000
            self.seconds_to_order.setdefault(order.code, seconds)
            self._console.say(
                f"{order.device} {order.device_name}: {_seen(met)} → order {order.code} ({order.class_code}) opened "
                f"{seconds:.2f} s after {'the sample that settled it' if met.unit else 'it was seen'}; "
                f"{_where(order)}",
                "order",
            )

    def _say_moved(self, order: Order, *, since: int) -> None:
        for step in order.transitions:
            if step.version > since:
                self._console.say(f"order {order.code} {order.device}: {in_words(step, order)}", "done")

    async def _look_at_gateways(self) -> None:
        stored = waiting = 0
        for name in GATEWAYS:
            gateway = await self._api.gateway(name)
            stored += gateway.stored
            waiting += gateway.waiting_messages
            self._say_gateway(name, gateway)
        self.stored = stored
        finished = sum(order.state in FINISHED for order in self._orders.values())
        online = sum(online is True for online in self._online.values())
        self._console.count(
            [
                ("orders", f"{self.orders - finished} open, {finished} done"),
                ("", self._address),
                ("stored", str(stored)),
                ("online", f"{online}/{len(GATEWAYS)}"),
                ("waiting", str(waiting)),
            ]
        )

    def _say_gateway(self, name: str, gateway: Gateway) -> None:
        was, self._online[name] = self._online.get(name), gateway.online
        if was is None and gateway.online:
            self._console.say(f"{name} is online", "step")
        elif was and gateway.online is False:
            self._console.say(f"{name} is offline", "trouble")
        elif was is False and gateway.online:
            self._returned[name] = gateway
        returned = self._returned.get(name)
        if returned is not None and has_sent(gateway, returned):
            del self._returned[name]
            waited = returned.waiting_messages
            came = f"{waited} messages that waited have come" if waited else "nothing had waited"
            self._console.say(f"{name} is back online: {came}", "done")


def has_sent(now: Gateway, then: Gateway) -> bool:
    """Say whether every message that a gateway held then has its receipt now."""
    lanes = now.lanes
    return all(place not in lanes or lanes[place].oldest_kept >= lane.next_seq for place, lane in then.lanes.items())


def in_words(step: Step, order: Order) -> str:
    """What was done, who did it, and whose order it is where that is somebody else's."""
    done = step.target.replace("_", " ")
    if step.who == RULES and step.target == "closed":
        return "closed by itself (自动恢复): the sensor cleared before anybody was on it"
    if step.target == "dispatched":
        return f"dispatched to {step.assignee} by {_who(step)}"
    whose = f" ({order.handler}'s order)" if order.handler and step.who not in {order.handler, RULES} else ""
    return f"{done} by {_who(step)}{whose}"


def _who(step: Step) -> str:
    return "the rules" if step.who == RULES else step.who


def _seen(met: Revision) -> str:
    if met.value is None:
        return "a picture"
    return f"{met.value / 10:.0f} cm" if met.unit == "mm" else f"{met.value:g} {met.unit}"


def _where(order: Order) -> str:
    where = f"{order.state} to {order.handler}" if order.state == "dispatched" else order.state.replace("_", " ")
    return where + (f", waits for {order.waits_for}" if order.waits_for else "")
