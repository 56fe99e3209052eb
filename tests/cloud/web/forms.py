"""The forms of a page, filled in and sent as a browser without JavaScript would."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx

from tests.cloud.web.conftest import Site


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
