"""How many readings a second a worker takes from the broker to the series store, and what it costs.

Batches of 20 meters with 10 points, prepared beforehand, are published by a process of its own through Mosquitto at
QoS 1. One `cloud ingest` takes them, with everything on: contract checked, registry, ledger, receipts, ack last; the
clock stops at the last receipt. In the same run the same lines are posted straight to a second store of the same kind.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from cloud.database import Database
from cloud.ledger import ledger
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.series.influx import LINES_PER_REQUEST
from cloud.series.lines import lines_of
from edge.contract.messages import Receipt
from tests.bench import _load as load
from tests.bench._mqtt import Client
from tests.servers import InfluxDB, Mosquitto, Server, VictoriaMetrics

WARM_UP = 200  # messages
PATIENCE_S = 600.0
Messages = Sequence[tuple[str, bytes]]


@dataclass
class Round:
    """What one round measured."""

    readings: int
    elapsed_s: float
    cpu_s: float
    rss_mib: float

    @property
    def per_s(self) -> float:
        """Readings a second."""
        return self.readings / self.elapsed_s

    @property
    def cpu_us(self) -> float:
        """CPU time of all workers for one reading, in microseconds."""
        return self.cpu_s / self.readings * 1e6


class Worker:
    """One `cloud ingest`."""

    def __init__(self, folder: Path, number: int) -> None:
        self._log = folder / f"worker-{number}.log"
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "cloud", "ingest", "--config", str(folder / "cloud.yaml")]
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        deadline = time.monotonic() + PATIENCE_S
        while "subscribed" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(self._log.read_text())
            time.sleep(0.05)

    def cpu_s(self) -> float:
        """Return the CPU time that the process has used."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self) -> float:
        """Return the most memory that it has had."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def stop(self) -> None:
        """End it, having dropped nothing."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        log = self._log.read_text()
        assert "messages dropped" not in log, log

    def kill(self) -> None:
        """End it in any case."""
        self._process.kill()
        self._process.wait(60)


