"""What the gateway's agent needs for 10,000 and for 1,000 values a second: ``./anlan bench edge [--only NAME]``.

The agent runs as it is shipped, ``anlan-edge run`` with the default settings, a durable outbox and a real Mosquitto, in
a process of its own; the meters, the broker and a cloud that receipts everything are other processes, whose work is not
counted. Each meter is a Modbus TCP device of its own with 50 registers in one block, all of which change from poll to
poll, so that every value is sent.

=======  =======  ======  ===================================================================================
name     meters   poll_s
=======  =======  ======  ===================================================================================
full     200      1       10,000 values a second: processor time, memory, and how late polls are
small    20       1       1,000 values a second, where what a poll costs by itself counts most
most     200      0.1     100,000 values a second are asked for: what one processor core can carry
=======  =======  ======  ===================================================================================

*CPU seconds* are user and system time of the agent's process between two moments, over the values that were read in
between and reached the cloud. *Lateness* is that of the answer against the poll's place in the grid of its interval,
and one interval for a poll that was left out. *First reading* is from the start of the process to the time of its first
reading, the least of three starts, because other work on the machine can only lengthen it. The *most* values a second
are those that reached the cloud, over the share of one core that the agent had.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge.agent import phase_ms
from edge.contract.broker_config import BrokerConfig
from edge.contract.messages import Receipt, ReceiptRange, decode_batch, topic
from edge.contract.mqtt import Connection, connect
from tests.bench import _meters
from tests.servers import Mosquitto, free_ports

ROOT: Final = Path(__file__).parents[2]
GATEWAY: Final = "bench"
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
STARTS: Final = 3


class Load(NamedTuple):
    """How much is read, and how long it is watched: a window is a multiple of what the agent ships as batch_s."""

    meters: int
    poll_s: float
    warm_up_s: float
    window_s: float


LOADS: Final = {
    "full": Load(200, 1.0, 12, 40),
    "small": Load(20, 1.0, 12, 40),
    "most": Load(200, 0.1, 8, 20),
}


@dataclass
class Cloud:
    """What has arrived."""

    connection: Connection
    times: dict[str, list[int]] = field(default_factory=dict)  # by device, one for each poll
    values: list[tuple[int, int]] = field(default_factory=list)  # read at that time, so many
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def take_all(self) -> None:
        """Take batches and receipt each, until cancelled."""
        async for message in self.connection.messages():
            header, batch = decode_batch(message.payload, GATEWAY)
            for table in batch.tables:
                self.times.setdefault(table.device, []).extend(table.times)
                rows = [len(table.columns)] * len(table.times)
                for column in table.columns:
                    for at, flag in enumerate(column.flags):
                        rows[at] -= flag == 0  # nothing in this row
                self.values += zip(table.times, rows, strict=True)
            self.arrived.set()
            stored = ReceiptRange(header.seq, header.seq, "stored")
            receipt = Receipt(gateway=GATEWAY, epoch=header.epoch, lane=header.lane, ranges=[stored])
            await self.connection.publish(topic(GATEWAY, "receipt"), receipt.to_bytes())
            await message.ack()

    @property
    def first_ms(self) -> float:
        """The time of the first reading."""
        return min((taken_at for taken_at, _ in self.values), default=float("inf"))


@asynccontextmanager
async def open_cloud(port: int) -> AsyncIterator[Cloud]:
    """Receipt what comes through a broker."""
    async with connect(BrokerConfig(host="127.0.0.1", port=port), client_id="cloud") as connection:
        await connection.subscribe(topic(GATEWAY, "batch"))
        cloud = Cloud(connection)
        taking = asyncio.create_task(cloud.take_all())
        try:
            yield cloud
        finally:
            taking.cancel()
            await asyncio.wait([taking])


@contextmanager
def meters() -> Iterator[int]:
    """Run the simulated meters; gives their port."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "tests.bench._meters", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield port
        finally:
            process.kill()


class Agent:
    """The process that is measured."""

    def __init__(self, config: Path) -> None:
        self.log = config.with_suffix(".log")
        self.started_ms = time.time() * 1000
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge", "run", "--config", str(config)], cwd=ROOT, stdout=log, stderr=log
            )
        self._proc = Path(f"/proc/{self._process.pid}")

    async def unless_ended(self, something: Coroutine[Any, Any, Any]) -> None:
        """Wait for something, at most a minute; RuntimeError when the agent ends before."""
        waiting = asyncio.create_task(something)
        async with asyncio.timeout(60):
            while not waiting.done():
                await asyncio.wait([waiting], timeout=0.2)
                if self._process.poll() is not None:
                    raise RuntimeError("the agent ended")

    def cpu_s(self) -> float:
        """User and system time of all its threads so far (proc(5))."""
        words = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS_PER_S

    def rss_mib(self, which: str) -> float:
        """Resident memory: ``VmRSS`` now, ``VmHWM`` at its highest."""
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024

    def stop(self) -> None:
        """End it as an operator would; says what it logged when that does not end well. Again is harmless."""
        if self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            code: int | str = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = "killed"
        if code != 0:
            print(f"the agent ended with {code}:\n{self.log.read_text()[-3000:]}", file=sys.stderr)


@asynccontextmanager
async def running(config: Path) -> AsyncIterator[Agent]:
    """Run an agent for the time of the block."""
    agent = Agent(config)
    try:
        yield agent
    finally:
        await asyncio.to_thread(agent.stop)


