"""Every recorded street flood through the real line: ``./anlan bench floods --data DIR``.

Each of the recordings that reach 15 cm is replayed on a stepped clock through Modbus TCP, the agent, a real Mosquitto
and the cloud: polled once at each recorded time, then dry each minute for 31 minutes. What opens is compared, flood by
flood, with what a few independent lines count in the file. Then come 30 dry days, polled each minute, with the noise
that the simulated probe states. Exit code 1 when an order is missing or too many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from simulators.scenarios.rainy_day import DEPTH_NOISE_MM
from tests.e2e.floods import Flood, count_events, read_floods
from tests.e2e.replay import ROAD, ROAD_RULES, Replay, open_replay, replay_flood
from tests.servers import Mosquitto

START_MS = 1_767_225_600_000  # 2026-01-01
DRY_DAYS = 30


async def replay_floods(folder: Path, broker_port: int, floods: list[Flood]) -> dict[str, int]:
    """Replay all floods, print those that differ and those with a single sample; return the counts."""
    started = time.monotonic()
    async with open_replay(
        folder, broker_port=broker_port, profile=ROAD, rules=ROAD_RULES, start_ms=START_MS
    ) as replay:
        spans = []
        for number, flood in enumerate(floods, 1):
            spans.append(await replay_flood(replay, flood))
            if number % 50 == 0:
                print(f"{number} of {len(floods)} floods, {time.monotonic() - started:.0f} s")
        await replay.settle()
        return await compare(replay, floods, spans)


async def compare(replay: Replay, floods: list[Flood], spans: list[tuple[int, int]]) -> dict[str, int]:
    """Hold each flood's orders against its count."""
    orders, events = await replay.orders(), await replay.events()
    suspects = await replay.was_ever("suspect") - await replay.was_ever("confirmed")
    wrong = suspected = 0
    for flood, (first, last) in zip(floods, spans, strict=True):
        expected = count_events(flood)
        opened = sum(first <= order.observed_at <= last for order in orders)
        if opened != expected:
            wrong += 1
            print(f"{flood.sensor}: {opened} orders, {expected} events in the file")
        alone = [event for event in events if event.id in suspects and first <= event.began_at <= last]
        if expected == 0 and alone:
            suspected += 1
            print(f"{flood.sensor}: a single sample of 15 cm: raised as suspect, withdrawn, no order")
    return {
        "floods": len(floods),
        "events": sum(map(count_events, floods)),
        "orders": len(orders),
        "floods_with_wrong_count": wrong,
        "single_sample_floods": sum(count_events(flood) == 0 for flood in floods),
        "raised_as_suspect_only": suspected,
    }


async def replay_dry_days(folder: Path, broker_port: int) -> dict[str, int]:
    """Replay dry days; return what they raised."""
    noise = random.Random(7)
    async with open_replay(
        folder, broker_port=broker_port, profile=ROAD, rules=ROAD_RULES, start_ms=START_MS
    ) as replay:
        for minute in range(1, DRY_DAYS * 24 * 60 + 1):
            await replay.sample(START_MS + minute * 60_000, {"depth": noise.gauss(0, DEPTH_NOISE_MM)})
        await replay.settle()
        return {
            "dry_days": DRY_DAYS,
            "dry_events": len(await replay.events()),
            "dry_orders": len(await replay.orders()),
        }


def main() -> int:
    """Run both, print one JSON line."""
    arguments = argparse.ArgumentParser(prog="anlan bench floods", description=__doc__)
    arguments.add_argument("--data", type=Path, required=True, help="folder with floodnet_events_half.csv.gz")
    floods = read_floods(arguments.parse_args().data)
    with tempfile.TemporaryDirectory(prefix="anlan-floods-") as name:
        folders = [Path(name) / part for part in ("broker", "floods", "dry")]
        for folder in folders:
            folder.mkdir()
        broker = Mosquitto(folders[0])
        broker.start()
        try:
            result = asyncio.run(replay_floods(folders[1], broker.port, floods))
            result |= asyncio.run(replay_dry_days(folders[2], broker.port))
        finally:
            broker.stop()
    print(json.dumps(result))
    is_right = not result["floods_with_wrong_count"] and result["orders"] == result["events"]
    return 0 if is_right and not result["dry_orders"] else 1


if __name__ == "__main__":
    sys.exit(main())