class Bench:
    """A broker, a store, a database, and a load."""

    def __init__(self, folder: Path, store: Server, options: argparse.Namespace) -> None:
        self.folder = folder
        self.store = store
        self._options = options
        self._broker = Mosquitto(folder, options=["max_queued_messages 0", "max_packet_size 270336"])
        self._epoch = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the servers, with a database that knows the gateways."""
        _set_up(self.folder, self._broker.port, self.store, self._options)
        self._broker.start()
        try:
            yield
        finally:
            self._broker.stop()

    def messages(self, readings: int) -> Messages:
        """Prepare a load that was not there before."""
        self._epoch += 1
        count = readings // load.READINGS
        span_ms = (count // self._options.gateways + 2) * load.INTERVAL_MS
        start_ms = int(time.time() * 1000) - span_ms * self._epoch
        return list(
            load.payloads(
                count,
                self._options.gateways,
                start_ms=start_ms,
                epoch=f"{self._epoch:016x}",
                float32=self._options.values == "float32",
            )
        )

    def take(self, messages: Messages, workers: int = 1, *, held: bool = False) -> Round:
        """Publish messages and see them receipted; `held`: the store stands still until all are published."""
        with ExitStack() as stack:
            running = [Worker(self.folder, number) for number in range(workers)]
            for worker in running:
                stack.callback(worker.kill)
            listener = Client(self._broker.port, "bench-listener")
            stack.callback(listener.close)
            listener.subscribe("anlan/v1/+/receipt")
            self._publish(messages[:WARM_UP]).communicate("go\n")
            _await_receipts(listener, len(messages[:WARM_UP]))
            return self._measure(running, listener, messages[WARM_UP:], held=held)

    def _measure(self, running: Sequence[Worker], listener: Client, messages: Messages, *, held: bool) -> Round:
        publisher = self._publish(messages)
        used = sum(worker.cpu_s() for worker in running)
        if held:
            self.store.pause()
            publisher.communicate("go\n")
            self.store.resume()
        started = time.perf_counter()
        if not held:
            assert publisher.stdin is not None
            publisher.stdin.write("go\n")
            publisher.stdin.flush()
        _await_receipts(listener, len(messages))
        elapsed = time.perf_counter() - started
        used = sum(worker.cpu_s() for worker in running) - used
        rss = max(worker.rss_mib() for worker in running)
        publisher.communicate()
        for worker in running:
            worker.stop()
        return Round(len(messages) * load.READINGS, elapsed, used, rss)

    def _publish(self, messages: Messages) -> subprocess.Popen[str]:
        file = self.folder / "packets"
        file.write_bytes(load.packets(messages))
        command = [sys.executable, "-m", "tests.bench._mqtt", str(self._broker.port), str(file)]
        publisher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert publisher.stdout is not None
        publisher.stdout.readline()
        return publisher

    def readings_in_ledger(self) -> int:
        """Return how many readings the ledger calls stored."""
        stored = select(func.sum(ledger.c.readings)).where(ledger.c.outcome == "stored")
        with Database.at(self.folder / "cloud.db") as database:
            return int(database.read_now(lambda connection: connection.scalar(stored)) or 0)


def _await_receipts(listener: Client, messages: int) -> None:
    missing = messages
    for payload in listener.messages():
        receipt = Receipt.from_bytes(payload, json.loads(payload)["gateway"])
        assert all(part.outcome == "stored" for part in receipt.ranges), receipt
        missing -= sum(part.last - part.first + 1 for part in receipt.ranges)
        if missing <= 0:
            return


def _set_up(folder: Path, broker_port: int, store: Server, options: argparse.Namespace) -> None:
    is_influx = isinstance(store, InfluxDB)
    series = {"engine": "influx", "url": f"http://127.0.0.1:{store.port}", "database": "anlan"}
    if not is_influx:
        (folder / "token").write_text("token\n")
        (folder / "token").chmod(0o600)
        series |= {"api": "v2", "org": "anlan", "token_file": str(folder / "token")}
    cloud: dict[str, Any] = {
        "data_dir": str(folder),
        "broker": {"host": "127.0.0.1", "port": broker_port},
        "series": series,
        "shared": True,
    }
    (folder / "cloud.yaml").write_text(json.dumps(cloud))
    with Database.at(folder / "cloud.db") as database:
        database.write_now(migrate)
        file = RegistryFile.model_validate_json(json.dumps(_registry(options.gateways)))
        database.write_now(lambda connection: load_registry(connection, file))


def _registry(gateways: int) -> dict[str, Any]:
    grid = {"code": "grid", "name": "第一网格"}
    site = {"code": "site", "name": "配电房", "grid": "grid"}
    return {
        "streets": [
            {"code": "street", "name": "城西街道", "communities": [{"code": "c", "name": "和平社区", "grids": [grid]}]}
        ],
        "sites": [site],
        "gateways": [{"id": load.gateway_name(n), "name": f"网关 {n}", "site": "site"} for n in range(gateways)],
    }


def post_straight(store: Server, messages: Messages) -> float:
    """Post the lines of messages, in requests as the worker makes them; return readings a second."""
    lines = lines_of(load.batches(messages))
    bodies = []
    while some := list(islice(lines, LINES_PER_REQUEST)):
        bodies.append("\n".join(some).encode())
    path = "/write?db=anlan&precision=ms"
    if isinstance(store, VictoriaMetrics):
        path = "/api/v2/write?org=anlan&bucket=anlan&precision=ms"
    connection = http.client.HTTPConnection("127.0.0.1", store.port, timeout=PATIENCE_S)
    started = time.perf_counter()
    for body in bodies:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == http.client.NO_CONTENT, said
    elapsed = time.perf_counter() - started
    connection.close()
    return len(messages) * load.READINGS / elapsed


@dataclass
class Figures:
    """What was measured with one kind of store."""

    name: str
    one: Round
    store_per_s: float
    two: Round | None = None
    backlog: Round | None = None

    def lines(self) -> Iterator[str]:
        """Say it to a person."""
        one, share = self.one, self.one.per_s / self.store_per_s
        yield f"{self.name}: {one.per_s:,.0f} readings/s, {one.cpu_us:.2f} us of CPU each, RSS {one.rss_mib:.0f} MiB"
        yield f"  the same lines straight to the store: {self.store_per_s:,.0f} readings/s; ours are {share:.0%} of it"
        if self.two is not None:
            yield f"  two workers: {self.two.per_s:,.0f} readings/s, {self.two.cpu_us:.2f} us of CPU each"
        if self.backlog is not None:
            held = self.backlog
            yield f"  a backlog of {held.readings:,} readings: {held.per_s:,.0f}/s, RSS at most {held.rss_mib:.0f} MiB"


def measure(kind: type[Server], options: argparse.Namespace, *, backlog: int = 0) -> Figures:
    """Measure with one kind of store."""
    with tempfile.TemporaryDirectory(prefix="anlan-bench-") as place, _started(kind, place, "store") as store:
        bench = Bench(Path(place), store, options)
        with bench.running():
            rounds = [bench.take(bench.messages(options.readings)) for _ in range(options.rounds)]
            figures = Figures(kind.name, max(rounds, key=lambda each: each.per_s), 0.0)
            if options.workers > 1:
                figures.two = bench.take(bench.messages(options.readings), options.workers)
            if backlog:
                figures.backlog = bench.take(bench.messages(backlog), held=True)
            with _started(kind, place, "straight") as other:
                straight = [post_straight(other, bench.messages(options.readings)) for _ in range(options.rounds)]
                figures.store_per_s = max(straight)
            taken = (options.rounds + (options.workers > 1)) * options.readings + backlog
            assert bench.readings_in_ledger() == taken, (bench.readings_in_ledger(), taken)
    return figures


@contextmanager
def _started(kind: type[Server], place: str, name: str) -> Iterator[Server]:
    folder = Path(place) / name
    folder.mkdir()
    server = kind(folder)
    server.start()
    try:
        if isinstance(server, InfluxDB):
            server.query("CREATE DATABASE anlan")
        yield server
    finally:
        server.stop()


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="./anlan bench ingest",
        description=__doc__,
        epilog="The last line is JSON; what begins with influx_ was measured with InfluxDB.",
    )
    parser.add_argument("--readings", type=int, default=1_000_000, help="of a round (default: 1,000,000)")
    parser.add_argument("--rounds", type=int, default=2, help="of which the best counts (default: 2)")
    parser.add_argument("--gateways", type=int, default=50, help="that send at once (default: 50)")
    parser.add_argument("--workers", type=int, default=2, help="of the round with several (default: 2; 1: no such)")
    parser.add_argument("--backlog", type=int, default=5_000_000, help="readings that wait (default: 5,000,000)")
    parser.add_argument("--values", choices=["decimals", "float32"], default="decimals", help="digits of the values")
    parser.add_argument("--store", choices=["both", "victoria", "influx"], default="both", help="(default: both)")
    return parser.parse_args(words)


def main() -> None:
    """Measure, print, end with one JSON line."""
    options = parse()
    document: dict[str, float] = {}
    for kind, prefix in ((VictoriaMetrics, ""), (InfluxDB, "influx_")):
        if options.store not in ("both", "influx" if prefix else "victoria"):
            continue
        figures = measure(kind, options, backlog=0 if prefix else options.backlog)
        print("\n".join(figures.lines()), flush=True)
        document |= {
            f"{prefix}readings_per_s": round(figures.one.per_s),
            f"{prefix}store_limit_per_s": round(figures.store_per_s),
            f"{prefix}cpu_us_per_reading": round(figures.one.cpu_us, 2),
            f"{prefix}rss_mib": round((figures.backlog or figures.one).rss_mib),
        }
        if figures.two is not None:
            document[f"{prefix}readings_per_s_of_{options.workers}"] = round(figures.two.per_s)
    print(json.dumps(document))


if __name__ == "__main__":
    main()
