"""``simulate camera``: one camera that is asked, which sees something now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Final

import typer

from edge.contract.config_file import nearest
from edge.contract.listening import ListenError
from simulators.camera import rubbish_picture
from simulators.cameras.dahua import DahuaCamera
from simulators.cameras.faults import CameraFault
from simulators.cameras.hikvision import HikvisionCamera
from simulators.cameras.onvif import OnvifCamera
from simulators.stopping import run_until_stopped

FAULTS: Final = {fault.word: fault for fault in CameraFault}
HELP: Final = "\n".join(
    [
        "Serve one camera, as its brand speaks, which sees something now and then.",
        "",
        "\b",
        *(f"  {word:<16}{fault.value}" for word, fault in FAULTS.items()),
    ]
)


class Brand(Enum):
    """The brands that can be simulated."""

    HIKVISION, DAHUA, ONVIF = "hikvision", "dahua", "onvif"


KINDS: Final = {
    Brand.HIKVISION: "fielddetection",
    Brand.DAHUA: "CrossRegionDetection",
    Brand.ONVIF: "RuleEngine/CellMotionDetector/Motion",
}
Camera = HikvisionCamera | DahuaCamera | OnvifCamera


def main(
    brand: Annotated[Brand, typer.Option(help="What it speaks.")],
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port on 127.0.0.1; 0 takes a free one.")] = 8090,
    kind: Annotated[str, typer.Option(help="What it sees, in the brand's words; usual: somebody in a region.")] = "",
    every: Annotated[float, typer.Option(min=0.1, help="Seconds from one sight to the next; each lasts half.")] = 20.0,
    faults: Annotated[
        list[str] | None, typer.Option("--fault", metavar="FAULT", help="What is wrong with it; repeatable.")
    ] = None,
) -> None:
    """Serve one camera until stopped."""
    camera = made(brand, port)
    for word in faults or []:
        if word not in FAULTS:
            typer.echo(f'no fault "{word}"{nearest(word, FAULTS)}; there are {", ".join(FAULTS)}', err=True)
            raise typer.Exit(2)
        camera.faults.add(FAULTS[word])
    try:
        asyncio.run(run_until_stopped(_serve(camera, brand, kind or KINDS[brand], every_s=every)))
    except ListenError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def made(brand: Brand, port: int) -> Camera:
    """Return a camera of a brand."""
    kinds: dict[Brand, Callable[..., Camera]] = {
        Brand.HIKVISION: HikvisionCamera,
        Brand.DAHUA: DahuaCamera,
        Brand.ONVIF: OnvifCamera,
    }
    return kinds[brand](port=port)


async def _serve(camera: Camera, brand: Brand, kind: str, *, every_s: float) -> None:
    async with camera:
        typer.echo(f"{brand.value} at {camera.url}, user {camera.username}, password {camera.password}")
        typer.echo(f"beside gateway.yaml: (umask 077; echo {camera.password} > camera.password); in it:\n")
        typer.echo(written(brand, kind, camera) + "\n")
        while True:
            await asyncio.sleep(every_s / 2)
            _see(camera, kind, is_over=False)
            typer.echo(f"{kind} begins ({camera.connections} requests were let in)")
            await asyncio.sleep(every_s / 2)
            _see(camera, kind, is_over=True)
            typer.echo(f"{kind} is over")


def written(brand: Brand, kind: str, camera: Camera) -> str:
    """Return what gateway.yaml needs to have."""
    login = f"{{url: {camera.url}, username: {camera.username}, password_file: camera.password}}"
    return f"""\
cameras:
  - id: simulated
    purpose: to try out a camera
    sign: none, it is simulated
    brand: {brand.value}
    classes: [CAM.GARBAGE]
    map: {{{kind}: CAM.GARBAGE}}
    pull: {login}{"   # or push: with camera_listener" if brand is Brand.ONVIF else ""}"""


def _see(camera: Camera, kind: str, *, is_over: bool) -> None:
    if isinstance(camera, OnvifCamera):
        camera.see(kind, is_over=is_over)
    else:
        camera.see(kind, is_over=is_over, picture=None if is_over else rubbish_picture())
