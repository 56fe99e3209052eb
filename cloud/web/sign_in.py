"""Signing in and out, the first visit by a one-time link, and one's own account: password, sessions, language, look."""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple

import structlog
from fastapi import APIRouter, Path
from fastapi.responses import Response
from sqlalchemy import Connection, select
from starlette.datastructures import FormData

from cloud.api.bounds import MAX_ID
from cloud.api.sessions import (
    clear_cookie,
    is_encrypted,
    is_known_browser,
    is_private,
    remember_browser,
    set_cookie,
)
from cloud.registry import sign_in as domain
from cloud.registry.passwords import WeakPasswordError
from cloud.registry.person import Person
from cloud.registry.tables import grids
from cloud.web.agents import agent_name
from cloud.web.attempts import SignInLimits
from cloud.web.navigation import home_of
from cloud.web.page import (
    LANGUAGE_COOKIE,
    THEME_COOKIE,
    THEMES,
    AnyPage,
    Page,
    SignedInPage,
    local_path,
)
from cloud.web.words import N_, Language
from edge.contract.messages import ID_PATTERN

router = APIRouter()
_log = structlog.get_logger()

YEAR_S = 31_536_000
MAX_LOGIN, MAX_CODE = 64, 100
WEAK = {
    "short": N_("The password needs at least 10 characters."),
    "long": N_("The password may have 128 characters at most."),
    "login": N_("The password must not be your login name."),
    "common": N_("This password is one of the first that anybody guesses."),
}
WRONG = N_("Login or password is wrong.")
USED_UP = N_("This link has been used or has expired. Ask your administrator for a new one.")


class Refusal(NamedTuple):
    """Why a password was not taken, in words, and the status that says it."""

    problem: str
    status: int


@router.get("/sign-in")
async def show_sign_in(page: AnyPage) -> Response:
    """Show the form, or go on when somebody is signed in already."""
    following = local_path(page.request.query_params.get("next"))
    if page.session is not None:
        return page.go_to(following)
    return _sign_in_form(page, following)


@router.post("/sign-in")
async def sign_in(page: AnyPage) -> Response:
    """Open a session for the right password; otherwise say so, and lock the login after several wrong ones."""
    form = await page.form()
    login, password = _text(form, "login")[:MAX_LOGIN].strip().lower(), _text(form, "password")
    following = local_path(_text(form, "next"))
    if not is_private(page.request):
        return _sign_in_form(page, following, login=login, status=403)
    wrong = Refusal(page._(WRONG), 401)
    found = await _compare(page, login, password, wrong=wrong)
    if isinstance(found, str):
        entered = await _enter(page, following, partial(domain.note_success, login=login, password_hash=found))
        if entered is not None:
            return entered
        found = wrong  # removed, or given another password, at this moment
    return _sign_in_form(page, following, login=login, problem=found.problem, status=found.status)


async def _compare(page: Page, login: str, password: str, *, wrong: Refusal) -> str | Refusal:
    """Compare a password with what is kept of a login; return the hash that it fits, or why it is not taken."""
    if wait_s := _limits(page).addresses.wait_s(_address(page)):
        return _too_many(page, wait_s)
    is_login = re.match(ID_PATTERN, login) is not None
    kept = await page.read(lambda connection: domain.find_password(connection, login)) if is_login else None
    if kept is None:
        attempt = _limits(page).unknown.begin_attempt(login, now_ms=page.now_ms)
    elif is_known_browser(page.request, kept):
        # What others guess does not lock out who came in from here before.
        if wait_s := _limits(page).known_browsers.wait_s(login):
            return _too_many(page, wait_s)
        attempt = domain.Attempt(password=kept)
    else:
        attempt = await page.write(lambda c: domain.begin_attempt(c, login, now_ms=page.now_ms))
    is_right = not attempt.is_refused and await page.services.passwords.is_right(attempt.password, password)
    if is_right and attempt.password is not None:
        return attempt.password
    # What is typed as an unknown login may be a password in the wrong field.
    _log.warning("sign-in refused", login=login if kept else "unknown", address=_address(page))
    if attempt.locked_until is None:
        return wrong
    return Refusal(_locked(page, attempt.locked_until), 429 if attempt.is_refused else wrong.status)


def _too_many(page: Page, wait_s: float) -> Refusal:
    words = page._("Too many attempts. Wait %(duration)s.")
    return Refusal(words % {"duration": page.formats.duration(wait_s * 1000)}, 429)


def _locked(page: Page, until: int) -> str:
    words = page._("Too many wrong passwords. Wait %(duration)s, or ask for a one-time link.")
    return words % {"duration": page.formats.duration(until - page.now_ms)}


def _sign_in_form(page: Page, following: str, *, login: str = "", problem: str = "", status: int = 200) -> Response:
    is_safe = is_private(page.request)
    return page.render(
        "sign_in/sign_in.html", status=status, following=following, login=login, problem=problem, is_safe=is_safe
    )


@router.get("/welcome")
async def show_welcome(page: AnyPage) -> Response:
    """Show the page that a one-time link opens; its code is after the #, where only the browser sees it."""
    return page.render("sign_in/welcome.html", problem="", code="", is_safe=is_private(page.request))


@router.post("/welcome")
async def welcome(page: AnyPage) -> Response:
    """Use the link up and sign in; with a password if one was chosen."""
    form = await page.form()
    code, password = _text(form, "code")[:MAX_CODE].strip(), _text(form, "password")
    if not is_private(page.request):
        return _welcome_form(page, code, problem="", status=403)
    if wait_s := _limits(page).addresses.wait_s(_address(page)):
        return _welcome_form(page, code, problem=_too_many(page, wait_s).problem, status=429)
    owner = await page.read(lambda connection: domain.whose_link(connection, code, now_ms=page.now_ms))
    if owner is None:
        return _welcome_form(page, "", problem=page._(USED_UP), status=410)
    try:
        hashed = await page.services.passwords.hash(password, owner.login) if password else None
    except WeakPasswordError as error:
        return _welcome_form(page, code, problem=page._(WEAK[error.reason]), status=422)
    entered = await _enter(page, "/", lambda c: domain.use_link(c, code, password_hash=hashed, now_ms=page.now_ms))
    return entered or _welcome_form(page, "", problem=page._(USED_UP), status=410)


