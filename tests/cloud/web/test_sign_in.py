"""Signing in: by password, by one-time link; what keeps others out."""

import httpx
import pytest
from sqlalchemy import select

from cloud.registry.passwords import PasswordChecker
from cloud.registry.sign_in import IDLE_MS, LINK_HOURS, make_link, set_password
from cloud.registry.tables import people, sessions
from cloud.web.attempts import AT_ONCE, Attempts, SignInLimits
from tests.cloud.web.conftest import Site
from tests.cloud.workorders.samples import NOW

PASSWORD = "a quiet river in May"
HOUR_MS = 3_600_000


async def give_password(site: Site, login: str) -> None:
    hashed = await PasswordChecker().hash(PASSWORD, login)
    site.write(lambda connection: set_password(connection, login, hashed, now_ms=NOW))


def new_link(site: Site, login: str) -> str:
    code: str = site.write(lambda connection: make_link(connection, login, now_ms=NOW))
    return code


async def sign_in(site: Site, login: str, password: str) -> httpx.Response:
    """Try it in a browser that nobody is signed in to."""
    site.client.cookies.clear()
    return await site.client.post("/sign-in", data={"login": login, "password": password, "next": "/"})


async def follow(site: Site, code: str, password: str = "") -> httpx.Response:
    """Open a one-time link in such a browser."""
    site.client.cookies.clear()
    return await site.client.post("/welcome", data={"code": code, "password": password})


