"""Shows what the cloud makes of it: orders as they open and move on, gateways as they come and go, counts."""

from __future__ import annotations

import asyncio
from typing import Final

from simulators.demo.cloud_api import CloudApi, Order, Revision
from simulators.demo.console import Console
from simulators.scenarios.rainy_day_files import GATEWAYS

LOOK_EVERY_S: Final = 0.5
CONDITION_MET: Final = "confirmed"


class Watch:
    """Looks at the cloud twice a second and says what has changed."""

    def __init__(self, api: CloudApi, console: Console) -> None:
        self._api, self._console = api, console
        self._states: dict[str, str] = {}
        self._online: dict[str, bool | None] = {}
        self.seconds_to_order: dict[str, float] = {}
        """Order code -> from the sample that completed the condition to the order's opening."""

    async def run(self) -> None:
        """Look until cancelled. Raises WebError when the cloud is gone."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Say what has changed since the last look."""
        for order in await self._api.orders():
            known = self._states.get(order.code)
            self._states[order.code] = order.state
            if known is None:
                await self._say_opened(order)
            elif known != order.state:
                self._console.say(f"order {order.code} {order.device}: {_in_words(order)}", "done")
        await self._look_at_gateways()

    async def all_online(self) -> bool | None:
        """True once every gateway is online, else None."""
        await self.look()
        return True if all(self._online.get(name) for name in GATEWAYS) else None

    async def _say_opened(self, order: Order) -> None:
        detail = await self._api.order(order.code)
        for event in detail.events:
            revisions = await self._api.revisions(event["gateway"], event["id"])
            met = next((one for one in revisions if one.state == CONDITION_MET), None)
            if met is None:
                continue
            seconds = (order.opened_at - met.updated_at) / 1000
            self.seconds_to_order.setdefault(order.code, seconds)
            self._console.say(
                f"{order.device} {order.device_name}: {_seen(met)} → order {order.code} ({order.class_code}) opened "
                f"{seconds:.2f} s after {'the sample that settled it' if met.unit else 'it was seen'}; "
                f"{_in_words(order)}",
                "order",
            )

    async def _look_at_gateways(self) -> None:
        stored = waiting = 0
        for name in GATEWAYS:
            gateway = await self._api.gateway(name)
            stored += gateway.stored
            waiting += gateway.waiting_messages
            if self._online.get(name) != gateway.online and gateway.online is not None:
                self._console.say(f"{name} is {'online' if gateway.online else 'offline'}", "step")
            self._online[name] = gateway.online
        finished = sum(state in {"closed", "void"} for state in self._states.values())
        self._console.count(
            {
                "gateways online": f"{sum(online is True for online in self._online.values())}/{len(GATEWAYS)}",
                "readings stored": stored,
                "messages waiting": waiting,
                "orders open": len(self._states) - finished,
                "orders finished": finished,
            }
        )


def _seen(met: Revision) -> str:
    if met.value is None:
        return "a picture"
    return f"{met.value / 10:.0f} cm" if met.unit == "mm" else f"{met.value:g} {met.unit}"


def _in_words(order: Order) -> str:
    if order.recovered:
        return "closed by itself: the sensor cleared before anybody was on it"
    who = f", {order.handler}" if order.handler else ""
    return f"{order.state}{who}" + (f", waits for {order.waits_for}" if order.waits_for else "")
