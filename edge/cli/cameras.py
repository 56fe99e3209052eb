"""`edge cameras`: what cameras send, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.cli.settings import GATEWAY_YAML, ConfigOption, JsonOption, fail, group, load
from edge.contract.program import example
from edge.drivers import ConfigurationError

app = group()


@app.command(name="cameras", epilog=example("edge", "cameras gate --seconds 120 --config gateway.yaml"))
def cameras(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of cameras; without any, every camera.", metavar="CAMERA...")
    ] = None,
    *,
    config: ConfigOption = GATEWAY_YAML,
    seconds: Annotated[float | None, typer.Option(min=1, help="End after so many seconds.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Instead of listening: a message that was saved, its body or all of it.")
    ] = None,
    content_type: Annotated[
        str, typer.Option("--type", help="Of FILE: its Content-Type, of Frigate its topic; else it is guessed.")
    ] = "",
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save pictures there as they would leave the gateway, masked.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what cameras send, and what becomes of it.

    Until Ctrl-C, which sums up. What comes meanwhile is only shown: nothing is kept, nothing goes to the cloud. Where
    cameras post, stop the gateway first (systemctl stop anlan-edge): only one can listen there.
    """
    from edge.cli.camera_watching import show_file, watch_and_show  # noqa: PLC0415 -- the agent never does

    if file is None and content_type:
        fail("--type says what --file is: without it there is nothing to say", code=2)
    if file is not None and seconds is not None:
        fail("--seconds is for listening, which --file does not do", code=2)
    settings = load(config)
    chosen = list(dict.fromkeys(ids or [camera.id for camera in settings.cameras]))
    if not chosen:
        fail(f"{config}: there are no cameras in it", code=2)
    try:
        if file is None:
            watch_and_show(settings, chosen, config, seconds=seconds, pictures=pictures, as_json=as_json)
        else:
            show_file(settings, chosen, file, content_type=content_type, pictures=pictures, as_json=as_json)
    except ConfigurationError as error:
        fail(f"{config}: {error}", code=2)
