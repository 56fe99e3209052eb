"""The forms of an order, sent as a browser without JavaScript would, and as the queue of a phone does."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx
from msgspec.structs import replace
from sqlalchemy import select

from cloud.workorders.tables import orders, transitions
from edge.contract.messages import EventState, Severity
from tests.cloud.api.callers import JPEG, record
from tests.cloud.web.conftest import Site
from tests.cloud.workorders.samples import flood, with_pictures

CODE = "WO-000001"
PATH = f"/orders/{CODE}"
PHOTO = {"photo": ("photo.jpg", JPEG + b" of the result", "image/jpeg")}


class Form:
    """One form: where it is posted to, and what its fields hold."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.action, self.to = attributes["action"], attributes.get("data-to", "")
        self.fields: dict[str, str] = {}


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(attributes)
            self.found.append(self._open)
        elif tag == "input" and self._open is not None and attributes.get("type") == "hidden":
            self._open.fields[attributes["name"]] = attributes.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


def forms_of(text: str) -> list[Form]:
    """Return the forms that a page shows; those in templates are for scripts."""
    parser = _Forms()
    parser.feed(re.sub(r"<template.*?</template>", "", text, flags=re.DOTALL))
    return parser.found


def steps_of(text: str) -> dict[str, Form]:
    """Return the forms of an order's page that move it on, by where to."""
    return {form.to: form for form in forms_of(text) if form.to}


async def step(site: Site, login: str, code: str, target: str, *, files: Any = None, **typed: str) -> httpx.Response:
    """Open an order's page, fill in the form of a step and send it."""
    form = steps_of(await site.see(login, f"/orders/{code}"))[target]
    return await send(site, login, form, files=files, **typed)


async def send(site: Site, login: str, form: Form, *, files: Any = None, **typed: str) -> httpx.Response:
    """Send a form of a page that was opened before."""
    fields = {name: value for name, value in {**form.fields, **typed}.items() if name != "csrf"}
    return await site.post(login, form.action, fields, token=form.fields["csrf"], files=files)


def open_camera_order(site: Site, *pictures: str) -> None:
    """Let a camera report rubbish: a person has to accept that."""
    [event] = flood(EventState.CONFIRMED, event_id="c" * 32)
    seen = replace(event, class_code="CAM.GARBAGE", device="camera-1", point="", value=None, unit="", readings=[])
    record(site.database, with_pictures(replace(seen, severity=Severity.BLUE, threshold=None), *pictures))


async def walk(site: Site, *steps: tuple[str, str]) -> None:
    """Take plain steps of the first order."""
    for login, to in steps:
        assert (await step(site, login, CODE, to)).status_code == 303


def stored(site: Site) -> Any:
    """Return the first order as it is."""
    return site.database.read_now(lambda c: c.execute(select(orders).where(orders.c.id == 1)).one())


def taken(site: Site) -> list[Any]:
    """Return the steps of the first order."""
    wanted = select(transitions).where(transitions.c.order == 1).order_by(transitions.c.version)
    return list(site.database.read_now(lambda c: c.execute(wanted).all()))


async def queued(site: Site, login: str, form: dict[str, str], *, files: Any = None) -> httpx.Response:
    """Send a step as the queue of a phone does."""
    headers = {
        "Cookie": f"language=en; anlan={site.secrets[login]}",
        "Accept": "application/json",
        "X-CSRF-Token": await site.token(login),
    }
    return await site.client.post(f"{PATH}/move", data=form, files=files, headers=headers)
