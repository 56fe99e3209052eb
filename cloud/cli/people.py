"""Commands for people: their one-time links, sessions and API tokens."""

from typing import Annotated

import typer

from cloud.cli.shared import CLOUD_YAML, ConfigOption, count, errors_said
from cloud.config import CloudConfig, load_cloud_config
from cloud.database import Database
from cloud.registry.people import add_person, remove_person
from cloud.registry.person import Role
from cloud.registry.sign_in import LINK_HOURS, end_sessions, make_link
from cloud.registry.tokens import issue_token, revoke_tokens
from cloud.start import open_database
from edge.contract.clock import SystemClock
from edge.contract.program import example

app = typer.Typer()
user_app = typer.Typer(help="People who sign in to the pages.", no_args_is_help=True)
app.add_typer(user_app, name="user")


@app.command(epilog=example("cloud", "token wang --days 30"))
def token(
    login: str,
    *,
    config: ConfigOption = CLOUD_YAML,
    days: Annotated[int, typer.Option(min=1, max=3660, help="How long the token is valid.")] = 90,
    revoke: Annotated[bool, typer.Option(help="End all tokens of this person instead.")] = False,
) -> None:
    """Print a new API token of a person.

    Once: only its hash is kept.
    """
    with errors_said(), open_database(load_cloud_config(config)) as database:
        now_ms = SystemClock().now_ms()
        if revoke:
            ended = database.write_now(lambda connection: revoke_tokens(connection, login, now_ms=now_ms))
            typer.echo(f"{login}: {count(ended, 'token')} revoked")
        else:
            typer.echo(database.write_now(lambda connection: issue_token(connection, login, now_ms=now_ms, days=days)))


@user_app.command("add", epilog=example("cloud", "user add wang --name 王芳 --role worker --grid heping-01"))
def add_user(
    login: str,
    *,
    name: Annotated[str, typer.Option(help="As people call them.")],
    role: Annotated[list[Role], typer.Option(help="What they may do; repeatable.")],
    grid: Annotated[list[str] | None, typer.Option(help="Where a worker works; repeatable.")] = None,
    config: ConfigOption = CLOUD_YAML,
) -> None:
    """Add a person who signs in, and print their one-time link.

    Repeat it to change name, roles and grids. People of the registry file are changed there.
    """
    with errors_said():
        settings = load_cloud_config(config)
        with open_database(settings) as database:
            database.write_now(lambda c: add_person(c, login, name=name, roles=role, working_in=grid or ()))
            _print_link(settings, database, login, hours=LINK_HOURS)


@user_app.command(epilog=example("cloud", "user link wang --hours 2"))
def link(
    login: str,
    *,
    config: ConfigOption = CLOUD_YAML,
    hours: Annotated[int, typer.Option(min=1, max=168, help="How long it is valid.")] = LINK_HOURS,
) -> None:
    """Print a new one-time link of a person.

    It signs in without a password, once, and ends earlier links.
    """
    with errors_said():
        settings = load_cloud_config(config)
        with open_database(settings) as database:
            _print_link(settings, database, login, hours=hours)


@user_app.command(epilog=example("cloud", "user sign-out wang"))
def sign_out(login: str, *, config: ConfigOption = CLOUD_YAML) -> None:
    """End every session of a person.

    For a lost phone: at once, on every machine.
    """
    with errors_said(), open_database(load_cloud_config(config)) as database:
        now_ms = SystemClock().now_ms()
        ended = database.write_now(lambda connection: end_sessions(connection, login, now_ms=now_ms))
        typer.echo(f"{login}: {count(ended, 'session')} ended")


@user_app.command(epilog=example("cloud", "user remove wang"))
def remove(login: str, *, config: ConfigOption = CLOUD_YAML) -> None:
    """Remove a person who was added here.

    Password, links, sessions and tokens end at once; what they did keeps their login.
    """
    with errors_said(), open_database(load_cloud_config(config)) as database:
        database.write_now(lambda connection: remove_person(connection, login))
        typer.echo(f"{login}: removed")


def _print_link(settings: CloudConfig, database: Database, login: str, *, hours: int) -> None:
    now_ms = SystemClock().now_ms()
    code = database.write_now(lambda connection: make_link(connection, login, now_ms=now_ms, hours=hours))
    # After the #, which a browser keeps to itself: no server log and no preview of a chat has the code.
    typer.echo(f"{settings.address}/welcome#{code}")