def _welcome_form(page: Page, code: str, *, problem: str, status: int) -> Response:
    is_safe = is_private(page.request)
    return page.render("sign_in/welcome.html", status=status, problem=problem, code=code, is_safe=is_safe)


async def _enter(page: Page, following: str, who: Callable[[Connection], Person | None]) -> Response | None:
    """Open a session, in one transaction with what says whose; nothing when it says nobody."""
    agent, earlier = page.request.headers.get("User-Agent", ""), page.session

    def work(connection: Connection) -> tuple[Person, str, str | None] | None:
        person = who(connection)
        if person is None:
            return None
        if earlier is not None:
            domain.end_session(connection, earlier.id, login=earlier.person.login, now_ms=page.now_ms)
        secret = domain.open_session(connection, person.login, agent=agent, now_ms=page.now_ms)
        return person, secret, domain.find_password(connection, person.login)

    entered = await page.write(work)
    if entered is None:
        return None
    person, secret, kept = entered
    _log.info("signed in", login=person.login, address=_address(page))
    response = page.go_to(home_of(person.roles) if following == "/" else following)
    set_cookie(page.request, response, secret)
    if kept is not None:
        remember_browser(page.request, response, kept)
    return response


@router.post("/sign-out")
async def sign_out(page: SignedInPage) -> Response:
    """End this session, and let the browser forget the pages that it kept.

    Not its "storage": there wait the steps that a worker took without a network, until that person is back. The service
    worker forgets the pages that it keeps when this is posted.
    """
    if page.session is not None:
        number, login = page.session.id, page.person.login
        await page.write(lambda connection: domain.end_session(connection, number, login=login, now_ms=page.now_ms))
    response = page.go_to("/sign-in")
    clear_cookie(page.request, response)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@router.get("/account")
async def show_account(page: SignedInPage) -> Response:
    """Show who one is, and what one can set."""
    return await _account(page)


@router.post("/account/password")
async def change_password(page: SignedInPage) -> Response:
    """Choose a new password; sessions elsewhere end."""
    form, login = await page.form(), page.person.login
    if await page.read(lambda connection: domain.find_password(connection, login)) is not None:
        wrong = Refusal(page._("The present password is wrong."), 422)
        found = await _compare(page, login, _text(form, "present"), wrong=wrong)
        if isinstance(found, Refusal):
            return await _account(page, found.problem, status=found.status)
    try:
        hashed = await page.services.passwords.hash(_text(form, "password"), login)
    except WeakPasswordError as error:
        return await _account(page, page._(WEAK[error.reason]), status=422)
    mine = page.session.id if page.session else None

    def work(connection: Connection) -> None:
        domain.set_password(connection, login, hashed, now_ms=page.now_ms)
        domain.end_sessions(connection, login, now_ms=page.now_ms, but=mine)

    await page.write(work)
    response = page.go_to("/account?done=password")
    remember_browser(page.request, response, hashed)
    return response


@router.post("/account/sessions/{number}")
async def end_session(page: SignedInPage, number: Annotated[int, Path(ge=1, le=MAX_ID)]) -> Response:
    """End one of one's own sessions."""
    login = page.person.login
    await page.write(lambda connection: domain.end_session(connection, number, login=login, now_ms=page.now_ms))
    return page.go_to("/account")


async def _account(page: Page, problem: str = "", *, status: int = 200) -> Response:
    person = page.person
    known = await page.read(lambda connection: domain.sessions_of(connection, person, now_ms=page.now_ms))
    has_password = await page.read(lambda connection: domain.has_password(connection, person.login))
    named = select(grids.c.name).where(grids.c.code.in_(person.grids)).order_by(grids.c.code)
    return page.render(
        "sign_in/account.html",
        status=status,
        sessions=[(each, agent_name(each.agent)) for each in known],
        grids=await page.read(lambda connection: connection.scalars(named).all()),
        has_password=has_password,
        problem=problem,
    )


@router.post("/language")
async def choose_language(page: AnyPage) -> Response:
    """Remember the language that was chosen, and go back."""
    form = await page.form()
    language = Language.EN if form.get("language") == Language.EN else Language.ZH
    return _remember(page, LANGUAGE_COOKIE, language, _text(form, "next"))


@router.post("/theme")
async def choose_theme(page: AnyPage) -> Response:
    """Remember light, dark, or as the machine has it, and go back."""
    form = await page.form()
    theme = _text(form, "theme")
    return _remember(page, THEME_COOKIE, theme if theme in THEMES else "auto", _text(form, "next"))


def _remember(page: Page, name: str, value: str, following: str) -> Response:
    response = page.go_to(local_path(following))
    response.set_cookie(name, value, max_age=YEAR_S, secure=is_encrypted(page.request), httponly=True, samesite="lax")
    return response


def _address(page: Page) -> str:
    return page.request.client.host if page.request.client else ""


def _text(form: FormData, name: str) -> str:
    """Return a field of a form; a file is none."""
    value = form.get(name)
    return value if isinstance(value, str) else ""


def _limits(page: Page) -> SignInLimits:
    state = page.request.app.state
    if not hasattr(state, "sign_in_limits"):
        state.sign_in_limits = SignInLimits()
    limits: SignInLimits = state.sign_in_limits
    return limits
