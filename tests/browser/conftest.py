"""Fixtures of tests that drive a real browser.

``new_page`` opens pages: ``page = await new_page(width=390, phone=True, dark=True, base_url=url)``. A test fails at its
end when something went wrong in one of its pages that it did not ``new_page.allow("404")``. Under a test that failed
stand the files with pictures of its pages.

All tests of a run that drive the browser have one event loop, because what drives it takes half a second to start and
belongs to one loop: a fixture of theirs that is a coroutine says ``loop_scope="session"``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests import layout
from tests.browser.chromium import Chromium, connected
from tests.browser.network import Network
from tests.browser.pages import Pages
from tests.browser.phone import Phone, open_order
from tests.browser.served import Served, serve
from tests.conftest import starter

CALL = pytest.StashKey[pytest.TestReport]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark `browser` what asks for one, before `-m browser` picks, and give it the loop of what drives it."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the report of the test itself, for what is found after its end."""
    report = yield
    if call.when == "call":
        item.stash[CALL] = report
    return report


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The run's shared browser."""
    with starter(Chromium) as start:
        yield start()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: Chromium) -> AsyncIterator[Browser]:
    """What drives the run's shared browser."""
    async with connected(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def threads() -> AsyncIterator[None]:
    """Threads of the test's own for the loop of all tests; whatever uses them asks for this first."""
    with ThreadPoolExecutor() as pool:
        asyncio.get_running_loop().set_default_executor(pool)
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def served(threads: None, sqlite_folder: Path, tmp_path: Path) -> AsyncIterator[Served]:
    """The pages over a neighbourhood of the test's own, really served.

    Ask for it before ``new_page``: then the pages are closed before their server, which they would miss.
    """
    async with serve(tmp_path, sqlite_folder / "cloud.db") as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(
    browser: Browser, threads: None, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Pages]:
    """Opens pages for the test; see Pages."""
    async with Pages(browser) as pages:
        yield pages
        troubles = await pages.troubles()
        report = request.node.stash.get(CALL, None)
        if report is None or not (troubles or report.failed):
            return
        pictures = await pages.take_pictures(tmp_path)
        report.sections.append(("pictures of the pages", "\n".join(map(str, pictures))))
        report.sections.append(("troubles in the pages", "\n".join(troubles)))
    if report.passed:
        pytest.fail("there were troubles in the pages:\n" + "\n".join([*troubles, *map(str, pictures)]), pytrace=False)


@pytest_asyncio.fixture(loop_scope="session")
async def phone(served: Served, new_page: Pages) -> AsyncIterator[Phone]:
    """The phone of li, who has one order."""
    open_order(served)
    async with Network(int(served.url.rpartition(":")[2])) as network:
        page = await new_page(width=390, height=844, phone=True)
        await served.sign_in(page.context, "li")
        yield Phone(served, network, page)
        await page.close()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG such as a phone takes, but small."""
    return (layout.ROOT / "simulators" / "scenarios" / "rubbish.jpg").read_bytes()
