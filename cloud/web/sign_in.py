"""Signing in and out, the first visit by a one-time link, and one's own account: password, sessions, language, look."""

import structlog
from fastapi import APIRouter
from fastapi.responses import Response

from cloud.api.sessions import clear_cookie, is_encrypted, is_private, set_cookie
from cloud.registry import sign_in as domain
from cloud.registry.passwords import WeakPasswordError
from cloud.registry.person import Person
from cloud.web.attempts import Attempts
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

router = APIRouter()
_log = structlog.get_logger()

YEAR_S = 31_536_000
MAX_LOGIN, MAX_CODE = 64, 100
WEAK = {
    "short": N_("The password needs at least 10 characters."),
    "long": N_("The password may have 128 characters at most."),
    "login": N_("The password must not be your login name."),
}
WRONG = N_("Login or password is wrong.")
USED_UP = N_("This link has been used or has expired. Ask your administrator for a new one.")


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
    login, password = str(form.get("login", ""))[:MAX_LOGIN].strip().lower(), str(form.get("password", ""))
    following = local_path(str(form.get("next", "")))
    if not is_private(page.request):
        return _sign_in_form(page, following, login=login, status=403)
    wait_s = _attempts(page).wait_s(_address(page))
    if wait_s:
        problem = page._("Too many attempts. Wait %(duration)s.") % {"duration": page.formats.duration(wait_s * 1000)}
        return _sign_in_form(page, following, login=login, problem=problem, status=429)
    kept = await page.read(lambda connection: domain.find_credentials(connection, login))
    if kept.locked_until is not None and kept.locked_until > page.now_ms:
        return _sign_in_form(page, following, login=login, problem=_locked(page, kept.locked_until), status=429)
    if not await page.services.passwords.is_right(kept.password, password):
        return await _wrong(page, following, login, is_known=kept.password is not None)
    person = await page.write(lambda connection: domain.note_success(connection, login))
    return await _open_session(page, person, following) if person else _sign_in_form(page, following, problem=WRONG)


async def _wrong(page: Page, following: str, login: str, *, is_known: bool) -> Response:
    # What is typed as an unknown login may be a password in the wrong field.
    _log.warning("sign-in refused", login=login if is_known else "unknown", address=_address(page))
    locked_until = await page.write(lambda c: domain.note_failure(c, login, now_ms=page.now_ms))
    problem = _locked(page, locked_until) if locked_until else page._(WRONG)
    return _sign_in_form(page, following, login=login, problem=problem, status=401)


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
    code, password = str(form.get("code", ""))[:MAX_CODE].strip(), str(form.get("password", ""))
    if not is_private(page.request):
        return _welcome_form(page, code, problem="", status=403)
    if wait_s := _attempts(page).wait_s(_address(page)):
        problem = page._("Too many attempts. Wait %(duration)s.") % {"duration": page.formats.duration(wait_s * 1000)}
        return _welcome_form(page, code, problem=problem, status=429)
    owner = await page.read(lambda connection: domain.whose_link(connection, code, now_ms=page.now_ms))
    if owner is None:
        return _welcome_form(page, "", problem=page._(USED_UP), status=410)
    try:
        hashed = await page.services.passwords.hash(password, owner.login) if password else None
    except WeakPasswordError as error:
        return _welcome_form(page, code, problem=page._(WEAK[error.reason]), status=422)
    person = await page.write(lambda connection: domain.use_link(connection, code, now_ms=page.now_ms))
    if person is None:
        return _welcome_form(page, "", problem=page._(USED_UP), status=410)
    if hashed is not None:
        await page.write(lambda c: domain.set_password(c, person.login, hashed, now_ms=page.now_ms))
    return await _open_session(page, person, home_of(person.roles))


def _welcome_form(page: Page, code: str, *, problem: str, status: int) -> Response:
    is_safe = is_private(page.request)
    return page.render("sign_in/welcome.html", status=status, problem=problem, code=code, is_safe=is_safe)


