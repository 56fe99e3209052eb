"""A camera that reports what it sees, as :mod:`edge.drivers.cameras.app` takes it: one form with JSON and a JPEG."""

from __future__ import annotations

import json
from importlib.resources import files

from simulators.web import Web


def rubbish_picture() -> bytes:
    """A JPEG (640 x 480, drawn for this project) of rubbish beside a bin."""
    return files("simulators.scenarios").joinpath("rubbish.jpg").read_bytes()


async def post_trigger(port: int, *, camera: str, password: str, class_code: str, note: str, picture: bytes) -> str:
    """Post to the gateway's camera listener on loopback and return the id of the event; raises WebError."""
    event = json.dumps({"class": class_code, "note": note}).encode()
    form = {"event": ("event.json", event, "application/json"), "picture": ("picture.jpg", picture, "image/jpeg")}
    async with Web(f"http://127.0.0.1:{port}", sign_in=(camera, password)) as gateway:
        answer = await gateway.request("POST", "/v1/trigger", files=form)
    return str(answer.json()["event"])
