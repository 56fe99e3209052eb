"""The disk of a gateway is full while its uplink is down: nothing that was committed is lost, the rest is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.chaos.neighbourhood import alive, profiles
from tests.e2e.line import Line
from tests.e2e.waiting import until
from tests.servers import Mosquitto

FULL, ROOM = "readings wait in memory", "disk has room again"


def fill(file: Path) -> None:
    """Take all room that a disk has."""
    with suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(1024))


async def test_a_full_disk_loses_nothing(
    tmp_path: Path, start_mosquitto: Callable[..., Mosquitto], small_disk: Path, seed: int
) -> None:
    """The agent goes on reading, keeps in memory what it cannot store, and stores it once there is room."""
    broker = start_mosquitto()
    (tmp_path / "gateway-1").mkdir()
    (tmp_path / "gateway-1" / "data").symlink_to(small_disk)
    async with Line(tmp_path, broker_port=broker.port, profiles=profiles(roads=0)) as line:
        [gateway] = line.gateways
        async with alive(gateway, seed):
            await asyncio.to_thread(broker.kill)
            log, meter = gateway.agent.log, gateway.devices["meter-1"]
            while FULL not in log.read_text():  # what a checkpoint frees is filled too
                await asyncio.to_thread(fill, small_disk / "ballast")
                await asyncio.sleep(0.2)
            polled = len(meter.served)
            await until(lambda: len(meter.served) > polled, "polls with a full disk")
            (small_disk / "ballast").unlink()
            await until(lambda: ROOM in log.read_text(), "a commit once there is room")
            await asyncio.to_thread(broker.start)
        await line.settle()
        await line.prove()