async def _open_session(page: Page, person: Person, following: str) -> Response:
    agent = page.request.headers.get("User-Agent", "")
    secret = await page.write(
        lambda connection: domain.open_session(connection, person.login, agent=agent, now_ms=page.now_ms)
    )
    _log.info("signed in", login=person.login, address=_address(page))
    response = page.go_to(home_of(person.roles) if following == "/" else following)
    set_cookie(page.request, response, secret)
    return response


@router.post("/sign-out")
async def sign_out(page: SignedInPage) -> Response:
    """End this session, and let the browser forget what it kept for working offline."""
    if page.session is not None:
        number, login = page.session.id, page.person.login
        await page.write(lambda connection: domain.end_session(connection, number, login=login, now_ms=page.now_ms))
    response = page.go_to("/sign-in")
    clear_cookie(page.request, response)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@router.get("/account")
async def show_account(page: SignedInPage) -> Response:
    """Show who one is, and what one can set."""
    return await _account(page)


@router.post("/account/password")
async def change_password(page: SignedInPage) -> Response:
    """Choose a new password; sessions elsewhere end."""
    form, login = await page.form(), page.person.login
    kept = await page.read(lambda connection: domain.find_credentials(connection, login))
    if kept.password is not None:
        if wait_s := _attempts(page).wait_s(_address(page)):
            words = page._("Too many attempts. Wait %(duration)s.")
            return await _account(page, words % {"duration": page.formats.duration(wait_s * 1000)}, status=429)
        if not await page.services.passwords.is_right(kept.password, str(form.get("present", ""))):
            return await _account(page, page._("The present password is wrong."), status=422)
    try:
        hashed = await page.services.passwords.hash(str(form.get("password", "")), login)
    except WeakPasswordError as error:
        return await _account(page, page._(WEAK[error.reason]), status=422)
    mine = page.session.id if page.session else None
    await page.write(lambda connection: domain.set_password(connection, login, hashed, now_ms=page.now_ms))
    await page.write(lambda connection: domain.end_sessions(connection, login, now_ms=page.now_ms, but=mine))
    return page.go_to("/account?done=password")


@router.post("/account/sessions/{number}")
async def end_session(page: SignedInPage, number: int) -> Response:
    """End one of one's own sessions."""
    login = page.person.login
    await page.write(lambda connection: domain.end_session(connection, number, login=login, now_ms=page.now_ms))
    return page.go_to("/account")


async def _account(page: Page, problem: str = "", *, status: int = 200) -> Response:
    login = page.person.login
    known = await page.read(lambda connection: domain.sessions_of(connection, login, now_ms=page.now_ms))
    has_password = await page.read(lambda connection: domain.has_password(connection, login))
    return page.render(
        "sign_in/account.html", status=status, sessions=known, has_password=has_password, problem=problem
    )


@router.post("/language")
async def choose_language(page: AnyPage) -> Response:
    """Remember the language that was chosen, and go back."""
    form = await page.form()
    language = Language.EN if form.get("language") == Language.EN else Language.ZH
    return _remember(page, LANGUAGE_COOKIE, language, str(form.get("next", "")))


@router.post("/theme")
async def choose_theme(page: AnyPage) -> Response:
    """Remember light, dark, or as the machine has it, and go back."""
    form = await page.form()
    theme = str(form.get("theme"))
    return _remember(page, THEME_COOKIE, theme if theme in THEMES else "auto", str(form.get("next", "")))


def _remember(page: Page, name: str, value: str, following: str) -> Response:
    response = page.go_to(local_path(following))
    response.set_cookie(name, value, max_age=YEAR_S, secure=is_encrypted(page.request), httponly=True, samesite="lax")
    return response


def _address(page: Page) -> str:
    return page.request.client.host if page.request.client else ""


def _attempts(page: Page) -> Attempts:
    state = page.request.app.state
    if not hasattr(state, "attempts"):
        state.attempts = Attempts()
    attempts: Attempts = state.attempts
    return attempts
