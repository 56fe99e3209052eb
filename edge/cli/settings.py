"""What every command shares: gateway.yaml, the groups that commands are in, and how one of them ends in words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from edge.bus_load import check_loads
from edge.contract.config_file import ConfigError
from edge.contract.gateway_config import GatewayConfig, load_gateway_config

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The gateway's configuration.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
GATEWAY_YAML = Path("gateway.yaml")


def group(words: str = "", *, name: str | None = None) -> typer.Typer:
    """Return an empty group of commands, which all look alike; without a name its commands stand beside others."""
    return typer.Typer(
        name=name,
        help=words or None,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def load(path: Path, *, fits: bool = True) -> GatewayConfig:
    """Return the configuration, of which the lines can carry what is read; without ``fits`` also one that does not."""
    try:
        config = load_gateway_config(path)
    except ConfigError as error:
        fail(str(error), code=2)
    if fits:
        refuse_overload(config, path)
    return config


def refuse_overload(config: GatewayConfig, path: Path) -> None:
    """End with exit code 2 when a line cannot carry what is read on it."""
    try:
        check_loads(config, path)
    except ConfigError as error:
        fail(str(error), code=2)


def fail(reason: str, *, code: int) -> NoReturn:
    """Say on standard error what is wrong, and end."""
    typer.echo(reason, err=True)
    raise typer.Exit(code)
