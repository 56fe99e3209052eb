"""One page that somebody asked for: who they are, in which language, at what time; and how it is rendered.

A view asks for the page of those who may see it, `OperatorPage` say; anybody else is answered 404, because for them it
does not exist, and somebody who is not signed in is sent to do that first. A page that is posted to was checked to come
from a page of ours.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import jinja2
from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection
from starlette.datastructures import FormData

from cloud.api.services import Services, ServicesHere
from cloud.api.sessions import (
    CSRF_HEADER,
    SAFE_METHODS,
    is_csrf_token,
    is_from_elsewhere,
    make_csrf_token,
    secret_of,
)
from cloud.registry.person import Person, Role
from cloud.registry.sign_in import NOTE_EVERY_MS, Session, find_session, note_use
from cloud.web.assets import asset_url
from cloud.web.formats import Formats
from cloud.web.navigation import Item, items_for
from cloud.web.words import Language, Words, heading, words

T = TypeVar("T")
TEMPLATES = Path(__file__).parent / "templates"
LANGUAGE_COOKIE, THEME_COOKIE = "language", "theme"
THEMES = ("auto", "light", "dark")
MAX_FIELDS, MAX_FILES = 2000, 1
MAX_PATH = 2000
OTHER_CHARSET = re.compile(r"charset(?!\s*=\s*\"?utf-8\"?\s*(?:;|\Z))", re.IGNORECASE)


class SignInFirstError(Exception):
    """Nobody is signed in, and the page is for somebody; `path` is where they wanted to go."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Page:
    """What a view works with, and what templates see as `page`."""

    def __init__(self, request: Request, services: Services, session: Session | None) -> None:
        self.request, self.services, self.session = request, services, session
        self.now_ms = services.clock.now_ms()
        self.language = Language.EN if request.cookies.get(LANGUAGE_COOKIE) == Language.EN else Language.ZH
        theme = request.cookies.get(THEME_COOKIE, "")
        self.theme = theme if theme in THEMES else "auto"
        self.words: Words = words(self.language)
        self.formats = Formats(self.words, services.timezone, self.now_ms)

    @property
    def person(self) -> Person:
        """Who is signed in; on a page for anybody ask `session` first."""
        if self.session is None:
            raise SignInFirstError(self.path)
        return self.session.person

    @property
    def path(self) -> str:
        """Path and query of this page, to come back to."""
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")

    @cached_property
    def csrf(self) -> str:
        """The token that forms of this page send along."""
        secret = secret_of(self.request)
        return make_csrf_token(secret) if secret and self.session else ""

    @cached_property
    def navigation(self) -> list[Item]:
        """The pages that this person can go to."""
        return items_for(self.session.person.roles) if self.session else []

    def may(self, *roles: Role) -> bool:
        """Whether the person has one of these roles, or every one as an administrator."""
        return self.session is not None and bool(self.session.person.roles & {*roles, Role.ADMIN})

    def _(self, source: str) -> str:
        """Return a source text in the language of the page."""
        return self.words.text(source)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Ask the database. Raises DatabaseError."""
        return await self.services.database.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Change the database in one transaction. Raises DatabaseError."""
        return await self.services.database.write(work)

    async def form(self) -> FormData:
        """Return the fields and the file that were posted; answers 400 to texts that are not UTF-8, as all of ours are.

        Python has codecs that fail in many ways, and that make texts which can be neither written nor kept.
        """
        if OTHER_CHARSET.search(self.request.headers.get("Content-Type", "")):
            raise HTTPException(400, "send forms as UTF-8")
        return await self.request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS)

    def render(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """Return the page made from a template; `context` are its variables."""
        text = _environment(self.language).get_template(template).render(page=self, **context)
        return HTMLResponse(text, status, headers={"Cache-Control": "private, no-cache"})

    def go_to(self, path: str) -> Response:
        """Send the browser to another page of ours after a form was posted."""
        return RedirectResponse(path, 303)


async def _open(request: Request, services: ServicesHere) -> AsyncIterator[Page]:
    """Give the page for whoever asks, signed in or not; files that were posted are closed after it."""
    secret, now_ms = secret_of(request), services.clock.now_ms()
    session = None
    if secret is not None:
        session = await services.database.read(lambda connection: find_session(connection, secret, now_ms=now_ms))
    if session is not None and abs(now_ms - session.seen_at) > NOTE_EVERY_MS:  # also after a clock that was ahead
        number = session.id
        await services.database.write(lambda connection: note_use(connection, number, now_ms=now_ms))
    page = Page(request, services, session)
    try:
        if request.method not in SAFE_METHODS:
            await _check_origin(page, secret)
        yield page
    finally:
        await request.close()


async def _check_origin(page: Page, secret: str | None) -> None:
    """Answer 403 to what was not sent from a page of ours."""
    if is_from_elsewhere(page.request):
        raise HTTPException(403, "sent from another site")
    if page.session is None or secret is None:
        return
    token = page.request.headers.get(CSRF_HEADER) or str((await page.form()).get("csrf", ""))
    if not is_csrf_token(secret, token):
        raise HTTPException(403, "the page was too old: load it again")


AnyPage = Annotated[Page, Depends(_open)]
"""For anybody; `page.session` says whether somebody is signed in."""


def _for_roles(*roles: Role) -> Callable[[Page], Awaitable[Page]]:
    async def check(page: AnyPage) -> Page:
        person = page.person
        if roles and not person.roles & {*roles, Role.ADMIN}:
            raise HTTPException(404)
        return page

    return check


SignedInPage = Annotated[Page, Depends(_for_roles())]
OrdersPage = Annotated[Page, Depends(_for_roles(Role.WORKER, Role.OPERATOR))]
WorkerPage = Annotated[Page, Depends(_for_roles(Role.WORKER))]
OperatorPage = Annotated[Page, Depends(_for_roles(Role.OPERATOR))]
InstallerPage = Annotated[Page, Depends(_for_roles(Role.INSTALLER))]
EquippingPage = Annotated[Page, Depends(_for_roles(Role.INSTALLER, Role.OPERATOR))]
"""For those who see gateways and what arrived from them."""


def local_path(text: str | None) -> str:
    """Return a path on this site that a form or link named; / for anything else, so that nobody is sent away."""
    is_ours = text is not None and text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if text and is_ours and text.isprintable() and len(text) <= MAX_PATH else "/"


def sign_in_path(path: str) -> str:
    """Return where to sign in, to come back to `path`."""
    return "/sign-in" if path == "/" else f"/sign-in?next={quote(path, safe='/')}"


@cache
def _environment(language: Language) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.install_gettext_translations(words(language).translations, newstyle=True)  # type: ignore[attr-defined]  # the i18n extension adds it
    environment.globals.update(_constants(language))
    environment.filters["heading"] = heading
    return environment


def _constants(language: Language) -> Mapping[str, Any]:
    return {"asset": asset_url, "words": words(language), "Role": Role}