def write_config(folder: Path, load: Load, *, meters_port: int, broker_port: int) -> Path:
    """Write a gateway.yaml that says nothing but what must be said."""
    folder.mkdir()
    (folder / "meter.yaml").write_text(_meters.profile())
    lines = [f"gateway: {GATEWAY}", f"broker: {{host: 127.0.0.1, port: {broker_port}}}", "data_dir: data", "devices:"]
    lines += [
        f"  - {{id: m{number}, profile: meter.yaml, poll_s: {load.poll_s},"
        f" modbus: {{host: {_meters.host(number)}, port: {meters_port}}}}}"
        for number in range(load.meters)
    ]
    config = folder / "gateway.yaml"
    config.write_text("\n".join(lines) + "\n")
    return config


class Measured(NamedTuple):
    """One load over its window."""

    values: int
    cpu_s: float
    wall_s: float
    rss_mib: float
    peak_rss_mib: float
    p99_late_ms: float
    left_out: int
    first_reading_s: float

    @property
    def cpu_s_per_100k(self) -> float:
        """Processor seconds for 100,000 values."""
        return self.cpu_s / self.values * 100_000


async def measure(load: Load, config: Path, broker_port: int) -> Measured:
    """Run the agent under a load and watch it for the window."""
    async with open_cloud(broker_port) as cloud, running(config) as agent:
        await agent.unless_ended(cloud.arrived.wait())
        await asyncio.sleep(load.warm_up_s)
        cpu_s, at = agent.cpu_s(), time.time()
        await asyncio.sleep(load.window_s)
        cpu_s, until = agent.cpu_s() - cpu_s, time.time()
        rss, peak = agent.rss_mib("VmRSS"), agent.rss_mib("VmHWM")
        await asyncio.to_thread(agent.stop)  # which sends what it has read
    values = sum(count for taken_at, count in cloud.values if at * 1000 <= taken_at < until * 1000)
    late_ms, left_out = lateness(load, cloud.times, round(at * 1000), round(until * 1000))
    first_s = (cloud.first_ms - agent.started_ms) / 1000
    return Measured(values, cpu_s, until - at, rss, peak, late_ms, left_out, first_s)


def lateness(load: Load, times: dict[str, list[int]], since_ms: int, until_ms: int) -> tuple[float, int]:
    """The 99th percentile of how late the polls of the window were, and how many were left out."""
    interval_ms = round(load.poll_s * 1000)
    late: list[int] = []
    left_out = 0
    for number in range(load.meters):
        phase = phase_ms(number / load.meters, interval_ms)
        taken = sorted(at for at in times.get(f"m{number}", []) if since_ms <= at < until_ms)
        slots = {(at - phase) // interval_ms for at in taken}
        missed = (until_ms - since_ms) // interval_ms - len(slots)
        left_out += max(missed - 1, 0)  # one may lie across an end of the window
        late += [(at - phase) % interval_ms for at in taken]
    late = sorted(late + [interval_ms] * left_out)
    return float(late[len(late) * 99 // 100]) if late else float(interval_ms), left_out


async def first_reading(load: Load, config: Path, broker_port: int) -> float:
    """Start the agent anew; return the seconds to its first reading."""
    async with open_cloud(broker_port) as cloud:
        async with running(config) as agent:
            await asyncio.sleep(3)  # then its stop sends what it has read
        with suppress(TimeoutError):
            await asyncio.wait_for(cloud.arrived.wait(), 20)
    return (cloud.first_ms - agent.started_ms) / 1000


def say(name: str, load: Load, measured: Measured) -> None:
    """Print what was measured, for people."""
    print(
        f"{name:6} {load.meters} meters x {_meters.REGISTERS} registers every {load.poll_s:g} s: "
        f"{measured.values / measured.wall_s:,.0f} values/s, "
        f"{measured.cpu_s_per_100k:.2f} CPU s per 100,000 values ({measured.cpu_s / measured.wall_s:.0%} of a core), "
        f"RSS {measured.rss_mib:.1f} MiB (peak {measured.peak_rss_mib:.1f}), "
        f"p99 {measured.p99_late_ms:.0f} ms late, {measured.left_out} polls left out, "
        f"first reading after {measured.first_reading_s:.2f} s",
        flush=True,
    )


async def bench(names: list[str], folder: Path) -> dict[str, Measured]:
    """Measure each load with a broker of its own, and the start."""
    done: dict[str, Measured] = {}
    with meters() as meters_port:
        for name in names:
            load = LOADS[name]
            (folder / f"{name}-broker").mkdir()
            broker = Mosquitto(folder / f"{name}-broker")
            await asyncio.to_thread(broker.start)
            try:
                config = write_config(folder / name, load, meters_port=meters_port, broker_port=broker.port)
                done[name] = await measure(load, config, broker.port)
                if name == "full":
                    starts = [await first_reading(load, config, broker.port) for _ in range(STARTS - 1)]
                    starts.append(done[name].first_reading_s)
                    done[name] = done[name]._replace(first_reading_s=min(starts))
            finally:
                await asyncio.to_thread(broker.stop)
            say(name, load, done[name])
    return done


def main() -> None:
    """Measure, print a line for each load, then one JSON line."""
    parser = argparse.ArgumentParser(description="What the agent needs for its work.")
    parser.add_argument("--only", choices=LOADS, help="measure this load alone; the others are null in the JSON line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as folder:
        names = [options.only] if options.only else list(LOADS)
        done = asyncio.run(bench(names, Path(folder)))
    full, small, most = done.get("full"), done.get("small"), done.get("most")
    print(
        json.dumps(
            {
                "cpu_s_per_100k": full and round(full.cpu_s_per_100k, 2),
                "cpu_s_per_100k_at_1k": small and round(small.cpu_s_per_100k, 2),
                "max_values_per_s": most and round(100_000 / most.cpu_s_per_100k),
                "rss_mib": full and round(full.peak_rss_mib, 1),
                "p99_late_ms": full and full.p99_late_ms,
                "first_reading_s": full and round(full.first_reading_s, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
