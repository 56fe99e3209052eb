"""The cloud's command line: `./anlan cloud` in a checkout, `anlan-cloud` where it is installed.

Exit codes: 0 all is well; 1 it did not work (the line on standard error says what and why); 2 a configuration file or
the command line must be changed.
"""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cloud.check import check_all, create_series_database
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import Database, DatabaseError
from cloud.migrations import migrate
from cloud.registry.load import load_registry
from cloud.registry.people import PersonError, add_person, remove_person
from cloud.registry.person import Role
from cloud.registry.registry_file import RegistryFile
from cloud.registry.sign_in import LINK_HOURS, end_sessions, make_link
from cloud.registry.tokens import UnknownPersonError, issue_token, revoke_tokens
from cloud.run import StartError, open_database, run
from cloud.series import SeriesError
from cloud.status import status_lines
from edge.contract import log
from edge.contract.clock import ClockError, SystemClock, load_clock
from edge.contract.config_file import ConfigError, load_yaml
from edge.contract.program import command, example

app = typer.Typer(
    help="The cloud: keeps the history, turns events into work orders, answers the API.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
user_app = typer.Typer(help="People who sign in to the pages.", no_args_is_help=True)
app.add_typer(user_app, name="user")
registry_app = typer.Typer(help="Sites, grids, gateways, devices and people.", no_args_is_help=True)
app.add_typer(registry_app, name="registry")

Config = Annotated[Path, typer.Option("--config", "-c", help="The cloud's configuration.")]
CLOUD_YAML = Path("cloud.yaml")


@app.command("run", epilog=example("cloud", "run --config cloud.yaml"))
def run_cloud(
    *,
    config: Config = CLOUD_YAML,
    clock: Annotated[Path | None, typer.Option(help="Accelerated clock of a replay; loopback brokers only.")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
) -> None:
    """Take messages, keep them, answer the API.

    Until SIGTERM or Ctrl-C.
    """
    log.configure(as_json=log_json)
    with _errors_said():
        settings = load_cloud_config(config)
        asyncio.run(run(settings, load_clock(clock, settings.broker.host)))


@app.command(epilog=example("cloud", "init --config cloud.yaml --create-series"))
def init(
    *,
    config: Config = CLOUD_YAML,
    create_series: Annotated[bool, typer.Option(help="Also create the InfluxDB database.")] = False,
) -> None:
    """Create or migrate the database.

    Safe to repeat, also while the cloud runs.
    """
    with _errors_said():
        settings = load_cloud_config(config)
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Database(settings.database) as database:
            changed = database.write_now(migrate)
        typer.echo(f"database {database}: {'tables created or migrated' if changed else 'is up to date'}")
        if create_series:
            typer.echo(asyncio.run(create_series_database(settings)))


@app.command(epilog=example("cloud", "check --config cloud.yaml"))
def check(config: Config = CLOUD_YAML) -> None:
    """Try what the configuration names.

    Database, broker, series store and API port: each says ok or its fault.
    """
    log.configure(as_json=False, level=logging.ERROR)
    with _errors_said():
        faults = asyncio.run(check_all(load_cloud_config(config), typer.echo))
    raise typer.Exit(1 if faults else 0)


@app.command(epilog=example("cloud", "status --config cloud.yaml"))
def status(config: Config = CLOUD_YAML) -> None:
    """Show each gateway and where its readings are."""
    with _errors_said(), open_database(load_cloud_config(config)) as database:
        now_ms = SystemClock().now_ms()
        for line in database.read_now(lambda connection: status_lines(connection, now_ms=now_ms)):
            typer.echo(line)


@app.command(epilog=example("cloud", "token wang --days 30"))
def token(
    login: str,
    *,
    config: Config = CLOUD_YAML,
    days: Annotated[int, typer.Option(min=1, max=3660, help="How long the token is valid.")] = 90,
    revoke: Annotated[bool, typer.Option(help="End all tokens of this person instead.")] = False,
) -> None:
    """Print a new API token of a person.

    Once: only its hash is kept.
    """
    with _errors_said(), open_database(load_cloud_config(config)) as database:
        now_ms = SystemClock().now_ms()
        if revoke:
            ended = database.write_now(lambda connection: revoke_tokens(connection, login, now_ms=now_ms))
            typer.echo(f"{login}: {_count(ended, 'token')} revoked")
        else:
            typer.echo(database.write_now(lambda connection: issue_token(connection, login, now_ms=now_ms, days=days)))


@user_app.command("add", epilog=example("cloud", "user add wang --name 王芳 --role worker --grid heping-01"))
def add_user(
    login: str,
    *,
    name: Annotated[str, typer.Option(help="As people call them.")],
    role: Annotated[list[Role], typer.Option(help="What they may do; repeatable.")],
    grid: Annotated[list[str] | None, typer.Option(help="Where a worker works; repeatable.")] = None,
    config: Config = CLOUD_YAML,
) -> None:
    """Add a person who signs in, and print their one-time link.

    Repeat it to change name, roles and grids. People of the registry file are changed there.
    """
    with _errors_said():
        settings = load_cloud_config(config)
        with open_database(settings) as database:
            database.write_now(lambda c: add_person(c, login, name=name, roles=role, working_in=grid or ()))
            _print_link(settings, database, login, hours=LINK_HOURS)


@user_app.command(epilog=example("cloud", "user link wang --hours 2"))
def link(
    login: str,
    *,
    config: Config = CLOUD_YAML,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How long it is valid.")] = LINK_HOURS,
) -> None:
    """Print a new one-time link of a person.

    It signs in without a password, once, and ends earlier links.
    """
    with _errors_said():
        settings = load_cloud_config(config)
        with open_database(settings) as database:
            _print_link(settings, database, login, hours=hours)


@user_app.command(epilog=example("cloud", "user sign-out wang"))
def sign_out(login: str, *, config: Config = CLOUD_YAML) -> None:
    """End every session of a person.

    For a lost phone: at once, on every machine.
    """
    with _errors_said(), open_database(load_cloud_config(config)) as database:
        now_ms = SystemClock().now_ms()
        ended = database.write_now(lambda connection: end_sessions(connection, login, now_ms=now_ms))
        typer.echo(f"{login}: {_count(ended, 'session')} ended")


@user_app.command(epilog=example("cloud", "user remove wang"))
def remove(login: str, *, config: Config = CLOUD_YAML) -> None:
    """Remove a person who was added here.

    Password, links, sessions and tokens end at once; what they did keeps their login.
    """
    with _errors_said(), open_database(load_cloud_config(config)) as database:
        database.write_now(lambda connection: remove_person(connection, login))
        typer.echo(f"{login}: removed")


def _print_link(settings: CloudConfig, database: Database, login: str, *, hours: int) -> None:
    now_ms = SystemClock().now_ms()
    code = database.write_now(lambda connection: make_link(connection, login, now_ms=now_ms, hours=hours))
    # After the #, which a browser keeps to itself: no server log and no preview of a chat has the code.
    typer.echo(f"{settings.address}/welcome#{code}")


@registry_app.command(epilog=example("cloud", "registry load registry.yaml --config cloud.yaml"))
def load(
    file: Path,
    *,
    config: Config = CLOUD_YAML,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would change.")] = False,
) -> None:
    """Bring the registry to what FILE says.

    Prints what changed; what is no longer there becomes inactive.
    """
    with _errors_said(), open_database(load_cloud_config(config)) as database:
        registry = load_yaml(file, RegistryFile)
        changes = database.write_now(lambda connection: load_registry(connection, registry, keep=not dry_run))
        for change in changes:
            typer.echo(change)
        typer.echo(_count(len(changes), "change") + (", none of them made" if dry_run else ""))


def main() -> None:
    """Run the command line."""
    app(prog_name=command("cloud"))


@contextmanager
def _errors_said() -> Iterator[None]:
    """End the program with one clear message for what a person can mend."""
    try:
        yield
    except (ConfigError, ClockError) as error:
        _fail(str(error), code=2)
    except (StartError, DatabaseError, SeriesError, UnknownPersonError, PersonError) as error:
        _fail(str(error), code=1)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}", code=1)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _fail(message: str, *, code: int) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    raise typer.Exit(code)
