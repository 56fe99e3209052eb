"""The command line of the gateway: ``./anlan edge`` in a checkout, ``anlan-edge`` where it is installed.

Exit codes: 0 all is well; 1 it did not work (the line on standard error says what and why); 2 the configuration or the
command line must be changed.

One module for each group of commands.
"""

from __future__ import annotations

from edge.cli import backtest, cameras, identity, outbox, plan, profiles, reading, scan, service
from edge.cli.settings import group
from edge.contract.program import command, keep_files_private

app = group("The gateway: reads devices, judges, keeps, and sends to the cloud.")
for each in (service, outbox, plan, reading, cameras, scan, profiles, backtest, identity):
    app.add_typer(each.app)


def main() -> None:
    """Run the command line."""
    keep_files_private()
    app(prog_name=command("edge"))
