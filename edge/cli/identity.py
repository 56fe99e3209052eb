"""The gateway's key and certificate: `edge request` and `edge accept`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from edge.cli.settings import GATEWAY_YAML, ConfigOption, fail, group
from edge.contract.clock import SystemClock
from edge.contract.config_file import ConfigError
from edge.contract.files import in_pairs
from edge.contract.program import command, example

app = group()


@app.command(epilog=example("edge", "request --config gateway.yaml"))
def request(
    *,
    config: ConfigOption = GATEWAY_YAML,
    renew: Annotated[bool, typer.Option(help="For the key that is there, before its certificate ends.")] = False,
) -> None:
    """Make a key, and ask for its certificate.

    The key never leaves this gateway; the request goes to whoever runs the cloud.
    """
    from edge import identity  # noqa: PLC0415 -- the agent never loads cryptography

    with _identity_errors_said():
        ours = identity.find_identity(config)
        key = identity.make_request(ours, renew=renew)
        typer.echo(f"{'key of' if renew else 'key made for'} {ours.gateway}: {ours.key_file}, which stays here")
        typer.echo(f"  SHA-256 {in_pairs(key)}")
        sign = command("cloud", f"gateway sign {ours.request_file.name}")
        typer.echo(f"request: {ours.request_file}: bring it to the cloud, and type there: {sign}")


@app.command(epilog=example("edge", "accept gw-7.crt --config gateway.yaml"))
def accept(
    file: Annotated[Path, typer.Argument(help='What "cloud gateway sign" made of the request.')],
    config: ConfigOption = GATEWAY_YAML,
) -> None:
    """Put a signed certificate in place.

    After a look whether it is for this gateway, its key and this time.
    """
    from edge import identity  # noqa: PLC0415 -- as above

    with _identity_errors_said():
        ours = identity.find_identity(config)
        accepted = identity.accept(ours, file, now_ms=SystemClock().now_ms())
        typer.echo(f"{ours.gateway}: certificate in place, valid until {accepted.valid_until:%Y-%m-%d}")
        typer.echo(f"  of the authority with SHA-256 {in_pairs(accepted.authority)}")
        if ours.is_configured:
            typer.echo("the agent takes it at its next connection")
            return
        files = {"ca_file": ours.ca_file, "certificate_file": ours.certificate_file, "key_file": ours.key_file}
        named = ", ".join(f"{setting}: {path}" for setting, path in files.items())
        typer.echo(f"in the section broker of {config}, in place of username, password_file, port and tls:")
        typer.echo(f"  port: 8884\n  tls: {{{named}}}")


@contextmanager
def _identity_errors_said() -> Iterator[None]:
    from edge import identity  # noqa: PLC0415 -- as above

    try:
        yield
    except ConfigError as error:
        fail(str(error), code=2)
    except identity.IdentityError as error:
        fail(str(error), code=1)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", code=1)
