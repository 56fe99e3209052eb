"""Coming in with a real browser: by link, by password, with the keyboard, without scripts; language and look."""

import asyncio

import pytest
from playwright.async_api import Page, expect

from cloud.registry.passwords import PasswordChecker
from cloud.registry.sign_in import set_password
from tests.browser.axe import axe
from tests.browser.pages import Pages
from tests.browser.served import Served

PASSWORD = "a quiet river in May"


async def give_password(served: Served, login: str) -> None:
    hashed = await PasswordChecker().hash(PASSWORD, login)
    await asyncio.to_thread(served.write, lambda c: set_password(c, login, hashed, now_ms=served.now_ms))


async def test_a_link_signs_in_and_leaves_no_trace(served: Served, new_page: Pages) -> None:
    """The code goes from the address to a field that is not shown; one press and the person is in."""
    page = await new_page(width=390, height=844, phone=True)
    await page.goto(served.link("sun"))
    await expect(page.get_by_role("heading", name="欢迎使用安澜")).to_be_visible()
    assert page.url == f"{served.url}/welcome"
    await expect(page.locator("#code")).to_be_hidden()
    await page.get_by_role("button", name="登录").click()
    await page.wait_for_url("**/gateways")
    await page.goto(f"{served.url}/account")
    await expect(page.locator("h1")).to_have_text("孙工")


async def test_a_used_link_says_so(served: Served, new_page: Pages) -> None:
    """The second time there is a sentence, and the field for another code."""
    link = served.link("sun")
    page = await new_page()
    await page.goto(link)
    await page.locator("main form button.primary").click()
    await page.wait_for_url(lambda url: "/welcome" not in url)
    await page.goto("about:blank")  # its live stream ends before its session does
    await page.context.clear_cookies()
    await page.goto(link)
    await page.locator("main form button.primary").click()
    await expect(page.get_by_role("alert")).to_contain_text("已使用或已过期")
    await expect(page.locator("#code")).to_be_visible()
    new_page.allow("status of 410")


async def test_a_link_that_is_loaded_again_still_works(served: Served, new_page: Pages) -> None:
    """The code stays with the page, and a second link that is opened in it takes its place."""
    page = await new_page()
    await page.goto(served.link("sun"))
    await page.reload()
    await expect(page.locator("#code")).to_be_hidden()
    await page.goto(served.link("wang"))
    await page.locator("main form button.primary").click()
    await page.wait_for_url("**/orders")
    await page.goto(served.link("sun"))
    await expect(page.locator(".notice")).to_contain_text("王芳")


async def test_the_keyboard_is_enough(served: Served, new_page: Pages) -> None:
    """From nothing to signed in and out again without a mouse, and one always sees where one is."""
    await give_password(served, "sun")
    page = await new_page()
    await page.goto(f"{served.url}/account")
    await page.locator("#login").focus()
    await page.keyboard.type("sun")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("孙工")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    focused = page.locator(":focus")
    await expect(focused).to_have_text("退出")
    assert await focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/sign-in")


async def test_without_scripts_everything_works(served: Served, new_page: Pages) -> None:
    """The code of a link is typed, the language changes, a wrong password is said."""
    page = await new_page(scripts=False)
    link = served.link("sun")
    await page.goto(link)
    await page.locator("#code").fill(link.partition("#")[2])
    await page.locator("main form button.primary").click()
    await page.goto(f"{served.url}/account")
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await page.locator("#login").fill("sun")
    await page.locator("#password").fill("not this one")
    await page.locator("main form button.primary").click()
    await expect(page.get_by_role("alert")).to_have_text("Login or password is wrong.")
    new_page.allow("status of 401")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("path", ["/sign-in", "/welcome", "/account", "/nothing"])
async def test_nothing_is_hard_to_read(served: Served, new_page: Pages, path: str, *, dark: bool) -> None:
    """Axe finds nothing serious, on a phone, by day and by night; no page is wider than the phone."""
    page = await new_page(width=390, height=844, phone=True, dark=dark)
    if path in ("/account", "/nothing"):
        await served.sign_in(page.context, "sun", language="zh")
    await page.goto(served.url + path)
    assert await axe(page) == []
    assert await is_as_wide_as_the_window(page)
    new_page.allow("status of 404")


async def is_as_wide_as_the_window(page: Page) -> bool:
    wide: bool = await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    return wide


async def test_the_look_can_be_chosen(served: Served, new_page: Pages) -> None:
    """Dark stays dark on a light machine, on every page."""
    page = await new_page()
    await served.sign_in(page.context, "sun")
    await page.goto(f"{served.url}/account")
    light = await page.evaluate("getComputedStyle(document.body).color")
    await page.get_by_role("button", name="dark", exact=True).click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await page.evaluate("getComputedStyle(document.body).color") != light


async def test_a_form_is_sent_once(served: Served, new_page: Pages) -> None:
    """Two quick presses are one."""
    page = await new_page()
    await page.goto(served.link("sun"))
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    await page.locator("main form button.primary").dblclick()
    await page.wait_for_url("**/gateways")
    assert sent == [f"{served.url}/welcome"]


async def test_a_form_says_that_it_is_from_our_own_page(served: Served, new_page: Pages) -> None:
    """By its origin, which is all that a browser sends of it by plain http, and an older one by https too."""
    page = await new_page()
    await page.goto(f"{served.url}/sign-in")
    async with page.expect_request("**/language") as asked:
        await page.get_by_role("button", name="English").click()
    assert (await (await asked.value).all_headers())["origin"] == served.url


async def test_signing_out_loses_nothing_that_waits(served: Served, new_page: Pages) -> None:
    """What another person pressed on this phone without a network waits for them, whoever signs out meanwhile."""
    page = await new_page(width=390, height=844, phone=True)
    await served.sign_in(page.context, "wang")
    await page.goto(f"{served.url}/orders")
    await page.evaluate("anlanQueue.add({login: 'li', code: 'WO-000001', label: 'Done', fields: [], at: Date.now()})")
    await page.goto(f"{served.url}/account")
    await page.get_by_role("button", name="Sign out").click()
    await page.wait_for_url("**/sign-in")
    await served.sign_in(page.context, "wang")
    await page.goto(f"{served.url}/orders")
    assert [step["login"] for step in await page.evaluate("anlanQueue.all()")] == ["li"]
