"""What attackers send to the pages, and what happens to people who are unlucky: nothing is given, broken or lost."""

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import DataError

from cloud.api import bounds
from cloud.config import MapConfig
from cloud.registry import sign_in as domain
from cloud.registry.passwords import PasswordChecker, WeakPasswordError
from cloud.registry.person import Role
from cloud.registry.tables import credentials, people, sessions
from cloud.run import server_settings
from cloud.web import live
from cloud.web.assets import asset_url
from cloud.web.attempts import network_of
from cloud.web.live import MOST_OF_ONE, MOST_STREAMS, Changes, changes_of
from cloud.web.page import local_path
from cloud.web.site import safe_headers
from cloud.web.words import Language, words
from tests.cloud.web.conftest import Site
from tests.cloud.web.test_sign_in import PASSWORD, follow, give_password, new_link, sign_in
from tests.cloud.workorders.samples import NOW

FORMS = ("/sign-in", "/welcome", "/language", "/theme")
"""What anybody can post."""
FIELDS = ("csrf", "next", "login", "password", "code", "language", "theme")
OWN_FORMS = ("/sign-out", "/account/password", "/account/sessions/1")
URLENCODED = "application/x-www-form-urlencoded"


def part(name: str, value: bytes, more: str = "") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


async def count_sessions(site: Site, login: str) -> int:
    mine = select(func.count()).where(sessions.c.login == login, sessions.c.ended_at.is_(None))
    number: int = await site.database.read(lambda c: c.scalars(mine).one())
    return number


# ---- who is on the machine itself ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST", "127.0.0.1:8000"])
async def test_a_host_does_not_make_a_connection_private(site: Site, host: str) -> None:
    """A proxy that encrypts nothing passes its own address on as the host: who asks it is not on this machine."""
    await give_password(site, "wang")
    async with site.browser("203.0.113.5", f"http://{host}") as browser:
        assert 'name="password"' not in (await browser.get("/sign-in")).text
        answer = await browser.post("/sign-in", data={"login": "wang", "password": PASSWORD})
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
        assert (await browser.post("/welcome", data={"code": new_link(site, "sun")})).status_code == 403


@pytest.mark.parametrize("host", ["a b", "[", "u@localhost", "evil.example#localhost", "127.1", "localhost:99999", "ÿ"])
async def test_a_strange_host_breaks_nothing(site: Site, host: str) -> None:
    """It is answered as any other; from another machine without a form."""
    async with site.browser("203.0.113.5", "http://anlan.example.org") as browser:
        answer = await browser.get("/sign-in", headers={b"Host": host.encode("latin-1")})
        assert answer.status_code == 200
        assert 'name="password"' not in answer.text


def test_only_this_machine_is_believed_to_be_a_proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says to other programs that are served so."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert server_settings(site.services).forwarded_allow_ips == ["127.0.0.1", "::1", "::ffff:127.0.0.1"]


# ---- guesses ---------------------------------------------------------------------------------------------------------


async def test_many_guesses_at_once_are_no_more_than_one_after_another(site: Site) -> None:
    """From forty addresses at the same time: five are compared, all others are refused."""
    await give_password(site, "wang")

    async def guess(number: int) -> int:
        async with site.browser(f"203.0.113.{number}", "https://anlan.example.org") as browser:
            return (await browser.post("/sign-in", data={"login": "wang", "password": f"guess {number}"})).status_code

    statuses = await asyncio.gather(*map(guess, range(40)))
    assert (statuses.count(401), statuses.count(429)) == (5, 35)


