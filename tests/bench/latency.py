"""From a register that changes to an order that the API shows: ``./anlan bench latency [--changes N]``.

A real line: 60 simulated sensors over Modbus TCP polled once a second, agent and cloud as processes, Mosquitto, SQLite.
The depth of one after the other crosses 15 cm, later 25 cm (WATERLOG.ROAD.2 and WATERLOG.UNDER.CLOSE as they come: two
samples confirm), at any moment between two polls, a few of them side by side. Measured is from the change to the first
answer of the API that has the order, and from the time of the sample that confirmed, which is the second one. The last
line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tests.chaos.neighbourhood import AT_ONCE
from tests.e2e.line import Line
from tests.e2e.waiting import WAIT_S
from tests.servers import Mosquitto

SENSORS = 60
SIDE_BY_SIDE = 4
LOOK_EVERY_S = 0.02
STEPS = (("WATERLOG.ROAD.2", 163.0), ("WATERLOG.UNDER.CLOSE", 288.0))
"""Which class watches for a depth that crosses its threshold."""


class Change(Struct, frozen=True):
    """One register that changed, and when its order was seen; times are seconds since 1970."""

    made_at: float
    confirmed_at: float
    seen_at: float


class Watch:
    """Looks at the newest orders again and again, and says when each was there first."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._seen: dict[tuple[str, str], asyncio.Future[tuple[float, str]]] = {}

    def order(self, device: str, class_code: str) -> asyncio.Future[tuple[float, str]]:
        """Return when the order was seen, and the event that opened it."""
        return self._seen.setdefault((device, class_code), asyncio.get_running_loop().create_future())

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            orders = (await self._line.get("/orders", limit=4 * SIDE_BY_SIDE))["orders"]
            now = time.time()
            for order in orders:
                seen = self.order(order["device"], order["class_code"])
                if not seen.done():
                    detail = await self._line.get(f"/orders/{order['code']}")
                    seen.set_result((now, detail["events"][0]["id"]))
            await asyncio.sleep(LOOK_EVERY_S)


def main() -> int:
    """Run the line, print."""
    parser = argparse.ArgumentParser(prog="./anlan bench latency", description=__doc__)
    parser.add_argument("--changes", type=int, default=2 * SENSORS, help="how many registers change, at most 120")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as folder:
        places = Path(folder) / "broker", Path(folder) / "line"
        for place in places:
            place.mkdir()
        broker = Mosquitto(places[0])
        broker.start()
        try:
            changes = asyncio.run(_run(places[1], broker.port, min(arguments.changes, 2 * SENSORS)))
        finally:
            broker.stop()
    whole = [one.seen_at - one.made_at for one in changes]
    after = [one.seen_at - one.confirmed_at for one in changes]
    print(f"{len(changes)} changes at a poll of 1 s; {_said('change to order', whole)}")
    print(f"of which {_said('after the sample that confirmed', after)}")
    found = {"p50_s": statistics.median(whole), "p99_s": _p99(whole), "p99_after_poll_s": _p99(after)}
    print(json.dumps({name: round(value, 3) for name, value in found.items()}))
    return 0


def _said(what: str, seconds: Sequence[float]) -> str:
    median, p99 = statistics.median(seconds), _p99(seconds)
    return f"{what}: median {median:.3f} s, p99 {p99:.3f} s, longest {max(seconds):.3f} s"


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[-1]


async def _run(folder: Path, broker_port: int, count: int) -> list[Change]:
    devices = [f"road-{number:02d}" for number in range(SENSORS)]
    rules = {"rules": [{"class": class_code} for class_code, _ in STEPS], "points": AT_ONCE}
    waiting = [(device, *step) for step in STEPS for device in devices][:count]
    waiting.reverse()
    async with Line(
        folder,
        broker_port=broker_port,
        profiles=dict.fromkeys(devices, "moxa_e1242_depth"),
        poll_s=1.0,
        device_options=dict.fromkeys(devices, rules),
        agent_options={"batch_s": 10, "status_s": 60},
    ) as line:
        for simulated in line.gateways[0].devices.values():
            simulated.set("depth", 0.0)
        watch = Watch(line)
        watching = asyncio.create_task(watch.run())
        found = await asyncio.gather(*(_change(line, watch, waiting, number) for number in range(SIDE_BY_SIDE)))
        watching.cancel()
        return [change for some in found for change in some]


async def _change(line: Line, watch: Watch, waiting: list[tuple[str, str, float]], seed: int) -> list[Change]:
    """Change one register after the other, as long as there are any, and see each to its order."""
    dice, changes = random.Random(seed), []
    while waiting:
        device, class_code, depth_mm = waiting.pop()
        await asyncio.sleep(dice.uniform(0.2, 1.2))
        made_at = time.time()
        line.gateways[0].devices[device].set("depth", depth_mm)
        seen_at, event = await asyncio.wait_for(watch.order(device, class_code), WAIT_S)
        revisions = await line.revisions({"gateway": line.gateways[0].name, "id": event})
        confirmed = next(each["updated_at"] for each in revisions if each["state"] == "confirmed")
        changes.append(Change(made_at, confirmed / 1000, seen_at))
    return changes


if __name__ == "__main__":
    sys.exit(main())