async def test_the_right_password_opens_a_session(site: Site) -> None:
    """A cookie that scripts cannot read, not sent from elsewhere, and the page that the role begins with."""
    await give_password(site, "wang")
    answer = await sign_in(site, "wang", PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/orders")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("anlan=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert (await site.client.get("/account")).status_code == 200


async def test_by_https_the_cookie_is_bound_to_host_and_encryption(site: Site) -> None:
    """Behind a proxy with TLS the cookie is Secure and no other host of the domain can set it."""
    await give_password(site, "wang")
    answer = await site.client.post(
        "https://anlan.example.org/sign-in", data={"login": "wang", "password": PASSWORD, "next": "/"}
    )
    assert answer.headers["set-cookie"].startswith("__Host-anlan=")
    assert "Secure" in answer.headers["set-cookie"]


async def test_nobody_signs_in_where_others_can_listen(site: Site) -> None:
    """By plain http from another machine there is no form, and a post of one opens nothing."""
    await give_password(site, "wang")
    assert "<form class=" not in (await site.client.get("http://anlan.example.org/sign-in")).text
    answer = await site.client.post(
        "http://anlan.example.org/sign-in", data={"login": "wang", "password": PASSWORD, "next": "/"}
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_wrong_password_and_an_unknown_login_look_the_same(site: Site) -> None:
    """Nobody learns from the answer who is here."""
    await give_password(site, "wang")
    wrong, unknown = await sign_in(site, "wang", "not this one"), await sign_in(site, "nobody", "not this one")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace("wang", "nobody") == unknown.text


async def test_wrong_passwords_lock_the_login_for_a_while(site: Site) -> None:
    """After five the right one is refused too, until the time is over; a one-time link still opens it."""
    await give_password(site, "wang")
    for _ in range(5):
        await sign_in(site, "wang", "not this one")
    assert (await sign_in(site, "wang", PASSWORD)).status_code == 429
    await site.clock.advance_to(NOW + 61_000)
    assert (await sign_in(site, "wang", PASSWORD)).status_code == 303
    assert (await sign_in(site, "wang", "not this one")).status_code == 401


async def test_a_link_unlocks(site: Site) -> None:
    """Whoever was locked out by somebody's guesses comes in by a link, and then by the password again."""
    await give_password(site, "wang")
    for _ in range(5):
        await sign_in(site, "wang", "not this one")
    answer = await follow(site, new_link(site, "wang"))
    assert answer.status_code == 303
    assert (await sign_in(site, "wang", PASSWORD)).status_code == 303


async def test_one_address_tries_only_so_often(site: Site) -> None:
    """Many logins from one address are slowed down before any password is compared."""
    site.app.state.sign_in_limits = SignInLimits()
    site.app.state.sign_in_limits.addresses = Attempts(lambda: 0.0)
    statuses = [(await sign_in(site, f"nobody{i}", "x")).status_code for i in range(AT_ONCE + 2)]
    assert statuses[:AT_ONCE] == [401] * AT_ONCE
    assert statuses[AT_ONCE:] == [429, 429]


def test_attempts_come_back_with_time() -> None:
    """An address that waited may try again; others never waited."""
    now = 0.0
    attempts = Attempts(lambda: now)
    assert [attempts.wait_s("a") for _ in range(AT_ONCE + 1)][-1] == 6.0
    assert attempts.wait_s("b") == 0
    now = 6.0
    assert attempts.wait_s("a") == 0


async def test_a_link_signs_in_once(site: Site) -> None:
    """The second use, and an expired one, say so; a link shows no code to the server in its address."""
    code = new_link(site, "sun")
    assert (await site.client.get("/welcome")).status_code == 200
    answer = await follow(site, code)
    assert (answer.status_code, answer.headers["location"]) == (303, "/gateways")
    assert (await follow(site, code)).status_code == 410
    late = new_link(site, "sun")
    await site.clock.advance_to(NOW + LINK_HOURS * HOUR_MS)
    assert (await follow(site, late)).status_code == 410


async def test_a_new_link_ends_the_earlier_one(site: Site) -> None:
    """Only the last link that was made works."""
    first, second = new_link(site, "sun"), new_link(site, "sun")
    assert (await follow(site, first)).status_code == 410
    assert (await follow(site, second)).status_code == 303


async def test_a_password_chosen_at_the_link_works_next_time(site: Site) -> None:
    """A weak one is refused and the link stays good; a good one signs in later."""
    code = new_link(site, "sun")
    weak = await follow(site, code, "short")
    assert weak.status_code == 422
    assert "10" in weak.text
    assert (await follow(site, code, PASSWORD)).status_code == 303
    assert (await sign_in(site, "sun", PASSWORD)).status_code == 303


@pytest.mark.parametrize("path", ["/account", "/sign-out"])
async def test_who_is_not_signed_in_does_that_first(site: Site, path: str) -> None:
    """They come back to where they wanted to go; a part of a page that htmx asks for says it to htmx."""
    answer = await (site.post(None, path) if path == "/sign-out" else site.visit(None, path))
    assert answer.status_code == 303
    assert answer.headers["location"] == ("/sign-in" if path == "/sign-out" else f"/sign-in?next={path}")
    assert (await site.client.get("/account", headers={"HX-Request": "true"})).headers["hx-redirect"]


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/a\r\nb: c"])
async def test_signing_in_never_leads_elsewhere(site: Site, path: str) -> None:
    """The place to go on to is a path of ours or nothing."""
    await give_password(site, "wang")
    answer = await site.client.post("/sign-in", data={"login": "wang", "password": PASSWORD, "next": path})
    assert answer.headers["location"] == "/orders"


async def test_a_form_from_elsewhere_changes_nothing(site: Site) -> None:
    """Without the page's token, with another session's, or sent by another site: 403, and the session goes on."""
    foreign = await site.token("li")
    assert (await site.post("wang", "/sign-out", token="")).status_code == 403
    assert (await site.post("wang", "/sign-out", token=foreign)).status_code == 403
    headers = {**site._headers("wang", "en"), "Sec-Fetch-Site": "cross-site"}
    answer = await site.client.post("/sign-out", data={"csrf": await site.token("wang")}, headers=headers)
    assert answer.status_code == 403
    headers = {**site._headers("wang", "en"), "Origin": "http://evil.example"}
    answer = await site.client.post("/sign-out", data={"csrf": await site.token("wang")}, headers=headers)
    assert answer.status_code == 403
    assert (await site.visit("wang", "/account")).status_code == 200


async def test_another_person_signs_in_in_the_same_browser(site: Site) -> None:
    """A link that is opened where somebody else is signed in works from its own page, and from no other site."""
    code = new_link(site, "sun")
    assert (await site.post("wang", "/welcome", {"code": code}, token="")).status_code == 403
    answer = await site.post("wang", "/welcome", {"code": code})
    assert answer.headers["location"] == "/gateways"


async def test_signing_out_ends_the_session(site: Site) -> None:
    """The cookie's secret opens nothing any more; the browser forgets pages, but not steps that were not sent yet."""
    answer = await site.post("wang", "/sign-out")
    assert answer.headers["clear-site-data"] == '"cache"'
    assert (await site.visit("wang", "/account")).status_code == 303


async def test_an_unused_session_ends(site: Site) -> None:
    """An operator's after half a day, a worker's phone not yet."""
    await site.clock.advance_to(NOW + IDLE_MS + 1)
    assert (await site.visit("chen", "/account")).status_code == 303
    assert (await site.visit("wang", "/account")).status_code == 200


async def test_who_is_removed_is_out_at_once(site: Site) -> None:
    """A person who is no longer active has no session, and their link does not work."""
    code = new_link(site, "wang")
    site.write(lambda c: c.execute(people.update().where(people.c.login == "wang").values(active=False)))
    assert (await site.visit("wang", "/account")).status_code == 303
    assert (await follow(site, code)).status_code == 410


async def test_a_new_password_ends_the_other_sessions(site: Site) -> None:
    """Whoever changes it stays; a wrong present one changes nothing."""
    await give_password(site, "wang")
    other = (await sign_in(site, "wang", PASSWORD)).headers["set-cookie"]
    site.client.cookies.clear()
    wrong = await site.post("wang", "/account/password", {"present": "x", "password": "another river in May"})
    assert wrong.status_code == 422
    changed = await site.post("wang", "/account/password", {"present": PASSWORD, "password": "another river in May"})
    assert changed.status_code == 303
    assert (await site.visit("wang", "/account")).status_code == 200
    cookie = other.partition(";")[0]
    assert (await site.client.get("/account", headers={"Cookie": cookie})).status_code == 303


async def test_one_ends_only_sessions_of_ones_own(site: Site) -> None:
    """The number of somebody else's session ends nothing."""
    numbers = dict(site.database.read_now(lambda c: c.execute(select(sessions.c.login, sessions.c.id)).all()))
    await site.post("wang", f"/account/sessions/{numbers['chen']}")
    assert (await site.visit("chen", "/account")).status_code == 200
    await site.post("wang", f"/account/sessions/{numbers['wang']}")
    assert (await site.visit("wang", "/account")).status_code == 303


async def test_the_api_takes_the_session_of_a_page(site: Site) -> None:
    """Reading needs only the cookie; changing needs the page's token, and comes from our own pages."""
    me = await site.visit("wang", "/api/v1/me")
    assert me.json()["login"] == "wang"
    path, body = "/api/v1/orders/WO-000001/transitions", {"to": "acknowledged", "version": 1}
    headers = site._headers("wang", "en")
    assert (await site.client.post(path, json=body, headers=headers)).status_code == 403
    headers["X-CSRF-Token"] = await site.token("wang")
    assert (await site.client.post(path, json=body, headers=headers)).status_code == 404
    headers["Sec-Fetch-Site"] = "cross-site"
    assert (await site.client.post(path, json=body, headers=headers)).status_code == 403
    assert (await site.client.get("/api/v1/me", headers={"Cookie": "anlan=unknown"})).status_code == 401