async def test_others_guesses_lock_nobody_out_of_their_own_browser(site: Site) -> None:
    """Where somebody came in before they do so again, though the login is locked; guesses there are few as well."""
    await give_password(site, "wang")
    async with site.browser() as own:
        assert (await own.post("/sign-in", data={"login": "wang", "password": PASSWORD})).status_code == 303
        del own.cookies["anlan"]
        for _ in range(5):
            await sign_in(site, "wang", "not this one")
        assert (await sign_in(site, "wang", PASSWORD)).status_code == 429
        assert (await own.post("/sign-in", data={"login": "wang", "password": PASSWORD})).status_code == 303
        del own.cookies["anlan"]
        wrong = {"login": "wang", "password": "not this one"}
        statuses = [(await own.post("/sign-in", data=wrong)).status_code for _ in range(5)]
        assert statuses == [401] * 4 + [429]


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "ÿ.ÿ", "x" * 5000])
async def test_a_browser_does_not_make_itself_known(site: Site, cookie: str) -> None:
    """A cookie that was made up, or for another person, or for an earlier password, opens no lock."""
    await give_password(site, "wang")
    for _ in range(5):
        await sign_in(site, "wang", "not this one")
    site.client.cookies.clear()
    headers = {b"Cookie": f"anlan-known={cookie}".encode("latin-1")}
    answer = await site.client.post("/sign-in", data={"login": "wang", "password": PASSWORD}, headers=headers)
    assert answer.status_code == 429


async def test_a_login_that_there_is_not_locks_too(site: Site) -> None:
    """So that nobody learns from a lock who is here."""
    await give_password(site, "wang")
    for _ in range(5):
        await sign_in(site, "wang", "not this one")
        await sign_in(site, "nobody", "not this one")
    wrong, unknown = await sign_in(site, "wang", "not this one"), await sign_in(site, "nobody", "not this one")
    assert wrong.status_code == unknown.status_code == 429
    assert wrong.text.replace("wang", "nobody") == unknown.text


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("<unknown>", "<unknown>"),
        ("x" * 5000, "x" * 64),
    ],
)
def test_the_addresses_of_one_machine_are_one(address: str, network: str) -> None:
    """Whoever has an IPv6 address has as many as they like."""
    assert network_of(address) == network


async def test_a_clock_that_was_ahead_locks_nobody_out(site: Site) -> None:
    """A lock that a wrong clock set until next year does not hold."""
    await give_password(site, "wang")
    ahead = {"failures": 9, "locked_until": NOW + 365 * domain.DAY_MS}
    site.write(lambda c: c.execute(update(credentials).values(ahead)))
    assert (await sign_in(site, "wang", PASSWORD)).status_code == 303


async def test_a_session_of_a_clock_that_was_ahead_ends_like_others(site: Site) -> None:
    """Its last use is noted by the clock as it is now."""
    site.write(lambda c: c.execute(update(sessions).values(last_seen=NOW + 365 * domain.DAY_MS)))
    assert (await site.visit("chen", "/account")).status_code == 200
    await site.clock.advance_to(NOW + domain.IDLE_MS + 1)
    assert (await site.visit("chen", "/account")).status_code == 303


@pytest.mark.parametrize(
    "password", ["1234567890", "PASSWORD123", "ｐａｓｓｗｏｒｄ１２３", "13800138000", "aaaaaaaaaaaa", "abababababab"]
)
async def test_what_everybody_guesses_first_is_no_password(password: str) -> None:
    """It is refused when it is chosen, however it was typed."""
    with pytest.raises(WeakPasswordError, match="common"):
        await PasswordChecker().hash(password, "wang")


async def test_a_password_is_the_same_on_every_keyboard() -> None:
    """One with an accent, or from a Chinese keyboard in its wide mode, fits."""
    checker = PasswordChecker()
    kept = await checker.hash("caf\u00e9 at the river", "wang")
    assert await checker.is_right(kept, "cafe\u0301 at the river")
    assert await checker.is_right(kept, "ｃafé at the river")


# ---- sessions --------------------------------------------------------------------------------------------------------


