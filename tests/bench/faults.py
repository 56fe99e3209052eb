"""That no wrong value is kept, whatever lines and devices do: ``./anlan bench faults [SECONDS [SEED]]``.

The scene of tests/chaos/bus_faults.py for ten minutes: three devices on each of four lines (Modbus TCP with and without
transaction ids, a serial port, RTU through a converter), every fault of the simulator at random, one agent.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from edge.contract import log
from tests.chaos.bus_faults import run

SECONDS = 600.0


async def bench(seconds: float, seed: int) -> None:
    """Run, and print what was found."""
    with TemporaryDirectory() as folder:
        verdict = await run(Path(folder), seconds=seconds, seed=seed)
    for line in verdict.wrong[:20]:
        print(line)
    found = {
        "seed": seed,
        "seconds": seconds,
        "values": verdict.values,
        "missing": verdict.missing,
        "wrong": len(verdict.wrong),
        "faults": {kind.value: count for kind, count in sorted(verdict.faults.items())},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    log.configure(as_json=False, level=logging.ERROR)
    numbers = sys.argv[1:]
    asyncio.run(
        bench(float(numbers[0]) if numbers else SECONDS, int(numbers[1]) if numbers[1:] else secrets.randbelow(10**6))
    )
