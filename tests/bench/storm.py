"""Two clouds on one PostgreSQL through ten minutes of simulated storm: ``./anlan bench storm``.

As tests/chaos/test_storm.py, with more gateways and more time for each simulated second. One cloud is killed with -9 in
the middle, a backup is made while it is away and restored into both databases afterwards. Exit code 1 when anything is
there twice, or missing, or when the backup contradicts itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import secrets
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from sqlalchemy import Connection, func, select

from cloud.backup.archive import verify
from cloud.database import Database
from cloud.ledger import ledger
from cloud.workorders.tables import alerts, event_revisions, orders
from edge.contract import log
from tests.chaos.storm import STORM_S, Scale, Storm, open_storm
from tests.cloud import backups
from tests.servers import InfluxDB, Mosquitto, Postgres, Server

LARGE = Scale(agents=6, roads=4, wires=10, devices=12, speed=8)
S = TypeVar("S", bound=Server)
COUNTED = {"messages": ledger, "revisions": event_revisions, "alerts": alerts, "orders": orders}


class Servers(TypedDict):
    """What a storm needs."""

    postgres: Postgres
    mosquitto: Mosquitto
    influx: InfluxDB


async def pass_through(folder: Path, scale: Scale, seed: int, servers: Servers) -> tuple[Storm, list[str]]:
    """Let the storm pass; return it, and what is wrong after it."""
    async with open_storm(folder, scale, **servers, seed=seed) as storm:
        await storm.run()
        return storm, await asyncio.to_thread(storm.faults)


def figures_of(storm: Storm) -> dict[str, Any]:
    """Return what there was, and what the clouds made of it."""
    written = sorted((storm.folder / "logs").glob("cloud-?.log"))
    return {
        "simulated_s": STORM_S,
        "real_s": round(storm.storm_s, 1),
        "settling_s": round(storm.settling_s, 1),
        "gateways": len(storm.gateways),
        "sensors": sum(len(each.devices) for each in storm.gateways),
        "floods": len({(event.gateway, event.id) for each in storm.gateways for event in each.revisions}),
        "readings": sum(len(each.rows) for each in storm.gateways),
        "copies_sent": sum(each.copies for each in storm.wires),
        **counts(storm),
        "orders_opened_by": {each.stem: each.read_text().count("order opened") for each in written},
    }


def restore_all(storm: Storm, postgres: Postgres) -> tuple[dict[str, Any], list[str]]:
    """Restore the backup into both databases; return its figures, and what is wrong in them."""
    _, contents = verify(storm.backup_file)
    figures: dict[str, Any] = {
        "backup_rows": sum(contents.rows.values()),
        "backup_orders": contents.rows["orders"],
        "backup_pictures": contents.pictures,
        "backup_kib": storm.backup_file.stat().st_size // 1024,
    }
    faults: list[str] = []
    for engine in ("sqlite", "postgresql"):
        target = backups.make_config(storm.folder / engine, engine, postgres)
        began = time.monotonic()
        backups.restore_from(storm.backup_file, target)
        figures[f"restored_{engine}_s"] = round(time.monotonic() - began, 2)
        faults += [f"{engine}: {fault}" for fault in storm.faults_of_restored(target)]
    return figures, faults


def counts(storm: Storm) -> dict[str, int]:
    """Return how many rows the clouds have made."""

    def count(connection: Connection) -> dict[str, int]:
        return {
            name: connection.scalar(select(func.count()).select_from(table)) or 0 for name, table in COUNTED.items()
        }

    with Database(storm.config.database) as database:
        return database.read_now(count)


def main() -> int:
    """Start the servers, measure, print one JSON line."""
    parser = argparse.ArgumentParser(prog="anlan bench storm", description=__doc__)
    parser.add_argument("--speed", type=float, default=LARGE.speed, help="simulated seconds in a real one")
    parser.add_argument("--seed", type=int, default=None, help="for the same floods again")
    arguments = parser.parse_args()
    log.configure(as_json=False, level=logging.ERROR)
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    scale = Scale(
        agents=LARGE.agents, roads=LARGE.roads, wires=LARGE.wires, devices=LARGE.devices, speed=arguments.speed
    )
    root = Path(tempfile.mkdtemp(prefix="anlan-storm-"))
    root.chmod(0o755)  # PostgreSQL runs as another user
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root)
        servers = Servers(
            postgres=started(Postgres, root, stack),
            mosquitto=started(Mosquitto, root, stack),
            influx=started(InfluxDB, root, stack),
        )
        (root / "storm").mkdir()
        storm, faults = asyncio.run(pass_through(root / "storm", scale, seed, servers))
        figures = {"seed": seed, **figures_of(storm)}
        of_backup, faults_of_backup = restore_all(storm, servers["postgres"])
    faults += faults_of_backup
    for fault in faults:
        print(fault)
    print(json.dumps(figures | of_backup | {"faults": len(faults)}))
    return 1 if faults else 0


def started(kind: type[S], root: Path, stack: ExitStack) -> S:
    """Start a server that stops with the stack."""
    (root / kind.name).mkdir()
    server = kind(root / kind.name)
    server.start()
    stack.callback(server.stop)
    return server


if __name__ == "__main__":
    sys.exit(main())