async def test_a_session_cannot_be_brought_along(site: Site) -> None:
    """Whatever cookie somebody was given before, signing in makes a new secret and ends the session that was there."""
    await give_password(site, "wang")
    headers = {"Cookie": f"anlan={'x' * 43}"}
    answer = await site.client.post("/sign-in", data={"login": "wang", "password": PASSWORD}, headers=headers)
    assert "x" * 43 not in answer.headers["set-cookie"]
    before = await count_sessions(site, "wang")
    answer = await site.post("wang", "/sign-in", {"login": "wang", "password": PASSWORD})
    assert answer.status_code == 303
    assert await count_sessions(site, "wang") == before
    assert (await site.visit("wang", "/account")).status_code == 303


async def test_one_link_is_good_for_one_of_two_at_once(site: Site) -> None:
    """The other is told that it was used, and one session was opened."""
    code, before = new_link(site, "sun"), await count_sessions(site, "sun")
    answers = await asyncio.gather(follow(site, code), follow(site, code, PASSWORD))
    assert sorted(answer.status_code for answer in answers) == [303, 410]
    assert await count_sessions(site, "sun") == before + 1


async def test_a_password_that_is_replaced_by_a_link_ends_what_it_opened(site: Site) -> None:
    """A first one ends nothing: a worker's phone stays signed in."""
    await follow(site, new_link(site, "wang"), PASSWORD)
    assert (await site.visit("wang", "/account")).status_code == 200
    await follow(site, new_link(site, "wang"), "another river in May")
    assert (await site.visit("wang", "/account")).status_code == 303


async def test_a_password_that_is_changed_meanwhile_opens_nothing(site: Site) -> None:
    """Whoever was being compared with the old one comes too late."""
    await give_password(site, "wang")
    old = site.write(lambda c: domain.find_password(c, "wang"))
    await give_password(site, "wang")
    assert site.write(lambda c: domain.note_success(c, login="wang", password_hash=old)) is None


async def test_the_present_password_is_not_guessed_in_a_session(site: Site) -> None:
    """Whoever finds a phone that is signed in has as few guesses as everybody."""
    await give_password(site, "wang")
    form = {"present": "not this one", "password": "another river in May"}
    statuses = [(await site.post("wang", "/account/password", form)).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]


async def test_a_role_that_is_taken_away_is_gone_at_once(site: Site) -> None:
    """With the next request, in the session that is open."""
    assert (await site.visit("chen", "/board")).status_code == 200
    site.write(lambda c: c.execute(update(people).where(people.c.login == "chen").values(roles=[Role.INSTALLER])))
    assert (await site.visit("chen", "/board")).status_code == 404
    assert (await site.visit("chen", "/metrics")).status_code == 403


# ---- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OWN_FORMS)
@pytest.mark.parametrize("media_type", ["text/plain", "application/json", URLENCODED, "multipart/form-data", ""])
async def test_no_kind_of_body_needs_no_token(site: Site, path: str, media_type: str) -> None:
    """Nor does what says that htmx sent it; the session goes on."""
    headers = {**site._headers("wang", "en"), "Content-Type": media_type, "HX-Request": "true"}
    answer = await site.client.post(path, content=b"csrf=", headers=headers)
    assert answer.status_code in (400, 403)
    assert (await site.visit("wang", "/account")).status_code == 200


