"""Works the flooded road's order through its whole loop, with the worker's and the operator's own tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from simulators.camera import rubbish_picture
from simulators.demo.cloud_api import CloudApi, Order
from simulators.demo.processes import DemoError
from simulators.scenarios.rainy_day import FLOODED_ROAD

LOOK_EVERY_S: Final = 0.5
ORDER_LIMIT_S: Final = 120.0
CLEAR_LIMIT_S: Final = 120.0


T = TypeVar("T")


async def wait_until(ask: Callable[[], Awaitable[T | None]], *, within_s: float, what: str) -> T:
    """Ask until there is an answer; raises DemoError when there is none in time."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                answer = await ask()
                if answer is not None:
                    return answer
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise DemoError(f"{what} did not happen within {within_s:.0f} s") from None


async def work_flood_order(worker: CloudApi, operator: CloudApi) -> Order:
    """Acknowledge, arrive, wait for the water to go, show a picture; then the operator verifies and closes."""

    async def opened() -> Order | None:
        return next((one for one in await worker.orders() if one.device == FLOODED_ROAD), None)

    order = await wait_until(opened, within_s=ORDER_LIMIT_S, what=f"an order for {FLOODED_ROAD}")
    order = await worker.move(order, "acknowledged")
    order = await worker.move(order, "on_site", note="gully blocked by leaves")

    async def cleared() -> Order | None:
        latest = await worker.order(order.code)
        return latest if latest.sensor_cleared_at is not None else None

    order = await wait_until(cleared, within_s=CLEAR_LIMIT_S, what=f"the sensor's all-clear for {order.code}")
    picture = await worker.add_picture(order, rubbish_picture())
    order = await worker.move(order, "done", note="gully cleared, road dry", evidence=[picture])
    order = await operator.move(await operator.order(order.code), "verified")
    return await operator.move(order, "closed", closing_standard=order.closing_standards[0])
