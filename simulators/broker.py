"""The demo's MQTT broker: amqtt with user names and passwords, for this machine only.

``./anlan simulate broker --port 1883 --users users.txt``. Each line of the users file is ``name:password``; only
its owner may read it. Nothing is kept on disk: what the broker forgets, the gateways send again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from amqtt.broker import Broker, BrokerContext
from amqtt.errors import BrokerError
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session

from simulators.stopping import run_until_stopped


class UsersFileError(ValueError):
    """The users file cannot be used; the text says why and what to do."""


def read_users(path: Path) -> dict[str, str]:
    """User name -> password; refuses a file that others may read."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsersFileError(f"{path}: others may read this password file: run chmod 600 {path}")
    users: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        name, colon, password = line.partition(":")
        if not (name and colon and password):
            raise UsersFileError(f"{path}:{number}: expected name:password")
        users[name] = password
    return users


class UsersPlugin(BaseAuthPlugin):  # type: ignore[misc]  # amqtt ships no types
    """Lets in who is in the users file, and nobody else."""

    def __init__(self, context: BrokerContext) -> None:
        super().__init__(context)
        self._users = read_users(Path(self.config.users_file))

    async def authenticate(self, *, session: Session) -> bool:
        """Compare in constant time; an unknown name is compared too."""
        known = self._users.get(session.username or "", "")
        given = session.password or ""
        return bool(known) and hmac.compare_digest(known.encode(), given.encode())

    @dataclass
    class Config:
        """The plugin's options; amqtt looks for this name."""

        users_file: str


def broker_config(port: int, users: Path) -> dict[str, object]:
    """Configure amqtt: one listener on loopback, our users, no statistics."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"simulators.broker.UsersPlugin": {"users_file": str(users)}},
    }


async def serve(port: int, users: Path) -> None:
    """Serve until cancelled."""
    read_users(users)  # amqtt would only log what is wrong with it
    broker = Broker(broker_config(port, users))
    await broker.start()
    try:
        await asyncio.Event().wait()
    finally:
        await broker.shutdown()


def main(
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port on 127.0.0.1.")],
    users: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="File of name:password lines, mode 600.")],
) -> None:
    """Serve MQTT on this machine until stopped."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        asyncio.run(run_until_stopped(serve(port, users)))
    except UsersFileError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except BrokerError as error:
        typer.echo(f"broker: {error}", err=True)
        raise typer.Exit(1) from None