@pytest.mark.parametrize(
    "sent", [{"Origin": "null"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "same-site"}]
)
async def test_nobody_is_signed_in_by_another_site(site: Site, sent: dict[str, str]) -> None:
    """Not to an attacker's own account either."""
    await give_password(site, "wang")
    for path, form in (
        ("/sign-in", {"login": "wang", "password": PASSWORD}),
        ("/welcome", {"code": new_link(site, "sun")}),
    ):
        answer = await site.client.post(path, data=form, headers=sent)
        assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize(
    "charset", ["unicode_escape", "punycode", "undefined", "utf-16", '"utf-7"', "UTF8;charset=idna"]
)
@pytest.mark.parametrize("path", FORMS)
async def test_forms_are_utf_8(site: Site, path: str, charset: str) -> None:
    """Python's other codecs fail in many ways, and make texts that nobody can keep."""
    body = b"".join(part(name, b"\\ud800") for name in FIELDS) + b"--b--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    assert (await site.client.post(path, content=body, headers=headers)).status_code == 400
    headers = {"Content-Type": "multipart/form-data; boundary=b; charset=UTF-8"}
    assert (await site.client.post(path, content=body, headers=headers)).status_code < 500


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("value", ["\0", "a\0b", "x" * 60_000, "\u202e", "'--", "😀", "\r\nSet-Cookie: a=b", "%00"])
async def test_no_field_breaks_a_form(site: Site, path: str, value: str) -> None:
    """Each is taken or refused, and none comes back as a header."""
    for name in FIELDS:
        answer = await site.client.post(path, data={name: value})
        assert answer.status_code < 500
        assert "\r" not in str(answer.headers)
        assert "a=b" not in answer.headers.get_list("set-cookie")


@pytest.mark.parametrize("path", FORMS)
async def test_a_file_is_no_text(site: Site, path: str) -> None:
    """One where a text is expected counts as nothing; many are not even looked at."""
    await give_password(site, "wang")
    one = [part(name, b"wang", '; filename="/etc/passwd"') for name in FIELDS]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for name_part in one:
        assert (await site.client.post(path, content=name_part + b"--b--\r\n", headers=headers)).status_code < 500
    assert (await site.client.post(path, content=b"".join(one) + b"--b--\r\n", headers=headers)).status_code == 400


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"a=1&" * 3000, URLENCODED, 400),
        (b"a" * 70_000, URLENCODED, 413),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=" + "b" * 500, 400),
        (b"--b\r\n\r\n", "multipart/form-data; boundary=b", 400),
    ],
)
async def test_a_body_that_is_too_much_or_none_is_refused(
    site: Site, body: bytes, media_type: str, status: int
) -> None:
    """With a page, before anything is done with it."""
    headers = {**site._headers(None, "en"), "Content-Type": media_type}
    answer = await site.client.post("/sign-in", content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "It is written down" not in answer.text  # as a fault of ours would be


async def test_a_body_that_does_not_come_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 after a while, and the connection is closed."""
    monkeypatch.setattr(bounds, "LONGEST_BODY_S", 0.05)

    async def drip() -> Any:
        yield b"login="
        await asyncio.Event().wait()

    answer = await site.client.post("/sign-in", content=drip(), headers={"Content-Type": URLENCODED})
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize(
    "path", ["/\t/evil.example", "/a\0", "/a\u202eb", "/" + "a" * 2000, "/%0d%0a".replace("%0d", "\r")]
)
def test_a_path_to_go_on_to_is_one_that_a_person_can_read(path: str) -> None:
    """Browsers leave tabs out of addresses, and proxies refuse long ones."""
    assert local_path(path) == "/"


# ---- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "FOO"])
async def test_other_methods_do_nothing(site: Site, method: str) -> None:
    """Nor does a method that a header names."""
    headers = {
        **site._headers("wang", "en"),
        "X-HTTP-Method-Override": "POST",
        "X-CSRF-Token": await site.token("wang"),
    }
    for path in ("/", "/sign-in", "/sign-out", "/account", "/account/sessions/1", "/live"):
        assert (await site.client.request(method, path, headers=headers)).status_code == 405
    assert (await site.client.get("/sign-out", headers=headers)).status_code == 405
    assert (await site.visit("wang", "/account")).status_code == 200


@pytest.mark.parametrize("number", ["0", "-1", "9" * 30, "9" * 5000, "x", "%00", "１２"])
async def test_a_number_that_no_session_has_ends_none(site: Site, number: str) -> None:
    """However long it is."""
    assert (await site.post("wang", f"/account/sessions/{number}")).status_code in (303, 422)
    assert (await site.visit("wang", "/account")).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/%00", "/case/%00", "/orders/%00", "/gateways/%00", "/sign-in?next=%00", "/sign-in?next=%ff", "//x/", "/\\x"],
)
async def test_no_path_breaks_a_page(site: Site, path: str) -> None:
    """Whoever asks."""
    for login in (None, "wang", "zhao"):
        assert (await site.visit(login, path)).status_code < 500


async def test_only_assets_are_served(site: Site) -> None:
    """No way leads out of their folder, with the right hash either."""
    hashed = asset_url("app.css").split("/")[2]
    names = ("../page.py", "%2e%2e/page.py", "..%2fpage.py", "..\\page.py", "/etc/passwd", "app.css%00", "app.css/", "")
    for name in names:
        answer = await site.client.get(f"/assets/{hashed}/{name}", follow_redirects=True)
        assert answer.status_code == 404, name


async def test_the_api_describes_itself_and_no_page(site: Site) -> None:
    """What pages there are is nobody's business who may not see them."""
    described = (await site.client.get("/api/v1/openapi.json")).json()["paths"]
    assert {path.split("/")[1] for path in described} == {"api", "healthz", "metrics"}
    assert (await site.client.get("/docs")).status_code == 404


# ---- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/sign-in", "/", "/nothing", "/broken", "/account", "/api/v1/me", "/healthz"])
async def test_every_answer_has_the_safe_headers(site: Site, path: str) -> None:
    """Also one to a fault of ours, which tells nothing of it; none is kept by what stands between."""

    async def fail() -> None:
        raise RuntimeError("secret")

    site.app.add_api_route("/broken", fail)
    answer = await site.visit("wang", path)
    assert {name: answer.headers.get(name) for name in safe_headers(MapConfig())} == safe_headers(MapConfig())
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/unfit", "GET", 404), ("/unfit", "POST", 422), ("/api/v1/unfit", "GET", 422)]
)
async def test_what_a_database_cannot_keep_is_the_senders_fault(
    site: Site, path: str, method: str, status: int
) -> None:
    """PostgreSQL keeps no NUL in a text, which SQLite does; the answer has nothing of the statement."""

    async def refuse() -> None:
        raise DataError("SELECT 1", {"name": "secret"}, ValueError("no NUL"))

    site.app.add_api_route(path, refuse, methods=[method])
    answer = await site.client.request(method, path)
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert "SELECT" not in answer.text


