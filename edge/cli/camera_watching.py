"""What `edge cameras` does. The agent has the same command line and never does: this is loaded when it is needed."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import signal
import sys
from pathlib import Path
from shlex import quote
from typing import Final

import typer

from edge.camera_file import MOST_BYTES, read_saved
from edge.camera_outcomes import Became
from edge.camera_watch import CameraWatch, PictureFolder, PicturesError, Seen, is_posting
from edge.cli import camera_watch_text
from edge.cli.settings import fail
from edge.contract import log
from edge.contract.clock import SystemClock
from edge.contract.gateway_config import GatewayConfig
from edge.contract.program import command
from edge.drivers import ConfigurationError
from edge.drivers.cameras import Refused
from edge.timeline import Timeline

WRONG: Final = (Became.REFUSED, Became.TURNED_AWAY, Became.LOST, Became.SILENT)


def watch_and_show(
    config: GatewayConfig,
    cameras: list[str],
    path: Path,
    *,
    seconds: float | None,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Watch until the end, and sum up; ends with 1 when nothing of a camera was taken. Raises ConfigurationError."""
    watched = _open(config, cameras, pictures=pictures, as_json=as_json)
    try:
        asyncio.run(_watch(watched, seconds))
        _sum_up(watched, as_json=as_json)
    except ConfigurationError as error:
        fail(_of_the_listener(error, config, cameras, path), code=1)
    except BrokenPipeError:
        raise
    except OSError as error:
        _give_up_output()
        fail(f"what comes cannot be written: {error.strerror}", code=1)
    if failed := camera_watch_text.failures(watched):
        fail(failed, code=1)


def show_file(
    config: GatewayConfig,
    cameras: list[str],
    path: Path,
    *,
    content_type: str,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Show what a saved message would become; ends with 1 where it is refused. Raises ConfigurationError."""
    if len(cameras) != 1:
        fail(f"say which camera has sent {path} ({', '.join(cameras)})", code=2)
    if not content_type.isascii():
        fail(f'--type "{content_type}": as it stands in the head of the message, such as application/json', code=2)
    watched = _open(config, cameras, pictures=pictures, as_json=as_json)
    try:
        with path.open("rb") as file:
            saved = file.read(MOST_BYTES + 1)
    except OSError as error:
        fail(f"{path}: {error.strerror}", code=2)
    [tally] = watched.tallies.values()
    asyncio.run(_take(watched, cameras[0], saved, content_type))
    if not tally.kinds and not tally.heartbeats and not tally.refused:
        typer.echo(f"{path}: nothing in it is of interest", err=True)
    if tally.refused:
        raise typer.Exit(1)


def _open(config: GatewayConfig, cameras: list[str], *, pictures: Path | None, as_json: bool) -> CameraWatch:
    log.configure(as_json=False, level=logging.ERROR)  # the rest is shown, and better
    try:
        folder = PictureFolder(pictures) if pictures is not None else None
    except PicturesError as error:
        fail(str(error), code=2)
    show = _show_plain if as_json else _show_line
    return CameraWatch(config, cameras, clock=Timeline(SystemClock()), show=show, pictures=folder)


async def _take(watched: CameraWatch, camera: str, saved: bytes, content_type: str) -> None:
    try:
        sightings = read_saved(watched.cameras[camera], saved, content_type=content_type)
    except Refused as refused:
        watched.refuse(camera, refused)
    else:
        await watched.take(camera, sightings)


async def _watch(watched: CameraWatch, seconds: float | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, watched.stop)
    await watched.run(seconds=seconds, begin=lambda: _begin(watched, seconds))


def _begin(watched: CameraWatch, seconds: float | None) -> None:
    for camera in watched.cameras.values():
        for line in camera_watch_text.waiting(camera, watched.config):
            typer.echo(f"{camera.id}: {line}", err=True)
    until = "Ctrl-C ends it" if seconds is None else f"for {seconds:g} s; Ctrl-C ends it early"
    typer.echo(f"what comes now is only shown: nothing is kept, nothing goes to the cloud; {until}", err=True)


def _sum_up(watched: CameraWatch, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(camera_watch_text.plain_summary(watched), ensure_ascii=False))
        return
    for line in camera_watch_text.summary(watched):
        typer.echo(line)


def _show_line(seen: Seen) -> None:
    if shown := camera_watch_text.line(seen):
        typer.secho(shown, fg="red" if seen.became in WRONG else None)  # where a terminal is


def _show_plain(seen: Seen) -> None:
    typer.echo(json.dumps(camera_watch_text.plain(seen), ensure_ascii=False))


def _give_up_output() -> None:
    """Let nothing that waits to be written be tried once more at the end."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _of_the_listener(error: ConfigurationError, config: GatewayConfig, cameras: list[str], path: Path) -> str:
    """Say why nothing can listen, and what can be done while the gateway itself has the port."""
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "errno", None) != errno.EADDRINUSE:
        cause = cause.__cause__
    if cause is None:
        return str(error)
    others = [one.id for one in config.cameras if one.id in cameras and not is_posting(one)]
    words = [
        str(error),
        "if that is the gateway itself: systemctl stop anlan-edge, and start it again afterwards",
        "its log says what it refuses: journalctl -u anlan-edge",
    ]
    if others:
        beside = command("edge", "cameras", *others, "--config", quote(str(path)))
        words.append(f"cameras that do not post can be watched beside it: {beside}")
    return "\n".join(words)
