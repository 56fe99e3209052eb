"""The browser that page tests drive: what goes wrong in a page is found, and what axe-core finds is told."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests import layout
from tests.browser.axe import axe
from tests.browser.pages import Pages

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
PAGE = (
    '<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">'
    '<link rel="icon" href="data:,"><title>A page</title><main>{}'
)
TYPES = {".js": "text/javascript", "/stream": "text/event-stream"}
PAGES = {
    "/": PAGE.format("<h1>Fine</h1><p id=answer></p><script src=/fine.js></script>"),
    "/fine.js": "document.querySelector('#answer').textContent = document.cookie",
    "/console": PAGE.format("<h1>Bad</h1><script src=/console.js></script>"),
    "/console.js": "console.error('the map', 7)",
    "/script": PAGE.format("<h1>Bad</h1><script src=/script.js></script>"),
    "/script.js": "setTimeout(() => { nowhere.to.be = 'found' })",
    "/lost": PAGE.format("<h1>Bad</h1><script src=/lost.js></script>"),
    "/inline": PAGE.format("<h1>Bad</h1><script>document.title = 'ours'</script>"),
    "/broken": PAGE.format("<h1>Bad</h1><img src=/cut alt=cut>"),
    "/live": PAGE.format("<h1>Fine</h1><p id=answer></p><script src=/live.js></script>"),
    "/live.js": "new EventSource('/stream').onmessage = (m) => document.querySelector('#answer').textContent = m.data",
    "/stream": "data: news\n\n",
    "/blind": PAGE.format("<h1>Bad</h1><img src=/fine.png><p><button></button>"),
}


class Handler(BaseHTTPRequestHandler):
    """Serves PAGES, and 404 for others; /cut ends without an answer, /stream when the browser ends it."""

    def do_GET(self) -> None:
        if self.path == "/cut":
            return
        text = PAGES.get(self.path)
        self.send_response(HTTPStatus.NOT_FOUND if text is None else HTTPStatus.OK)
        kind = next((kind for end, kind in TYPES.items() if self.path.endswith(end)), "text/html; charset=utf-8")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write((text or "").encode())
        if self.path == "/stream":
            self.rfile.read(1)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[str]:
    """The address at which PAGES are served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def site() -> Iterator[str]:
    with serving() as url:
        yield url


async def test_a_page_is_seen_as_asked_for(new_page: Pages, site: str) -> None:
    """Width, language, colours and touch are those of the person, and the time is that of the neighbourhoods."""
    page = await new_page(width=390, height=700, language="en-GB", dark=True, phone=True, base_url=site)
    await page.goto("/")
    seen = await page.evaluate(
        """[innerWidth, innerHeight, navigator.language, navigator.maxTouchPoints > 0,
            matchMedia('(prefers-color-scheme: dark)').matches, Intl.DateTimeFormat().resolvedOptions().timeZone]"""
    )
    assert seen == [390, 700, "en-GB", True, True, "Asia/Shanghai"]


async def test_each_page_is_somebody_else_s(new_page: Pages, site: str) -> None:
    """A cookie of one page is not there in the next one."""
    first, second = [await new_page(base_url=site) for _ in range(2)]
    await first.context.add_cookies([{"name": "who", "value": "wang", "url": site}])
    await first.goto("/")
    await second.goto("/")
    await expect(first.locator("#answer")).to_have_text("who=wang")
    await expect(second.locator("#answer")).to_have_text("")


async def test_a_page_without_scripts_is_only_what_was_served(new_page: Pages, site: str) -> None:
    """With scripts off the page's own do not run."""
    page = await new_page(scripts=False, base_url=site)
    await page.context.add_cookies([{"name": "who", "value": "wang", "url": site}])
    await page.goto("/")
    await expect(page.locator("#answer")).to_have_text("")


@pytest.mark.parametrize(
    ("path", "trouble"),
    [
        ("/console", r"console: the map 7 \(.*/console.js\)"),
        ("/script", r"script: ReferenceError: nowhere is not defined(.|\n)*/script.js"),
        ("/lost", r"console: .* status of 404 \(Not Found\) \(.*/lost.js\)"),
        ("/inline", r"console: .*inline script.* Content Security Policy"),
        ("/broken", r"request: net::ERR_EMPTY_RESPONSE \(GET .*/cut\)"),
    ],
)
async def test_a_trouble_is_noted(new_page: Pages, site: str, path: str, trouble: str) -> None:
    """Each kind of trouble is told with its place, and is none any more when it is allowed."""
    page = await new_page(base_url=site)
    await page.goto(path)
    await expect(page.locator("h1")).to_have_text("Bad")
    assert [each for each in await new_page.troubles() if re.match(trouble, each)] != []
    new_page.allow(".*")
    assert await new_page.troubles() == []


async def test_a_page_that_is_left_is_no_trouble(new_page: Pages, site: str) -> None:
    """A live stream that ends because its page is left is not a request that failed."""
    page = await new_page(base_url=site)
    await page.goto("/live")
    await expect(page.locator("#answer")).to_have_text("news")
    await page.goto("/")
    assert await new_page.troubles() == []


async def test_axe_tells_what_cannot_be_read(new_page: Pages, site: str) -> None:
    """A picture and a button without words are findings with their place, also where foreign scripts are forbidden."""
    page = await new_page(base_url=site)
    await page.goto("/blind")
    new_page.allow("fine.png")
    found = await axe(page)
    assert [line for line in found if line.startswith("image-alt (critical): ") and line.endswith(": img")] != []
    assert [line for line in found if line.startswith("button-name (critical): ")] != []
    await page.goto("/")
    assert await axe(page) == []


SAMPLE = """
async def test_bad_page(new_page):
    page = await new_page(base_url={site!r})
    await page.goto("/console")

async def test_bad_test(new_page):
    page = await new_page(base_url={site!r})
    await page.goto("/console")
    assert False

async def test_good(new_page):
    page = await new_page(base_url={site!r})
    await page.goto("/console")
    new_page.allow("the map 7")
"""


def test_a_test_with_troubles_fails_and_has_pictures(tmp_path: Path, site: str) -> None:
    """What was not allowed fails the test at its end and stands under a test that failed itself, with a picture."""
    (tmp_path / "test_sample.py").write_text(SAMPLE.format(site=site))
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "tests.browser.conftest"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-c", layout.ROOT / "pyproject.toml", tmp_path],
        capture_output=True, text=True, check=False, cwd=layout.ROOT, timeout=300,
        env={**os.environ, "PYTHONPATH": str(layout.ROOT)},
    )  # fmt: skip
    assert "1 failed, 2 passed, 1 error" in done.stdout, done.stdout
    assert done.stdout.count("console: the map 7") >= 2
    pictures = {Path(line) for line in re.findall(r"^/.*page-1\.png$", done.stdout, re.MULTILINE)}
    assert [path.read_bytes()[:4] for path in pictures] == [b"\x89PNG"] * 2
