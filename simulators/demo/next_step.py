"""What a person may do next with an order, and on which page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from simulators.demo.cloud_api import Order
from simulators.scenarios.rainy_day import FLOODED_ROAD, HOLD_LIMIT_S
from simulators.scenarios.rainy_day_files import OPERATOR, PEOPLE, VISITORS


class _Next(NamedTuple):
    words: str
    button: str
    by_handler: bool


_NEXT: Final[Mapping[str, _Next]] = {
    "raised": _Next("accepts it", "立案", by_handler=False),
    "dispatched": _Next("acknowledges it", "签收", by_handler=True),
    "acknowledged": _Next("says on arrival: on site", "到场", by_handler=True),
    "on_site": _Next("takes a picture when it is done", "完成", by_handler=True),
    "done": _Next("verifies it", "核查通过", by_handler=False),
    "verified": _Next("closes it", "结案", by_handler=False),
}
_NAMES: Final = {person.login: person.name for person in PEOPLE}
_PLAYED: Final = {person.login for person in VISITORS}


def next_step(order: Order, *, address: str) -> str | None:
    """Who usually takes the next step of an order, what it is, and the page to take it on; None when it is finished.

    An order that waits for somebody without a link is told as such: it asks nothing of whoever looks.
    """
    following = _NEXT.get(order.state)
    who = order.handler if following is not None and following.by_handler else OPERATOR.login
    if following is None or who is None:
        return None
    name = f"{_NAMES.get(who, who)} ({who})"
    if who not in _PLAYED:
        return f"order {order.code} stays with {name}, whom nobody plays here: {address}/orders/{order.code}"
    is_held = order.device == FLOODED_ROAD and order.state == "dispatched"
    waits = f"; the road stays wet until then, for {HOLD_LIMIT_S // 60} minutes at most" if is_held else ""
    return f"next: {name} {following.words} ({following.button}){waits}: {address}/orders/{order.code}"
