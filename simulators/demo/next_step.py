"""What a person may do next with an order, as a line to paste into another terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from simulators.demo.cloud_api import Order
from simulators.scenarios.rainy_day import FLOODED_ROAD, HOLD_LIMIT_S
from simulators.scenarios.rainy_day_files import OPERATOR


class _Next(NamedTuple):
    target: str
    words: str
    by_handler: bool


_NEXT: Final = {
    "raised": _Next("accepted", "accept it", by_handler=False),
    "dispatched": _Next("acknowledged", "acknowledge it", by_handler=True),
    "acknowledged": _Next("on_site", "say that you are there", by_handler=True),
    "on_site": _Next("done", "when it is done, say so", by_handler=True),
    "done": _Next("verified", "verify it", by_handler=False),
    "verified": _Next("closed", "close it", by_handler=False),
}


class NextStep(NamedTuple):
    """``words`` say what the next step is and who takes it, ``command`` takes it."""

    words: str
    command: str


def next_step(order: Order, *, address: str, tokens: Mapping[str, str]) -> NextStep | None:
    """The usual next step of an order, with the token (by login) of who may take it; None when there is none."""
    following = _NEXT.get(order.state)
    who = order.handler if following is not None and following.by_handler else OPERATOR.login
    if following is None or who is None:
        return None
    body: dict[str, str | int] = {"to": following.target, "version": order.version}
    if following.target == "closed":
        body["closing_standard"] = order.closing_standards[0] if order.closing_standards else "ok"
    command = (
        f"curl -s {address}/api/v1/orders/{order.code}/transitions -H 'Authorization: Bearer {tokens[who]}' "
        f"-H 'Content-Type: application/json' -d '{json.dumps(body, ensure_ascii=False)}'"
    )
    waits = f"; the road stays wet until then, for {HOLD_LIMIT_S // 60} minutes at most"
    is_held = order.device == FLOODED_ROAD and following.target == "acknowledged"
    return NextStep(f"{following.words} as {who}{waits if is_held else ''}:", command)
