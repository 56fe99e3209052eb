"""How long a day's backlog takes, and how late live readings are meanwhile: ``./anlan bench backlog``.

A gateway with 20 meters of 10 points, read every 10 s, had no uplink for 24 h: 1,728,000 readings wait in its outbox,
in batches as the agent makes them with the default settings (put there by the outbox itself, at full speed). Then the
agent runs as it is shipped, through a real Mosquitto, to a cloud as it is shipped, and goes on reading the meters,
every 10 s or as ``--poll`` says, with batches of 1 s.

*Drained* is from the start of the agent until the last of the backlog has its receipt. *Late* is, for each reading that
was taken after the uplink was there, the time from then until its receipt, which the cloud sends when it is stored.
*Missing* are the readings that the agent's journal has and the store has not, or has otherwise, and those that the
store should not have.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from edge.contract.broker_config import BrokerConfig
from edge.contract.clock import SteppedClock
from edge.contract.messages import ClockState, Lane, Receipt, decode_batch, decode_header, topic
from edge.contract.mqtt import Connection, Message, connect
from edge.contract.rows import Row
from edge.journal import Journal
from edge.outbox import MessageName, Outbox
from edge.outbox_drafts import Draft, Origin
from simulators.demo.proof import compare
from tests.e2e.line import Line
from tests.e2e.line_gateway import LineGateway
from tests.servers import InfluxDB, Mosquitto

METERS: Final = {f"meter-{number:02}": "eastron_sdm120" for number in range(1, 21)}
KIND: Final = "electricity_meter"
# Ten of the eleven points of these meters, with a value and how much it walks from one reading to the next.
POINTS: Final = {
    "voltage": (231.0, 1.0),
    "current": (5.0, 0.3),
    "active_power": (1150.0, 60.0),
    "apparent_power": (1200.0, 60.0),
    "reactive_power": (90.0, 9.0),
    "power_factor": (0.96, 0.01),
    "frequency": (50.0, 0.02),
    "energy_import": (10_000_000, 30),
    "energy_export": (0, 0),
    "reactive_import": (400_000, 3),
}
HOUR_MS: Final = 3_600_000
POLL_MS: Final = 10_000  # and as much in a batch: batch_s as it is shipped
LEAST_WATCHED_S: Final = 60.0  # so that there are live readings to speak of, however fast it drains
MOST_S: Final = 1800.0


class Then(SteppedClock):
    """A clock that shows when a batch was made."""

    def show(self, at_ms: int) -> None:
        """Go there."""
        self._now_ms = at_ms


def walk(chance: random.Random) -> Iterator[dict[str, float | int]]:
    """The values of one meter, again and again: floats with all the digits of single precision, counters that rise."""
    values = {point: start for point, (start, _) in POINTS.items()}
    while True:
        for point, (start, step) in POINTS.items():
            if isinstance(start, int):
                values[point] += chance.randint(0, int(step))
            else:
                values[point] = start + chance.uniform(-step, step)
        yield dict(values)


def fill(gateway: LineGateway, *, since_ms: int, until_ms: int) -> set[MessageName]:
    """Put an outage's readings into the outbox, as the agent would have; return what they are called."""
    chance = random.Random(1)
    meters = {device: walk(chance) for device in METERS}
    origin = Origin(gateway.name, "ab12", ClockState.SYNCHRONISED)
    gateway.outbox.parent.mkdir(parents=True)
    clock, journal = Then(since_ms), Journal(gateway.journal)
    outbox = Outbox.open(
        gateway.outbox, max_bytes=10**9, max_age_ms=1000 * HOUR_MS, clock=clock, on_commit=journal.record
    )
    for batch_ms in range(since_ms, until_ms, POLL_MS):
        clock.show(batch_ms + POLL_MS)
        rows = [
            Row(device, batch_ms + place * POLL_MS // len(METERS), tuple(POINTS), tuple(next(meter).values()), {})
            for place, (device, meter) in enumerate(meters.items())
        ]
        outbox.append_all(draft=Draft(origin=origin, kinds=dict.fromkeys(METERS, KIND), rows=rows))
        outbox.seal_drafts(Lane.BACKLOG)
    [state] = outbox.states()
    outbox.close()
    journal.close()
    return {MessageName(state.epoch, Lane.BACKLOG, seq) for seq in range(1, state.lanes["backlog"].next_seq)}


class Watch:
    """Sees what goes through the broker: when each message was receipted, and how late live readings were."""

    def __init__(self, gateway: str, connection: Connection, backlog: set[MessageName]) -> None:
        self._gateway = gateway
        self._connection = connection
        self._left = backlog
        self._taken_at: dict[MessageName, list[int]] = {}
        self.late_s: list[float] = []
        self.connected_ms = 0
        self.drained_at = float("inf")  # on the monotonic clock
        self.drained = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        for kind in ("batch", "receipt"):
            await self._connection.subscribe(topic(self._gateway, kind))
        async for message in self._connection.messages():
            self._see(message)
            await message.ack()

    def _see(self, message: Message) -> None:
        now_ms = time.time() * 1000
        if message.topic == topic(self._gateway, "receipt"):
            self._see_receipt(Receipt.from_bytes(message.payload, self._gateway), now_ms)
            return
        self.connected_ms = self.connected_ms or int(now_ms)
        header = decode_header(message.payload)
        name = MessageName(header.epoch, Lane(header.lane), header.seq)
        if name not in self._left and name not in self._taken_at:
            batch = decode_batch(message.payload, self._gateway)[1]
            times = [reading.taken_at for reading in batch.readings()]
            self._taken_at[name] = [at for at in times if at >= self.connected_ms]

    def _see_receipt(self, receipt: Receipt, now_ms: float) -> None:
        for part in receipt.ranges:
            for seq in range(part.first, part.last + 1):
                name = MessageName(receipt.epoch, receipt.lane, seq)
                self._left.discard(name)
                self.late_s += [(now_ms - at) / 1000 for at in self._taken_at.pop(name, ())]
        if not self._left and not self.drained.is_set():
            self.drained_at = time.monotonic()
            self.drained.set()


class LateGateway(LineGateway):
    """A gateway whose agent is not started with its line: its outbox is filled first."""

    async def start(self, *_options: str) -> None:
        """Not yet; see :meth:`begin`."""


class BacklogLine(Line):
    """A line of such gateways."""

    gateway_type = LateGateway


async def change_meters(gateway: LineGateway, poll_s: float) -> None:
    """Give every meter new values, again and again."""
    chance = random.Random(2)
    meters = {device: walk(chance) for device in gateway.devices}
    while True:
        for device, meter in meters.items():
            for point, value in next(meter).items():
                gateway.devices[device].set(point, value)
            await asyncio.sleep(poll_s / len(meters))


async def measure(
    folder: Path, broker: Mosquitto, influx: InfluxDB | None, *, hours: float, poll_s: float
) -> dict[str, float | int]:
    """Fill, drain, stop, compare."""
    line = BacklogLine(folder, broker_port=broker.port, profiles=METERS, influx=influx, poll_s=poll_s)
    [gateway] = line.gateways
    began = time.monotonic()
    now_ms = int(time.time() * 1000)
    backlog = await asyncio.to_thread(fill, gateway, since_ms=now_ms - round(hours * HOUR_MS), until_ms=now_ms)
    size = gateway.outbox.stat().st_size / 2**20
    print(f"{len(backlog)} batches, {size:.1f} MiB, in {time.monotonic() - began:.0f} s")
    async with (
        line,
        connect(BrokerConfig(host="127.0.0.1", port=broker.port), client_id="watch", max_inflight=1000) as connection,
    ):
        watch = Watch(gateway.name, connection, backlog)
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(change_meters(gateway, poll_s))]
        began = time.monotonic()
        await gateway.begin()
        async with asyncio.timeout(MOST_S):
            await watch.drained.wait()
        drain_s = watch.drained_at - began
        await asyncio.sleep(LEAST_WATCHED_S - drain_s)
        late_s = sorted(watch.late_s)
        await line.settle()
        for task in tasks:
            task.cancel()
        print(
            f"drained in {drain_s:.1f} s, while there were {len(late_s)} live readings: late by {at(late_s, 0.5):.2f} s"
        )
        print(f"in the median, {at(late_s, 0.99):.2f} s at p99, {late_s[-1]:.2f} s at worst")
        comparison = compare(line.taken(), await line.stored())
        if comparison.missing or comparison.foreign:
            print(comparison)
    return {
        "drain_s": round(drain_s, 1),
        "live_p99_late_s": round(at(late_s, 0.99), 2),
        "missing": len(comparison.missing) + len(comparison.foreign),
    }


def at(ordered: list[float], share: float) -> float:
    """The value under which that share of them lies."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def main() -> None:
    """Measure; print one JSON line."""
    parser = argparse.ArgumentParser(prog="./anlan bench backlog", description=__doc__)
    parser.add_argument("--influx", action="store_true", help="store in InfluxDB 1.x, in place of SQLite")
    parser.add_argument("--poll", type=float, default=10.0, metavar="S", help="how often live meters are read")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="how long there was no uplink")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anlan-bench-")))
        (folder / "mosquitto").mkdir()
        broker = Mosquitto(folder / "mosquitto")
        broker.start()
        stack.callback(broker.stop)
        influx = None
        if options.influx:
            (folder / "influx").mkdir()
            influx = InfluxDB(folder / "influx")
            influx.start()
            stack.callback(influx.stop)
        print(
            json.dumps(asyncio.run(measure(folder / "line", broker, influx, hours=options.hours, poll_s=options.poll)))
        )


if __name__ == "__main__":
    main()
