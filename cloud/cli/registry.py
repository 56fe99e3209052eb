"""Commands of the registry."""

from pathlib import Path
from typing import Annotated

import typer

from cloud.cli.shared import CLOUD_YAML, ConfigOption, count, errors_said
from cloud.config import load_cloud_config
from cloud.registry.load import load_registry
from cloud.registry.registry_file import RegistryFile
from cloud.start import open_database
from edge.contract.config_file import load_yaml
from edge.contract.program import example

app = typer.Typer()
registry_app = typer.Typer(help="Sites, grids, gateways, devices and people.", no_args_is_help=True)
app.add_typer(registry_app, name="registry")


@registry_app.command(epilog=example("cloud", "registry load registry.yaml --config cloud.yaml"))
def load(
    file: Path,
    *,
    config: ConfigOption = CLOUD_YAML,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would change.")] = False,
) -> None:
    """Bring the registry to what FILE says.

    Prints what changed; what is no longer there becomes inactive.
    """
    with errors_said(), open_database(load_cloud_config(config)) as database:
        registry = load_yaml(file, RegistryFile)
        changes = database.write_now(lambda connection: load_registry(connection, registry, keep=not dry_run))
        for change in changes:
            typer.echo(change)
        typer.echo(count(len(changes), "change") + (", none of them made" if dry_run else ""))