# ---- the live stream -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("people_there", "each", "who"),
    [(["chen"], MOST_OF_ONE, "chen"), (list(map(str, range(80))), MOST_STREAMS // 80, "wang")],
)
async def test_nobody_takes_all_streams(site: Site, people_there: list[str], each: int, who: str) -> None:
    """One person has so many, and all together leave room for other requests."""
    changes = changes_of(site.app)
    with ExitStack() as stack:
        for login in people_there:
            for _ in range(each):
                stack.enter_context(changes.place(login))
        answer = await site.visit(who, "/live")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    stack.close()
    with changes.place(who):
        pass


async def test_a_stream_ends_and_leaves_its_place(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser asks again, which somebody who is signed out meanwhile cannot."""
    monkeypatch.setattr(live, "LONGEST_S", 0.05)
    answer = await site.visit("wang", "/live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    with ExitStack() as stack:
        for _ in range(MOST_OF_ONE):
            stack.enter_context(changes_of(site.app).place("wang"))
    assert [name async for name in Changes(site.database).listen(NOW)] == []


def test_what_a_device_calls_itself_is_no_text_of_ours() -> None:
    """Not when it is a word that pages have, and nothing is not what a catalogue has under nothing: its head."""
    zh = words(Language.ZH)
    assert zh.text("New password") != "New password"
    assert (zh.kind("New password"), zh.kind(""), zh.text("")) == ("New password", "", "")
