"""The cloud's command line: `./anlan cloud` in a checkout, `anlan-cloud` where it is installed.

Exit codes: 0 all is well; 1 it did not work (the line on standard error says what and why); 2 a configuration file or
the command line must be changed.
"""

import typer

from cloud.cli import backup, gateway, people, registry, series, service, statement
from edge.contract.program import command, keep_files_private

app = typer.Typer(
    help="The cloud: keeps the history, turns events into work orders, answers the API.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # their tracebacks may show what was in the variables
)
for part in (service, people, registry, gateway, backup, series, statement):
    app.add_typer(part.app)


def main() -> None:
    """Run the command line."""
    keep_files_private()
    app(prog_name=command("cloud"))
