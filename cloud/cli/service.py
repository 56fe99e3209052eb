"""Commands of the service itself: run, ingest, init, check, status."""

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from cloud.check import check_all, set_up_series
from cloud.cli.shared import CLOUD_YAML, ConfigOption, errors_said
from cloud.config import load_cloud_config
from cloud.database import Database
from cloud.migrations import migrate
from cloud.run_ingest import run_ingest
from cloud.start import open_database
from cloud.status import status_lines
from edge.contract import log
from edge.contract.clock import SystemClock, load_clock
from edge.contract.program import example

app = typer.Typer()


@app.command("run", epilog=example("cloud", "run --config cloud.yaml"))
def run_cloud(
    *,
    config: ConfigOption = CLOUD_YAML,
    clock: Annotated[Path | None, typer.Option(help="Accelerated clock of a replay; loopback brokers only.")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
) -> None:
    """Take messages, keep them, answer the API.

    Until SIGTERM or Ctrl-C.
    """
    from cloud.run import run  # noqa: PLC0415 -- no other command waits half a second for pages and API

    log.configure(as_json=log_json)
    with errors_said():
        settings = load_cloud_config(config)
        asyncio.run(run(settings, load_clock(clock, settings.broker.host)))


@app.command(epilog=example("cloud", "ingest --config cloud.yaml"))
def ingest(
    *,
    config: ConfigOption = CLOUD_YAML,
    clock: Annotated[Path | None, typer.Option(help="Accelerated clock of a replay; loopback brokers only.")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
) -> None:
    """Take readings, and nothing else.

    Until SIGTERM or Ctrl-C. For more readings than one process can take: with shared: true, start as many of these as
    there are cores to spare, beside one cloud run.
    """
    log.configure(as_json=log_json)
    with errors_said():
        settings = load_cloud_config(config)
        asyncio.run(run_ingest(settings, load_clock(clock, settings.broker.host)))


@app.command(epilog=example("cloud", "init --config cloud.yaml"))
def init(
    *,
    config: ConfigOption = CLOUD_YAML,
    shorten_retention: Annotated[
        bool,
        typer.Option("--shorten-retention", help="Let InfluxDB delete what is older than the configuration says."),
    ] = False,
) -> None:
    """Create or migrate the database, and what keeps readings.

    In an InfluxDB that is a database or bucket and its retention, and one for readings of households. Safe to repeat,
    also while the cloud runs.
    """
    with errors_said():
        settings = load_cloud_config(config)
        make_private(settings.data_dir)
        with Database(settings.database) as database:
            changed = database.write_now(migrate)
        typer.echo(f"database {database}: {'tables created or migrated' if changed else 'is up to date'}")
        faults = asyncio.run(set_up_series(settings, typer.echo, may_shorten=shorten_retention))
    raise typer.Exit(1 if faults else 0)


def make_private(folder: Path) -> None:
    """Make the folder of databases and pictures, or keep others out of the one that is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & 0o007:
        folder.chmod(mode & 0o770)


@app.command(epilog=example("cloud", "check --config cloud.yaml"))
def check(config: ConfigOption = CLOUD_YAML) -> None:
    """Try what the configuration names.

    Database, broker, series store, that of households, and API port: each says ok or its fault.
    """
    log.configure(as_json=False, level=logging.ERROR)
    with errors_said():
        faults = asyncio.run(check_all(load_cloud_config(config), typer.echo))
    raise typer.Exit(1 if faults else 0)


@app.command(epilog=example("cloud", "status --config cloud.yaml"))
def status(config: ConfigOption = CLOUD_YAML) -> None:
    """Show each gateway and where its readings are."""
    with errors_said(), open_database(load_cloud_config(config)) as database:
        now_ms = SystemClock().now_ms()
        for line in database.read_now(lambda connection: status_lines(connection, now_ms=now_ms)):
            typer.echo(line)
