"""Everything killed again and again, for hours, on both stores: ``./anlan bench soak --hours 4``.

Rounds of some minutes, each with gateways, a broker, a cloud and its store of its own; one line with SQLite and one
with InfluxDB side by side. In a round every part is killed with -9 at random moments, and each is once away for up to
three minutes; the broker's disk is wiped. Then everything has to be in the store, and nothing else. Four hours
have some 3,000 kills. Exit code 1 when anything is missing, foreign, or not accounted for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from edge.contract import log
from simulators.demo.processes import DemoError
from tests.bench.storm import started
from tests.chaos.havoc import Havoc, prove_floods, wreak
from tests.chaos.neighbourhood import profiles, road_options
from tests.e2e.line import Line
from tests.servers import InfluxDB, Mosquitto, ServerError

GATEWAYS = 3
POLL_S = 2.0
ROUND_S = 420.0
OUTAGE_S = (20.0, 180.0)
KILL_EVERY_S = 30.0  # of each part, of which both lines together have eleven


class Tally(Struct):
    """What the soak has done so far."""

    rounds: int = 0
    kills: int = 0
    readings: int = 0
    faults: list[str] = []


def plan(chance: random.Random, *, most_s: float, has_store: bool) -> Havoc:
    """Return a round, in which no agent is killed so often that its status no longer names each epoch."""
    span_s = min(ROUND_S, most_s)
    outage_s = min(chance.uniform(*OUTAGE_S), span_s / 2)
    kills = max(round((span_s - outage_s) / KILL_EVERY_S), 1)
    return Havoc(
        span_s=span_s, outage_s=outage_s, agent=kills, cloud=kills, broker=kills, store=kills if has_store else 0
    )


async def soak_line(kind: str, root: Path, chance: random.Random, *, until: float, tally: Tally) -> None:
    """Play rounds on one kind of store until a time of the monotonic clock."""
    number = 0
    while (left_s := until - time.monotonic()) > 0:
        number += 1
        folder = root / f"{kind}-{number}"
        folder.mkdir()
        seed = chance.randrange(1_000_000)
        havoc = plan(chance, most_s=max(left_s, 30.0), has_store=kind == "influxdb")
        try:
            kills, readings = await play(folder, kind, havoc, random.Random(seed))
        except (AssertionError, DemoError, ServerError) as error:
            tally.faults.append(f"{kind}, round {number}: {error}")
            print(tally.faults[-1], flush=True)
            print("\n".join(getattr(error, "__notes__", [])), flush=True)
            continue
        finally:
            tally.rounds += 1
        tally.kills += kills
        tally.readings += readings
        print(
            f"{kind}, round {number}: {kills} kills in {havoc.span_s:.0f} s, the longest outage {havoc.outage_s:.0f} s;"
            f" {readings} readings, none missing, none foreign; {tally.kills} kills so far",
            flush=True,
        )
        shutil.rmtree(folder)


async def play(folder: Path, kind: str, havoc: Havoc, chance: random.Random) -> tuple[int, int]:
    """Play one round and prove it; return how many kills and how many readings it had."""
    devices = profiles(roads=1)
    with ExitStack() as stack:
        broker = await asyncio.to_thread(started, Mosquitto, folder, stack)
        influx = await asyncio.to_thread(started, InfluxDB, folder, stack) if kind == "influxdb" else None
        async with Line(
            folder,
            broker_port=broker.port,
            influx=influx,
            profiles=devices,
            gateways=GATEWAYS,
            poll_s=POLL_S,
            device_options=road_options(devices),
        ) as line:
            kills = await wreak(line, broker, havoc, chance)
            await prove_floods(line)
            await line.settle()
            await line.prove()
            return kills, len(line.taken())


async def soak(root: Path, *, seconds: float, seed: int) -> Tally:
    """Soak both stores side by side."""
    tally, until = Tally(), time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for number, kind in enumerate(("sqlite", "influxdb")):
            group.create_task(soak_line(kind, root, random.Random(seed + number), until=until, tally=tally))
    return tally


def main() -> int:
    """Soak, print one JSON line."""
    parser = argparse.ArgumentParser(prog="anlan bench soak", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--hours", type=float, default=4.0, help="how long, 4 unless given")
    length.add_argument("--minutes", type=float, help="how long, for a short one")
    parser.add_argument("--seed", type=int, default=None, help="for the same moments again")
    arguments = parser.parse_args()
    seconds = arguments.hours * 3600 if arguments.minutes is None else arguments.minutes * 60
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    log.configure(as_json=False, level=logging.ERROR)
    root = Path(tempfile.mkdtemp(prefix="anlan-soak-"))
    began = time.monotonic()
    print(f"seed {seed}, logs in {root}", flush=True)
    tally = asyncio.run(soak(root, seconds=seconds, seed=seed))
    if not tally.faults:
        shutil.rmtree(root)
    figures = {
        "seed": seed,
        "hours": round((time.monotonic() - began) / 3600, 2),
        "rounds": tally.rounds,
        "kills": tally.kills,
        "readings": tally.readings,
        "faults": len(tally.faults),
    }
    print(json.dumps(figures))
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
