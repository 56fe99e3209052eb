"""`edge plan`: whether the lines can carry what gateway.yaml asks for."""

from __future__ import annotations

import json

import typer

from edge.bus_load import buses_of, load_of
from edge.cli import plan_text
from edge.cli.settings import GATEWAY_YAML, ConfigOption, JsonOption, group, load, refuse_overload
from edge.contract.program import example

app = group()


@app.command(name="plan", epilog=example("edge", "plan --config gateway.yaml"))
def show_plan(
    *,
    config: ConfigOption = GATEWAY_YAML,
    as_json: JsonOption = False,
) -> None:
    """Say whether the lines can carry it.

    Every request, what it takes, and how busy each line is; nothing is connected.
    """
    settings = load(config, fits=False)
    loads = [load_of(bus) for bus in buses_of(settings)]
    if as_json:
        typer.echo(json.dumps(plan_text.as_plain(loads), ensure_ascii=False, indent=2))
    else:
        for line in plan_text.described(loads):
            typer.echo(line)
    refuse_overload(settings, config)
